-- +goose Up
-- An alert is named by the announcement that it was raised about, and a recording may
-- have been announced anew since then.
ALTER TABLE recordings
ALTER COLUMN near_alerted TYPE TEXT USING CASE WHEN near_alerted THEN announced_id ELSE '' END,
ALTER COLUMN fail_alerted TYPE TEXT USING CASE WHEN fail_alerted THEN announced_id ELSE '' END;

-- +goose Down
ALTER TABLE recordings
ALTER COLUMN near_alerted TYPE BOOLEAN USING near_alerted <> '',
ALTER COLUMN fail_alerted TYPE BOOLEAN USING fail_alerted <> '';
