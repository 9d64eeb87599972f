-- +goose Up
-- Alert rules, a setting like the others (00002).
CREATE TABLE alert_rules (
    rule_id    TEXT PRIMARY KEY,
    org_id     TEXT NOT NULL REFERENCES orgs (org_id),
    settings   JSONB NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX alert_rules_org ON alert_rules (org_id, rule_id);

-- What each partition has told for rules, with its checkpoint (projection
-- "rules"): a fold of the log, written at ticks. closed_until is the last
-- tick for which the partition's samples are written.
CREATE TABLE alert_watches (
    topic        TEXT COLLATE "C" NOT NULL,
    partition    INTEGER NOT NULL,
    state        JSON NOT NULL,
    closed_until TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (topic, partition)
);

-- What a partition has for a rule at a tick, until the tick is decided.
CREATE TABLE alert_samples (
    tick      TIMESTAMPTZ NOT NULL,
    rule_id   TEXT COLLATE "C" NOT NULL,
    topic     TEXT COLLATE "C" NOT NULL,
    partition INTEGER NOT NULL,
    n         BIGINT NOT NULL,
    sum       DOUBLE PRECISION NOT NULL,
    max       DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (tick, rule_id, topic, partition)
);

-- What all partitions together had for a rule at a tick, for as long as its
-- window and the one before need it.
CREATE TABLE alert_ticks (
    rule_id TEXT COLLATE "C" NOT NULL,
    tick    TIMESTAMPTZ NOT NULL,
    n       BIGINT NOT NULL,
    sum     DOUBLE PRECISION NOT NULL,
    max     DOUBLE PRECISION NOT NULL,
    PRIMARY KEY (rule_id, tick)
);

CREATE INDEX alert_ticks_age ON alert_ticks (tick);

-- The alert that a rule has open.
CREATE TABLE alert_states (
    rule_id  TEXT COLLATE "C" PRIMARY KEY,
    org_id   TEXT COLLATE "C" NOT NULL,
    alert_id TEXT NOT NULL,
    since    TIMESTAMPTZ NOT NULL
);

-- Up to which tick all rules are decided. One row; who decides locks it.
CREATE TABLE alert_clock (
    only_row BOOLEAN PRIMARY KEY DEFAULT TRUE CHECK (only_row),
    decided  TIMESTAMPTZ
);
INSERT INTO alert_clock (decided)
VALUES (NULL);

-- +goose Down
DROP TABLE alert_clock;
DROP TABLE alert_states;
DROP TABLE alert_ticks;
DROP TABLE alert_samples;
DROP TABLE alert_watches;
DROP TABLE alert_rules;
DELETE FROM checkpoints
WHERE projection = 'rules';
