-- +goose Up
-- The recordings of calls: what the log says of them and how far the work on
-- them has come. The rows follow from the log, with a checkpoint under the name
-- "recordings", and can be dropped with it; then attempts are counted anew.
CREATE TABLE recordings (
    recording_id   TEXT COLLATE "C" PRIMARY KEY,
    org_id         TEXT COLLATE "C" NOT NULL,
    call_id        TEXT COLLATE "C" NOT NULL,
    source_id      TEXT NOT NULL,
    partition      INTEGER NOT NULL,
    state          TEXT NOT NULL,
    -- The newest announcement.
    announced_id   TEXT NOT NULL,
    correlation_id TEXT NOT NULL,
    origin         TEXT NOT NULL,
    announced_at   TIMESTAMPTZ NOT NULL,
    url            TEXT NOT NULL,
    host           TEXT NOT NULL,
    format         TEXT NOT NULL,
    duration_sec   DOUBLE PRECISION,
    expires_at     TIMESTAMPTZ,
    -- What is stored.
    blob_key       TEXT NOT NULL,
    sha256         TEXT NOT NULL,
    bytes          BIGINT NOT NULL,
    content_type   TEXT NOT NULL,
    stored_at      TIMESTAMPTZ,
    deleted_at     TIMESTAMPTZ,
    held           BOOLEAN NOT NULL,
    hold_reason    TEXT NOT NULL,
    -- The work.
    attempts       INTEGER NOT NULL,
    last_error     TEXT NOT NULL,
    due            TIMESTAMPTZ,
    delayed        BOOLEAN NOT NULL,
    delay_due      TIMESTAMPTZ,
    near_end       TIMESTAMPTZ,
    near_alerted   BOOLEAN NOT NULL,
    fail_alerted   BOOLEAN NOT NULL,
    -- Who fetches it now; after leased_until it is taken for dead.
    leased_by      TEXT NOT NULL DEFAULT '',
    leased_until   TIMESTAMPTZ,
    -- The call's list, '' for none; NULL until it was looked up.
    list_id        TEXT
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02);

-- Lists of an org, the newest first, and the recordings of a call.
CREATE INDEX recordings_org ON recordings (org_id, announced_at DESC, recording_id);
CREATE INDEX recordings_state ON recordings (org_id, state, announced_at DESC, recording_id);
CREATE INDEX recordings_call ON recordings (org_id, call_id);

-- What is to be fetched, and what is to be said, the earliest first.
CREATE INDEX recordings_due ON recordings (due, recording_id)
WHERE due IS NOT NULL;
CREATE INDEX recordings_notices ON recordings (LEAST(delay_due, near_end), recording_id)
WHERE delay_due IS NOT NULL OR near_end IS NOT NULL;

-- What retention looks through: the stored recordings of a list by age, and
-- those whose list nobody has looked up.
CREATE INDEX recordings_retention ON recordings (list_id, stored_at)
WHERE state = 'stored' AND NOT held AND list_id <> '';
CREATE INDEX recordings_unlisted ON recordings (org_id, stored_at)
WHERE state = 'stored' AND list_id IS NULL;

-- Blobs that were begun. A row goes when the log says that its blob is a
-- recording's; what is left behind by a crash is deleted with its blob.
CREATE TABLE recording_uploads (
    blob_key     TEXT COLLATE "C" PRIMARY KEY,
    recording_id TEXT COLLATE "C" NOT NULL,
    begun_at     TIMESTAMPTZ NOT NULL
);
CREATE INDEX recording_uploads_age ON recording_uploads (begun_at);

-- Links that live longer than they say, because a webhook that carries one was
-- sent late or again.
CREATE TABLE recording_links (
    recording_id TEXT COLLATE "C" NOT NULL,
    ends_at      TIMESTAMPTZ NOT NULL,
    lives_until  TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (recording_id, ends_at)
);
CREATE INDEX recording_links_age ON recording_links (lives_until);

-- How many days recordings of a list are kept; 0 is for ever.
ALTER TABLE lists ADD COLUMN recording_retention_days INTEGER NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE lists DROP COLUMN recording_retention_days;
DROP TABLE recording_links;
DROP TABLE recording_uploads;
DROP TABLE recordings;
DELETE FROM checkpoints
WHERE projection = 'recordings';
