-- +goose Up
-- What is to be fetched from one host, the earliest first: a host that is asked as
-- much as it may be is stepped over, and not each of its recordings.
CREATE INDEX recordings_host_due ON recordings (host, due, recording_id)
WHERE due IS NOT NULL;
DROP INDEX recordings_due;

-- What is leased: without it, to find when the next one is due reads all recordings
-- that ever were.
CREATE INDEX recordings_leased ON recordings (leased_until)
WHERE leased_until IS NOT NULL;

-- +goose Down
DROP INDEX recordings_leased;
CREATE INDEX recordings_due ON recordings (due, recording_id)
WHERE due IS NOT NULL;
DROP INDEX recordings_host_due;
