-- +goose Up
-- Who claims a partition is told what is undecided there. A drop of what is held asks
-- for as many cancels as there are rows, and the verdicts stay for a day.
CREATE INDEX delivery_cancels_undecided ON delivery_cancels (topic, partition) WHERE verdict = '';

-- +goose Down
DROP INDEX delivery_cancels_undecided;
