-- +goose Up
-- Somebody asked for the recording again: a failure that the log had by then does
-- not end the new attempts.
ALTER TABLE recordings ADD COLUMN asked_again BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE recordings DROP COLUMN asked_again;
