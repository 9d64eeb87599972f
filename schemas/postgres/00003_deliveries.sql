-- +goose Up
-- What is owed to receivers and not finished, and how far each partition has
-- been planned. The log holds all the rest: these rows come and go.

-- epoch fences: it grows with each owner, and seq with each of its commits.
CREATE TABLE delivery_checkpoints (
    topic     TEXT NOT NULL,
    partition INTEGER NOT NULL,
    epoch     BIGINT NOT NULL,
    seq       BIGINT NOT NULL,
    next      BIGINT NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- row_key is the delivery's id, and the replay's behind a slash if one sends it
-- again. head marks the first row of each order key: the others wait for it.
-- offered marks rows that came past the owner of the partition.
CREATE TABLE unfinished_deliveries (
    row_key           TEXT PRIMARY KEY,
    delivery_id       TEXT NOT NULL,
    replay_id         TEXT NOT NULL,
    org_id            TEXT NOT NULL,
    endpoint_id       TEXT NOT NULL,
    topic             TEXT NOT NULL,
    partition         INTEGER NOT NULL,
    log_offset        BIGINT NOT NULL,
    rank              INTEGER NOT NULL,
    order_key         TEXT NOT NULL,
    head              BOOLEAN NOT NULL,
    offered           BOOLEAN NOT NULL,
    status            TEXT NOT NULL CHECK (status IN ('pending', 'held')),
    due_at            TIMESTAMPTZ NOT NULL,
    attempts          INTEGER NOT NULL,
    first_attempt_at  TIMESTAMPTZ,
    last_error        TEXT NOT NULL,
    event_id          TEXT NOT NULL,
    event_type        TEXT NOT NULL,
    event_at          TIMESTAMPTZ NOT NULL,
    entity_id         TEXT NOT NULL,
    correlation_id    TEXT NOT NULL,
    dialect           TEXT NOT NULL,
    name              TEXT NOT NULL,
    sequence          BIGINT NOT NULL,
    previous_sequence BIGINT NOT NULL,
    headers           JSON NOT NULL,
    body              BYTEA NOT NULL,
    created_at        TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_cost_delay = 0);

-- Which row of a key comes next.
CREATE INDEX unfinished_deliveries_order
    ON unfinished_deliveries (topic, partition, endpoint_id, order_key, log_offset, rank);

-- What may be loaded, the earliest due first.
CREATE INDEX unfinished_deliveries_due
    ON unfinished_deliveries (topic, partition, endpoint_id, due_at, log_offset, rank)
    WHERE head AND status = 'pending';

-- What owners have not been told of.
CREATE INDEX unfinished_deliveries_offered
    ON unfinished_deliveries (topic, partition)
    WHERE offered;

-- Lists, backlogs and sweeps of one endpoint.
CREATE INDEX unfinished_deliveries_endpoint
    ON unfinished_deliveries (endpoint_id, status, created_at);

-- How endpoints do, as the engine counts: what disables them must survive it.
CREATE TABLE delivery_health (
    endpoint_id          TEXT PRIMARY KEY,
    org_id               TEXT NOT NULL,
    last_sent_at         TIMESTAMPTZ,
    last_delivered_at    TIMESTAMPTZ,
    consecutive_failures INTEGER NOT NULL DEFAULT 0,
    failing_since        TIMESTAMPTZ,
    last_status          INTEGER NOT NULL DEFAULT 0,
    last_error           TEXT NOT NULL DEFAULT ''
) WITH (fillfactor = 70);

-- +goose Down
DROP TABLE delivery_health;
DROP TABLE unfinished_deliveries;
DROP TABLE delivery_checkpoints;
