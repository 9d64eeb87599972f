-- +goose Up
-- When the next request of a replay is due by its pace, so that whoever moves it on
-- goes on at its rate. A replay that rests is leased to nobody ('') until a time.
ALTER TABLE replays ADD COLUMN paced_until TIMESTAMPTZ;

-- +goose Down
ALTER TABLE replays DROP COLUMN paced_until;
