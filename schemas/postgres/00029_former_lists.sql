-- +goose Up
-- Lists that were deleted and said how long recordings are kept: those of their calls
-- are kept as long as they said, not for ever.
CREATE TABLE former_lists (
    list_id                  TEXT PRIMARY KEY,
    org_id                   TEXT NOT NULL,
    recording_retention_days INTEGER NOT NULL,
    deleted_at               TIMESTAMPTZ NOT NULL
);

-- +goose Down
DROP TABLE former_lists;
