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

-- exhausted_at: when a delivery was last exhausted among the failures in a row.
-- told_at: when people were told that the endpoint fails.
ALTER TABLE delivery_health
    ADD COLUMN exhausted_at TIMESTAMPTZ,
    ADD COLUMN told_at TIMESTAMPTZ;

-- What the operations topic still has to get, written with the health that it
-- follows from. JSON, not JSONB: the bytes of the event's data are kept.
CREATE TABLE delivery_outbox (
    number   BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event    JSON NOT NULL
);

-- The processes that send webhooks, heard of every second: an endpoint's limits
-- are shared among those that own partitions.
CREATE TABLE delivery_crew (
    name       TEXT COLLATE "C" PRIMARY KEY,
    partitions INTEGER NOT NULL,
    seen_at    TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 20);

-- Every endpoint as it ever was set, without credentials, by the revision of the
-- settings; each is valid from the updated_at in it.
CREATE TABLE endpoint_versions (
    endpoint_id TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    settings    JSONB NOT NULL,
    PRIMARY KEY (endpoint_id, revision)
);
INSERT INTO endpoint_versions (endpoint_id, revision, settings)
SELECT endpoint_id, 0, settings
FROM endpoints;

-- The hubs that follow the settings, and the revision that each knows: a change
-- is answered when all of them know it.
CREATE TABLE settings_readers (
    name     TEXT PRIMARY KEY,
    revision BIGINT NOT NULL,
    seen_at  TIMESTAMPTZ NOT NULL
) WITH (fillfactor = 20);

-- +goose Down
DROP TABLE settings_readers;
DROP TABLE endpoint_versions;
DROP TABLE delivery_crew;
DROP TABLE delivery_outbox;
ALTER TABLE delivery_health DROP COLUMN exhausted_at, DROP COLUMN told_at;
DROP TABLE endpoint_standing_shape;
