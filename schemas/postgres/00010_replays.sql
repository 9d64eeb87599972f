-- +goose Up
-- Jobs that offer deliveries of past events, what is asked of single deliveries,
-- and how both went. Replays stay after their end: they are the report.

-- kind is replay, recover or start. endpoint_id is the receiver in the settings,
-- or *; target is one of the replay's own, without its secrets, which are sealed
-- beside it. same is what the replay does: one at a time.
CREATE TABLE replays (
    replay_id    TEXT PRIMARY KEY,
    org_id       TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('replay', 'recover', 'start')),
    state        TEXT NOT NULL CHECK (state IN ('running', 'paused', 'aborting', 'aborted', 'finished')),
    detail       TEXT NOT NULL,
    from_at      TIMESTAMPTZ NOT NULL,
    until_at     TIMESTAMPTZ,
    types        TEXT[] NOT NULL,
    entity_id    TEXT NOT NULL,
    list_id      TEXT NOT NULL,
    endpoint_id  TEXT NOT NULL,
    target       JSON,
    sealed       BYTEA,
    rate_per_sec DOUBLE PRECISION NOT NULL,
    same         TEXT NOT NULL,
    created_by   TEXT NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    changed_at   TIMESTAMPTZ NOT NULL,
    ended_at     TIMESTAMPTZ,
    cursor       TEXT NOT NULL,
    read         BOOLEAN NOT NULL,
    events       BIGINT NOT NULL,
    deliveries   BIGINT NOT NULL,
    filtered     BIGINT NOT NULL,
    scanned      BIGINT NOT NULL,
    total        BIGINT NOT NULL,
    first_at     TEXT NOT NULL,
    last_at      TEXT NOT NULL,
    lease_owner  TEXT NOT NULL DEFAULT '',
    lease_until  TIMESTAMPTZ NOT NULL DEFAULT '-infinity',
    epoch        BIGINT NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

-- What people list.
CREATE INDEX replays_org ON replays (org_id, created_at, replay_id);

-- What moves.
CREATE INDEX replays_moving ON replays (created_at) WHERE state IN ('running', 'aborting');

CREATE UNIQUE INDEX replays_same ON replays (same) WHERE same <> '' AND ended_at IS NULL;

-- How far a replay has come in each partition. begin_at, next and until_at are
-- offsets; until_at is −1 where it goes on until the partition's owner takes over.
CREATE TABLE replay_parts (
    replay_id TEXT NOT NULL REFERENCES replays ON DELETE CASCADE,
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    state     TEXT NOT NULL CHECK (state IN ('reading', 'ready', 'taken', 'done')),
    begin_at  BIGINT NOT NULL,
    next      BIGINT NOT NULL,
    until_at  BIGINT NOT NULL,
    PRIMARY KEY (replay_id, topic, partition)
) WITH (fillfactor = 50);

-- What the owners of partitions may take over.
CREATE INDEX replay_parts_takeable ON replay_parts (topic, partition) WHERE state IN ('ready', 'taken');

-- How the deliveries of a replay ended, counted in the commits that end them.
CREATE TABLE replay_ends (
    replay_id TEXT NOT NULL REFERENCES replays ON DELETE CASCADE,
    status    TEXT NOT NULL,
    reason    TEXT NOT NULL,
    n         BIGINT NOT NULL,
    example   TEXT NOT NULL,
    PRIMARY KEY (replay_id, status, reason)
) WITH (fillfactor = 50);

-- Requests to cancel a delivery, by row, until some time after their verdict.
-- told says that the owner of the partition has been told.
CREATE TABLE delivery_cancels (
    row_key     TEXT PRIMARY KEY,
    org_id      TEXT NOT NULL,
    endpoint_id TEXT NOT NULL,
    topic       TEXT NOT NULL,
    partition   INTEGER NOT NULL,
    reason      TEXT NOT NULL,
    asked_at    TIMESTAMPTZ NOT NULL,
    told        BOOLEAN NOT NULL DEFAULT false,
    verdict     TEXT NOT NULL DEFAULT '',
    decided_at  TIMESTAMPTZ
);

CREATE INDEX delivery_cancels_untold ON delivery_cancels (topic, partition) WHERE NOT told;
CREATE INDEX delivery_cancels_decided ON delivery_cancels (decided_at) WHERE decided_at IS NOT NULL;

-- What is unfinished of a replay, and the rows of replays of one delivery. Live
-- deliveries are not in them and pay nothing.
CREATE INDEX unfinished_deliveries_replay ON unfinished_deliveries (replay_id) WHERE replay_id <> '';
CREATE INDEX unfinished_deliveries_again ON unfinished_deliveries (delivery_id) WHERE replay_id <> '';

-- +goose Down
DROP INDEX unfinished_deliveries_again;
DROP INDEX unfinished_deliveries_replay;
DROP TABLE delivery_cancels;
DROP TABLE replay_ends;
DROP TABLE replay_parts;
DROP TABLE replays;
