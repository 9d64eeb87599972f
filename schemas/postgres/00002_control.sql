-- +goose Up

-- One row. Every change of a setting takes it first, so changes happen one
-- after another over all hubs, and its number orders the outbox.
CREATE TABLE control_revision (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    revision BIGINT NOT NULL
);
INSERT INTO control_revision (revision)
VALUES (0);

CREATE TABLE orgs (
    org_id     TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    is_first   BOOLEAN NOT NULL,
    sealed     BYTEA NOT NULL,
    created_at TIMESTAMPTZ NOT NULL
);
CREATE UNIQUE INDEX orgs_first ON orgs (is_first)
WHERE is_first;

CREATE TABLE lists (
    list_id        TEXT PRIMARY KEY,
    org_id         TEXT NOT NULL REFERENCES orgs (org_id),
    name           TEXT NOT NULL,
    default_region TEXT NOT NULL,
    webhook_url    TEXT NOT NULL,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX lists_org ON lists (org_id, list_id);

-- key_hash is SHA-256 of the key; the key itself is not kept.
CREATE TABLE api_keys (
    key_id     TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL REFERENCES orgs (org_id),
    list_id    TEXT REFERENCES lists (list_id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    scopes     TEXT[] NOT NULL,
    key_hash   BYTEA NOT NULL UNIQUE CHECK (octet_length(key_hash) = 32),
    prefix     TEXT NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ
);
CREATE INDEX api_keys_org ON api_keys (org_id, key_id);

CREATE TABLE connections (
    connection_id TEXT PRIMARY KEY,
    org_id        TEXT NOT NULL REFERENCES orgs (org_id),
    name          TEXT NOT NULL,
    dialect       TEXT NOT NULL,
    list_id       TEXT NOT NULL,
    sealed        BYTEA NOT NULL,
    created_at    TIMESTAMPTZ NOT NULL
);
CREATE INDEX connections_org ON connections (org_id, connection_id);

-- settings is the endpoint as the API shows it, without secrets and without
-- the values of its own headers; those are in sealed.
CREATE TABLE endpoints (
    endpoint_id TEXT PRIMARY KEY,
    org_id      TEXT NOT NULL REFERENCES orgs (org_id),
    dialect     TEXT NOT NULL,
    list_id     TEXT NOT NULL,
    enabled     BOOLEAN NOT NULL,
    settings    JSONB NOT NULL,
    sealed      BYTEA NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL
);
CREATE INDEX endpoints_org ON endpoints (org_id, endpoint_id);

-- What the admin topic still has to get. JSON, not JSONB: the bytes of the
-- event's data are kept as they were written.
CREATE TABLE admin_outbox (
    revision   BIGINT NOT NULL,
    number     INTEGER NOT NULL,
    event      JSON NOT NULL,
    created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
    PRIMARY KEY (revision, number)
);

-- Answers of POST requests by their Idempotency-Key. status is NULL while the
-- first request is under way; after lease_until it is taken for dead. route is
-- for people; the fingerprint covers it. owner is the process that answers.
CREATE TABLE idempotency_keys (
    org_id      TEXT NOT NULL,
    key         TEXT NOT NULL,
    route       TEXT NOT NULL,
    fingerprint BYTEA NOT NULL,
    owner       BYTEA NOT NULL,
    lease_until TIMESTAMPTZ NOT NULL,
    expires_at  TIMESTAMPTZ NOT NULL,
    status      INTEGER,
    headers     JSON,
    body        BYTEA,
    PRIMARY KEY (org_id, key)
);
CREATE INDEX idempotency_keys_expiry ON idempotency_keys (expires_at);

-- The keyring that the sealed columns are sealed with, itself sealed by the
-- admin key that a hub was started with: how a hub on another machine gets it.
-- shared_by names the admin key, and fingerprint the keyring, by SHA-256.
CREATE TABLE keyrings (
    shared_by   BYTEA PRIMARY KEY CHECK (octet_length(shared_by) = 32),
    fingerprint BYTEA NOT NULL,
    sealed      BYTEA NOT NULL
);

-- +goose Down
DROP TABLE keyrings;
DROP TABLE idempotency_keys;
DROP TABLE admin_outbox;
DROP TABLE endpoints;
DROP TABLE connections;
DROP TABLE api_keys;
DROP TABLE lists;
DROP TABLE orgs;
DROP TABLE control_revision;
