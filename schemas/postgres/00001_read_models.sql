-- +goose Up
-- The read models: what the hub knows, folded from the log. All of it can be
-- dropped and is built again from Kafka. README.md in this folder explains it.
--
-- A read model has generations: tables named <table>_g<N>, one of which is live
-- and shown by the view <table>. The tables named *_shape stay empty; each new
-- generation is created LIKE them, so they are the one place that says what a
-- generation looks like.

CREATE TABLE generations (
  projection   text COLLATE "C" NOT NULL,
  generation   integer NOT NULL,
  status       text COLLATE "C" NOT NULL CHECK (status IN ('building', 'live', 'retired')),
  history_from timestamptz,
  created_at   timestamptz NOT NULL DEFAULT now(),
  PRIMARY KEY (projection, generation)
);
CREATE UNIQUE INDEX generations_live ON generations (projection) WHERE status = 'live';
COMMENT ON TABLE generations IS 'Builds of the read models; one of each is live';
COMMENT ON COLUMN generations.history_from IS 'History recorded before this was dropped; it is in the analytics store';

CREATE TABLE checkpoints (
  projection  text COLLATE "C" NOT NULL,
  generation  integer NOT NULL,
  topic       text COLLATE "C" NOT NULL,
  partition   integer NOT NULL,
  next        bigint NOT NULL,
  recorded_at timestamptz,
  epoch       bigint NOT NULL,
  revision    bigint NOT NULL,
  owner       text NOT NULL,
  PRIMARY KEY (projection, generation, topic, partition)
) WITH (fillfactor = 20);
COMMENT ON TABLE checkpoints IS 'How far each generation has come; it commits with the rows that it speaks of';
COMMENT ON COLUMN checkpoints.next IS 'Offset of the next event to apply';
COMMENT ON COLUMN checkpoints.recorded_at IS 'Recorded time of the last event applied';
COMMENT ON COLUMN checkpoints.epoch IS 'Grows when the partition changes its owner; a former owner cannot commit';
COMMENT ON COLUMN checkpoints.revision IS 'Grows when an operator changes parked entities';

CREATE TABLE duplicates (
  topic     text COLLATE "C" NOT NULL,
  partition integer NOT NULL,
  "offset"  bigint NOT NULL,
  org_id    text COLLATE "C" NOT NULL,
  entity_id text COLLATE "C" NOT NULL,
  event_id  text COLLATE "C" NOT NULL,
  PRIMARY KEY (topic, partition, "offset")
);
COMMENT ON TABLE duplicates IS 'Events that stand in the log at an earlier offset too; no read model counts them';

CREATE TABLE parked_events (
  projection text COLLATE "C" NOT NULL,
  generation integer NOT NULL,
  topic      text COLLATE "C" NOT NULL,
  partition  integer NOT NULL,
  "offset"   bigint NOT NULL,
  org_id     text COLLATE "C" NOT NULL,
  entity_id  text COLLATE "C" NOT NULL,
  event_id   text COLLATE "C" NOT NULL,
  reason     text NOT NULL,
  behind     boolean NOT NULL,
  fault      boolean NOT NULL,
  envelope   text NOT NULL,
  data       bytea NOT NULL,
  PRIMARY KEY (projection, generation, topic, partition, "offset")
);
CREATE INDEX parked_events_entity ON parked_events (projection, generation, org_id, entity_id);
COMMENT ON TABLE parked_events IS 'Events set aside: poison, and what came behind it of the same entity';
COMMENT ON COLUMN parked_events.behind IS 'Sound itself, waits for an earlier event of its entity';

CREATE TABLE skipped_events (
  projection text COLLATE "C" NOT NULL,
  topic      text COLLATE "C" NOT NULL,
  partition  integer NOT NULL,
  "offset"   bigint NOT NULL,
  event_id   text COLLATE "C" NOT NULL,
  reason     text NOT NULL,
  actor      text NOT NULL,
  skipped_at timestamptz NOT NULL,
  PRIMARY KEY (projection, topic, partition, "offset")
);
COMMENT ON TABLE skipped_events IS 'Poison events that somebody decided to leave out, in every generation';

CREATE TABLE recent_events (
  projection  text COLLATE "C" NOT NULL,
  generation  integer NOT NULL,
  topic       text COLLATE "C" NOT NULL,
  partition   integer NOT NULL,
  from_offset bigint NOT NULL,
  ids         bytea NOT NULL,
  PRIMARY KEY (projection, generation, topic, partition, from_offset)
);
COMMENT ON TABLE recent_events IS 'Ids of the last events of each partition, for read models without a history';

CREATE TABLE rebuilds (
  projection  text COLLATE "C" PRIMARY KEY,
  generation  integer NOT NULL,
  stage       text COLLATE "C" NOT NULL,
  auto_switch boolean NOT NULL,
  detail      text NOT NULL,
  started_at  timestamptz NOT NULL,
  changed_at  timestamptz NOT NULL,
  lease_owner text NOT NULL DEFAULT '',
  lease_until timestamptz NOT NULL DEFAULT '-infinity'
);
COMMENT ON TABLE rebuilds IS 'The newest rebuild of each projection of any store, so that it survives a restart';

-- Columns that every entity table has:
--   version          how many events are folded
--   state            the fold, as JSON; text, so that whatever Go encodes can be
--                    stored (jsonb refuses \u0000 and deep nesting). Cast it.
--   recent_ids       short forms of the last 64 event ids, to recognise repeats
--   log_partition    and the offsets say where its first and newest event stand

CREATE TABLE leads_shape (
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
  phone             text COLLATE "C" NOT NULL,
  list_id           text COLLATE "C" NOT NULL,
  created_at        timestamptz,
  search            tsvector NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX ON leads_shape (org_id, created_at, id);
CREATE INDEX ON leads_shape (org_id, phone);
CREATE INDEX ON leads_shape (org_id, list_id, created_at, id) WHERE list_id <> '';
CREATE INDEX ON leads_shape USING gin (search);

CREATE TABLE calls_shape (
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
  from_number       text COLLATE "C" NOT NULL,
  to_number         text COLLATE "C" NOT NULL,
  agent_id          text COLLATE "C" NOT NULL,
  campaign          text COLLATE "C" NOT NULL,
  disposition       text COLLATE "C" NOT NULL,
  started_at        timestamptz,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX ON calls_shape (org_id, started_at, id);
CREATE INDEX ON calls_shape (org_id, from_number, started_at);
CREATE INDEX ON calls_shape (org_id, to_number, started_at);
CREATE INDEX ON calls_shape (org_id, agent_id, started_at) WHERE agent_id <> '';

CREATE TABLE agents_shape (
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
  name              text COLLATE "C" NOT NULL,
  current           text COLLATE "C" NOT NULL,
  PRIMARY KEY (org_id, id)
);

CREATE TABLE agent_states_shape (
  org_id   text COLLATE "C" NOT NULL,
  agent_id text COLLATE "C" NOT NULL,
  seq      bigint NOT NULL,
  state    text COLLATE "C" NOT NULL,
  reason   text COLLATE "C" NOT NULL,
  campaign text COLLATE "C" NOT NULL,
  from_at  timestamptz,
  to_at    timestamptz,
  seconds  double precision NOT NULL,
  PRIMARY KEY (org_id, agent_id, seq)
);

CREATE TABLE alerts_shape (
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
  status            text COLLATE "C" NOT NULL,
  rule              text COLLATE "C" NOT NULL,
  severity          text COLLATE "C" NOT NULL,
  campaign          text COLLATE "C" NOT NULL,
  triggered_at      timestamptz,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX ON alerts_shape (org_id, triggered_at, id);

CREATE TABLE messages_shape (
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
  direction         text COLLATE "C" NOT NULL,
  from_number       text COLLATE "C" NOT NULL,
  to_number         text COLLATE "C" NOT NULL,
  sent_at           timestamptz,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX ON messages_shape (org_id, sent_at, id);
CREATE INDEX ON messages_shape (org_id, from_number, sent_at);
CREATE INDEX ON messages_shape (org_id, to_number, sent_at);

CREATE TABLE contacts_shape (
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
  external_id       text COLLATE "C" NOT NULL,
  phones            text[] COLLATE "C" NOT NULL,
  created_at        timestamptz,
  search            tsvector NOT NULL,
  PRIMARY KEY (org_id, id)
);
CREATE INDEX ON contacts_shape (org_id, created_at, id);
CREATE INDEX ON contacts_shape (org_id, external_id) WHERE external_id <> '';
CREATE INDEX ON contacts_shape USING gin (phones);
CREATE INDEX ON contacts_shape USING gin (search);

CREATE TABLE endpoint_health_shape (
  org_id               text COLLATE "C" NOT NULL,
  id                   text COLLATE "C" NOT NULL,
  version              bigint NOT NULL,
  state                text NOT NULL,
  recent_ids           bytea NOT NULL,
  log_partition        integer NOT NULL,
  first_offset         bigint NOT NULL,
  first_recorded_at    timestamptz NOT NULL,
  last_offset          bigint NOT NULL,
  last_recorded_at     timestamptz NOT NULL,
  last_sent_at         timestamptz,
  consecutive_failures bigint NOT NULL,
  last_status          bigint NOT NULL,
  PRIMARY KEY (org_id, id)
);

CREATE TABLE delivery_days_shape (
  org_id     text COLLATE "C" NOT NULL,
  webhook_id text COLLATE "C" NOT NULL,
  day        timestamptz NOT NULL,
  attempted  bigint NOT NULL,
  delivered  bigint NOT NULL,
  exhausted  bigint NOT NULL,
  held       bigint NOT NULL,
  dropped    bigint NOT NULL,
  PRIMARY KEY (org_id, webhook_id, day)
);

-- One shape for the history of every read model. It is partitioned by the month
-- of recorded_at; a generation's partitions are <table>_g<N>_<YYYYMM>. data has
-- the very bytes of the Kafka value, which json and jsonb would not promise.
CREATE TABLE history_shape (
  org_id         text COLLATE "C" NOT NULL,
  entity_id      text COLLATE "C" NOT NULL,
  version        bigint NOT NULL,
  event_id       text COLLATE "C" NOT NULL,
  type           text COLLATE "C" NOT NULL,
  occurred_at    timestamptz NOT NULL,
  recorded_at    timestamptz NOT NULL,
  source         text NOT NULL,
  actor          text,
  correlation_id text,
  causation_id   text,
  origin         text,
  traceparent    text,
  partition      integer NOT NULL,
  "offset"       bigint NOT NULL,
  data           text NOT NULL,
  state          text,
  PRIMARY KEY (org_id, entity_id, version, recorded_at)
) PARTITION BY RANGE (recorded_at);
CREATE INDEX ON history_shape (event_id);
COMMENT ON COLUMN history_shape.state IS 'The state after the event, at every 32nd version, so that a long history is folded from there';

-- +goose Down
-- Generations are dropped by the hub before; what is left here is empty.
DROP TABLE history_shape, delivery_days_shape, endpoint_health_shape, contacts_shape, messages_shape, alerts_shape,
  agent_states_shape, agents_shape, calls_shape, leads_shape, rebuilds, recent_events, skipped_events, parked_events,
  duplicates, checkpoints, generations;
