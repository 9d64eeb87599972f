-- +goose Up
-- What the hub says of its own webhooks, and what it needs to say it once.

-- The read model `operations`: see 00001 for what the columns of every entity
-- table are.
CREATE TABLE endpoint_standing_shape (
  org_id            text COLLATE "C" NOT NULL,
  id                text COLLATE "C" NOT NULL,
  version           bigint NOT NULL,
  state             text NOT NULL,
  recent_ids        bytea NOT NULL,
  log_partition     integer NOT NULL,
  first_offset      bigint NOT NULL,
  first_recorded_at timestamptz NOT NULL,
  last_offset       bigint NOT NULL,
  last_recorded_at  timestamptz NOT NULL,
  standing          text COLLATE "C" NOT NULL,
  since             timestamptz,
  exhausted         bigint NOT NULL,
  PRIMARY KEY (org_id, id)
);

-- +goose Down
DROP TABLE endpoint_standing_shape;
