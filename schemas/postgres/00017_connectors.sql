-- +goose Up
-- What connectors have done in systems that cannot be asked by a key of ours: a
-- message that was posted, the id of a file before its bytes are sent. It lets an
-- attempt that is made again go on where the former one stopped. No part of the
-- log: what is lost here is looked for in the other system.
CREATE TABLE connector_steps (
    org_id      TEXT COLLATE "C" NOT NULL,
    endpoint_id TEXT COLLATE "C" NOT NULL,
    step        TEXT COLLATE "C" NOT NULL,
    result      JSONB NOT NULL,
    done_at     TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (org_id, endpoint_id, step)
);

-- What may be forgotten.
CREATE INDEX connector_steps_age ON connector_steps (done_at);

-- +goose Down
DROP TABLE connector_steps;
