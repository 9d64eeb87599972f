-- +goose Up
-- A store that did not answer a deletion in time may carry it out later: a hold that is
-- set in between would promise what is gone.
ALTER TABLE recordings
ADD COLUMN deletion_unanswered BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
ALTER TABLE recordings
DROP COLUMN deletion_unanswered;
