-- +goose Up
-- From when on a recording is asked for though its host is left alone because it
-- serves nothing (domain/recording, Urgent): at first and when somebody asks for it at
-- once, later ten minutes before its link ends. NULL is at once.
ALTER TABLE recordings
ADD COLUMN urgent TIMESTAMPTZ;
UPDATE recordings
SET urgent = coalesce(expires_at, announced_at + INTERVAL '72 hours') - INTERVAL '10 minutes'
WHERE due IS NOT NULL AND NOT asked_again AND attempts > 0;
CREATE INDEX recordings_urgent ON recordings (host, (GREATEST(due, urgent)), recording_id)
WHERE due IS NOT NULL;

-- +goose Down
ALTER TABLE recordings
DROP COLUMN urgent;
