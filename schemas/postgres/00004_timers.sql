-- +goose Up
-- What the hub waits for after a call has ended. When a wait is due its end is
-- appended to the log as call.settled.v1. The rows follow from the log, with a
-- checkpoint under the name "timers", and can be dropped with it.

-- A row without next_due waits for nothing: it remembers that the call has
-- ended, or what came before its end, for as long as repeats are recognised.
-- ended_id is empty for a call that has not ended.
CREATE TABLE call_timers (
    org_id            TEXT COLLATE "C" NOT NULL,
    call_id           TEXT COLLATE "C" NOT NULL,
    partition         INTEGER NOT NULL,
    ended_id          TEXT NOT NULL,
    correlation_id    TEXT NOT NULL,
    origin            TEXT NOT NULL,
    ended_recorded_at TIMESTAMPTZ,
    disposition_over  BOOLEAN NOT NULL,
    disposition_due   TIMESTAMPTZ,
    transcript_over   BOOLEAN NOT NULL,
    transcript_due    TIMESTAMPTZ,
    next_due          TIMESTAMPTZ GENERATED ALWAYS AS (LEAST(disposition_due, transcript_due)) STORED,
    recorded_at       TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (org_id, call_id)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);

-- What is due, the earliest first.
CREATE INDEX call_timers_due
    ON call_timers (next_due, org_id, call_id)
    WHERE next_due IS NOT NULL;

-- What may be forgotten.
CREATE INDEX call_timers_age
    ON call_timers (partition, recorded_at)
    WHERE next_due IS NULL;

-- +goose Down
DROP TABLE call_timers;
DELETE FROM checkpoints
WHERE projection = 'timers';
