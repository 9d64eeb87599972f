-- +goose Up
-- The keyring can be sealed by a key that a KMS holds, and be rotated. sealed_by
-- says in words by what it is sealed: 'admin key', or the URI of the key. After
-- a rotation the former keys still open what is short-lived (answers of
-- requests) until retires_at.
ALTER TABLE keyrings
    ADD COLUMN sealed_by  TEXT NOT NULL DEFAULT 'admin key',
    ADD COLUMN rotated_at TIMESTAMPTZ,
    ADD COLUMN retires_at TIMESTAMPTZ;
ALTER TABLE keyrings ALTER COLUMN sealed_by DROP DEFAULT;

-- +goose Down
ALTER TABLE keyrings
    DROP COLUMN retires_at,
    DROP COLUMN rotated_at,
    DROP COLUMN sealed_by;
