-- +goose Up
-- Whoever goes on from a checkpoint finds out whether the log is the one that it
-- speaks of: the record before next must be the one that was recorded then.
-- recorded_next is the next that recorded_at belongs to: a hub of before this
-- migration moves next alone, and then nothing is known.
ALTER TABLE delivery_checkpoints
    ADD COLUMN recorded_at TIMESTAMPTZ,
    ADD COLUMN recorded_next BIGINT;

COMMENT ON COLUMN checkpoints.recorded_at IS 'Recorded time of the event before next; null if it is not known';

-- Where the rules had passed over what is old this was left behind.
UPDATE checkpoints
SET recorded_at = NULL
WHERE projection = 'rules';

-- +goose Down
COMMENT ON COLUMN checkpoints.recorded_at IS 'Recorded time of the last event applied';

ALTER TABLE delivery_checkpoints
    DROP COLUMN recorded_next,
    DROP COLUMN recorded_at;
