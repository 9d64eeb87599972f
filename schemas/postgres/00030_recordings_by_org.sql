-- +goose Up
-- host is that of the URL, for each org alone: one org's recordings at a host that many
-- share do not wait for another's.
UPDATE recordings
SET host = org_id || ' ' || host
WHERE due IS NOT NULL;

-- +goose Down
UPDATE recordings
SET host = split_part(host, ' ', 2)
WHERE due IS NOT NULL;
