-- +goose Up
-- A recording is "deleting" from before its bytes go until the log says that they are
-- gone: whatever is killed or away in between, nobody is told that it is stored. For how
-- many days its list kept it is said then.
ALTER TABLE recordings
ADD COLUMN deleting_days INTEGER NOT NULL DEFAULT 0;
CREATE INDEX recordings_deleting ON recordings (recording_id)
WHERE state = 'deleting';

-- +goose Down
DROP INDEX recordings_deleting;
UPDATE recordings
SET state = 'stored'
WHERE state = 'deleting';
ALTER TABLE recordings
DROP COLUMN deleting_days;
