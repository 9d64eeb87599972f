-- +goose Up
-- What was uploaded, once it is written and before the log has it: of two uploads under
-- one Idempotency-Key with other bytes one is refused. '' is still being written, or a
-- fetch, of which each may bring other bytes.
ALTER TABLE recording_uploads
ADD COLUMN sha256 TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE recording_uploads
DROP COLUMN sha256;
