-- +goose Up
-- An endpoint that was deleted has one more version, with deleted_at. Those that
-- were deleted lately are read with the settings: what happened before is still owed
-- to them, and is dropped.
CREATE INDEX endpoint_versions_deleted ON endpoint_versions ((settings ->> 'deleted_at'))
WHERE settings ? 'deleted_at';

-- +goose Down
DROP INDEX endpoint_versions_deleted;
