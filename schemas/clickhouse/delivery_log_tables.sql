-- The tables of one build of the read model `delivery_log`. ${g} is the suffix
-- of the build (g1), ${generation} its number, ${body_days} how long bodies and
-- headers are kept. The public names are views, see delivery_log_views.sql.

CREATE TABLE IF NOT EXISTS delivery_attempts_${g}
(
    org_id           LowCardinality(String)         COMMENT 'Tenant',
    webhook_id       LowCardinality(String)         COMMENT 'The receiver',
    delivery_id      String                         COMMENT 'Derived from event and webhook; the webhook-id header',
    event_id         String                         COMMENT 'Event that was delivered',
    event_type       LowCardinality(String)         COMMENT 'Its type',
    entity_id        String                         COMMENT 'What it is about',
    dialect          LowCardinality(String)         COMMENT 'Format of the webhook',
    dialect_event    LowCardinality(String)         COMMENT 'Name of the event in that format',
    sequence         Int64                          COMMENT 'Version of the entity that the event made',
    replay_id        String                         COMMENT 'Replay that sent it again; empty if none',
    attempt          UInt32                         COMMENT '1 for the first request of the delivery',
    started_at       DateTime64(6, 'UTC')           COMMENT 'When the request was begun',
    duration_us      UInt64                         COMMENT 'How long it took, microseconds',
    status_code      UInt16                         COMMENT 'HTTP status; 0 if there was no answer',
    outcome          LowCardinality(String)         COMMENT 'delivered or failed',
    error            String                         COMMENT 'What went wrong, in words; empty if nothing did',
    next_attempt_at  Nullable(DateTime64(6, 'UTC')) COMMENT 'When another request follows; NULL if none will',
    url              LowCardinality(String)         COMMENT 'Where it was sent',
    request_headers  String COMMENT 'JSON array of name and value; emptied after its time to live' CODEC(ZSTD(1)) TTL toDateTime(recorded_at) + INTERVAL ${body_days} DAY,
    request_body     String COMMENT 'What was sent, to the byte; emptied after its time to live' CODEC(ZSTD(1)) TTL toDateTime(recorded_at) + INTERVAL ${body_days} DAY,
    response_headers String COMMENT 'JSON array of name and value; emptied after its time to live' CODEC(ZSTD(1)) TTL toDateTime(recorded_at) + INTERVAL ${body_days} DAY,
    response_body    String COMMENT 'What came back, cut at the cap; emptied after its time to live' CODEC(ZSTD(1)) TTL toDateTime(recorded_at) + INTERVAL ${body_days} DAY,
    event_at         DateTime64(6, 'UTC')           COMMENT 'recorded_at of the event that was delivered',
    event_topic      LowCardinality(String)         COMMENT 'Kafka topic of that event',
    event_partition  UInt16                         COMMENT 'Kafka partition of that event',
    event_offset     UInt64                         COMMENT 'Kafka offset of that event',
    fact_id          String                         COMMENT 'event_id of the fact that says that the attempt was made',
    recorded_at      DateTime64(6, 'UTC')           COMMENT 'When that fact was accepted',
    topic            LowCardinality(String)         COMMENT 'Kafka topic of that fact',
    `partition`      UInt16                         COMMENT 'Kafka partition of that fact',
    `offset`         UInt64                         COMMENT 'Kafka offset of that fact; with topic and partition the identity of the row',

    -- Serves the read-back of a claim.
    INDEX offset_range `offset` TYPE minmax GRANULARITY 1,
    -- Serves the question for one delivery by its id.
    INDEX delivery_known delivery_id TYPE bloom_filter(0.01) GRANULARITY 1,
    PROJECTION per_minute
    (
        SELECT org_id, webhook_id, outcome, toStartOfMinute(started_at), count(), sum(duration_us), max(duration_us)
        GROUP BY org_id, webhook_id, outcome, toStartOfMinute(started_at)
    ),
    PROJECTION per_hour
    (
        SELECT org_id, webhook_id, outcome, toStartOfHour(started_at), count(), sum(duration_us), max(duration_us)
        GROUP BY org_id, webhook_id, outcome, toStartOfHour(started_at)
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_at)
-- Serves the delivery log of a webhook, newest events first, a page at a time.
ORDER BY (org_id, webhook_id, event_at, delivery_id, `partition`, `offset`)
COMMENT 'Attempts of one build of delivery_log; query the view delivery_attempts';

CREATE TABLE IF NOT EXISTS delivery_attempts_${g}_in
(
    org_id           String                         COMMENT 'As in delivery_attempts',
    webhook_id       String                         COMMENT 'As in delivery_attempts',
    delivery_id      String                         COMMENT 'As in delivery_attempts',
    event_id         String                         COMMENT 'As in delivery_attempts',
    event_type       String                         COMMENT 'As in delivery_attempts',
    entity_id        String                         COMMENT 'As in delivery_attempts',
    dialect          String                         COMMENT 'As in delivery_attempts',
    dialect_event    String                         COMMENT 'As in delivery_attempts',
    sequence         Int64                          COMMENT 'As in delivery_attempts',
    replay_id        String                         COMMENT 'As in delivery_attempts',
    attempt          UInt32                         COMMENT 'As in delivery_attempts',
    started_at       DateTime64(6, 'UTC')           COMMENT 'As in delivery_attempts',
    duration_us      UInt64                         COMMENT 'As in delivery_attempts',
    status_code      UInt16                         COMMENT 'As in delivery_attempts',
    outcome          String                         COMMENT 'As in delivery_attempts',
    error            String                         COMMENT 'As in delivery_attempts',
    next_attempt_at  Nullable(DateTime64(6, 'UTC')) COMMENT 'As in delivery_attempts',
    url              String                         COMMENT 'As in delivery_attempts',
    request_headers  String                         COMMENT 'As in delivery_attempts',
    request_body     String                         COMMENT 'As in delivery_attempts',
    response_headers String                         COMMENT 'As in delivery_attempts',
    response_body    String                         COMMENT 'As in delivery_attempts',
    event_at         DateTime64(6, 'UTC')           COMMENT 'As in delivery_attempts',
    event_topic      String                         COMMENT 'As in delivery_attempts',
    event_partition  UInt16                         COMMENT 'As in delivery_attempts',
    event_offset     UInt64                         COMMENT 'As in delivery_attempts',
    fact_id          String                         COMMENT 'As in delivery_attempts',
    recorded_at      DateTime64(6, 'UTC')           COMMENT 'As in delivery_attempts',
    topic            String                         COMMENT 'As in delivery_attempts',
    `partition`      UInt16                         COMMENT 'As in delivery_attempts',
    `offset`         UInt64                         COMMENT 'As in delivery_attempts',
    sink_epoch       UInt64                         COMMENT 'Epoch of the owner that inserts'
)
ENGINE = Null
COMMENT 'Where the sink inserts attempts; stores nothing, the gate passes rows on';

-- Added to builds that were there before it, too.
ALTER TABLE delivery_attempts_${g}
    ADD COLUMN IF NOT EXISTS rank UInt16 COMMENT 'Place of the message among those that the event makes for the webhook; 0 for the first';

ALTER TABLE delivery_attempts_${g}_in
    ADD COLUMN IF NOT EXISTS rank UInt16 COMMENT 'As in delivery_attempts';

CREATE MATERIALIZED VIEW IF NOT EXISTS delivery_attempts_${g}_gate
TO delivery_attempts_${g}
AS
SELECT * EXCEPT (sink_epoch)
FROM delivery_attempts_${g}_in
WHERE throwIf(
    (topic, `partition`, sink_epoch) NOT IN
    (
        SELECT topic, `partition`, max(epoch)
        FROM sink_epochs
        WHERE model = 'delivery_log' AND generation = ${generation}
        GROUP BY topic, `partition`
    ),
    'stale sink') = 0
COMMENT 'Refuses inserts of an owner that another one has followed';

CREATE TABLE IF NOT EXISTS delivery_outcomes_${g}
(
    org_id          LowCardinality(String) COMMENT 'Tenant',
    webhook_id      LowCardinality(String) COMMENT 'The receiver',
    delivery_id     String                 COMMENT 'The delivery',
    event_id        String                 COMMENT 'Event that is owed',
    event_type      LowCardinality(String) COMMENT 'Its type',
    entity_id       String                 COMMENT 'What it is about',
    dialect         LowCardinality(String) COMMENT 'Format of the webhook',
    dialect_event   LowCardinality(String) COMMENT 'Name of the event in that format',
    sequence        Int64                  COMMENT 'Version of the entity that the event made',
    replay_id       String                 COMMENT 'Replay that sent it again; empty if none',
    status          LowCardinality(String) COMMENT 'exhausted, held or dropped',
    reason          String                 COMMENT 'Why; the last error of an exhausted delivery',
    attempts        UInt32                 COMMENT 'Attempts made before; 0 if none or unknown',
    event_at        DateTime64(6, 'UTC')   COMMENT 'recorded_at of the event that is owed',
    event_topic     LowCardinality(String) COMMENT 'Kafka topic of that event',
    event_partition UInt16                 COMMENT 'Kafka partition of that event',
    event_offset    UInt64                 COMMENT 'Kafka offset of that event',
    fact_id         String                 COMMENT 'event_id of the fact that says so',
    recorded_at     DateTime64(6, 'UTC')   COMMENT 'When that fact was accepted',
    topic           LowCardinality(String) COMMENT 'Kafka topic of that fact',
    `partition`     UInt16                 COMMENT 'Kafka partition of that fact',
    `offset`        UInt64                 COMMENT 'Kafka offset of that fact; with topic and partition the identity of the row',

    -- Serves the read-back of a claim.
    INDEX offset_range `offset` TYPE minmax GRANULARITY 1,
    -- Serves the question for one delivery by its id.
    INDEX delivery_known delivery_id TYPE bloom_filter(0.01) GRANULARITY 1
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(event_at)
-- Serves the delivery log of a webhook, as in delivery_attempts.
ORDER BY (org_id, webhook_id, event_at, delivery_id, `partition`, `offset`)
COMMENT 'Outcomes of one build of delivery_log; query the view delivery_outcomes';

CREATE TABLE IF NOT EXISTS delivery_outcomes_${g}_in
(
    org_id          String                 COMMENT 'As in delivery_outcomes',
    webhook_id      String                 COMMENT 'As in delivery_outcomes',
    delivery_id     String                 COMMENT 'As in delivery_outcomes',
    event_id        String                 COMMENT 'As in delivery_outcomes',
    event_type      String                 COMMENT 'As in delivery_outcomes',
    entity_id       String                 COMMENT 'As in delivery_outcomes',
    dialect         String                 COMMENT 'As in delivery_outcomes',
    dialect_event   String                 COMMENT 'As in delivery_outcomes',
    sequence        Int64                  COMMENT 'As in delivery_outcomes',
    replay_id       String                 COMMENT 'As in delivery_outcomes',
    status          String                 COMMENT 'As in delivery_outcomes',
    reason          String                 COMMENT 'As in delivery_outcomes',
    attempts        UInt32                 COMMENT 'As in delivery_outcomes',
    event_at        DateTime64(6, 'UTC')   COMMENT 'As in delivery_outcomes',
    event_topic     String                 COMMENT 'As in delivery_outcomes',
    event_partition UInt16                 COMMENT 'As in delivery_outcomes',
    event_offset    UInt64                 COMMENT 'As in delivery_outcomes',
    fact_id         String                 COMMENT 'As in delivery_outcomes',
    recorded_at     DateTime64(6, 'UTC')   COMMENT 'As in delivery_outcomes',
    topic           String                 COMMENT 'As in delivery_outcomes',
    `partition`     UInt16                 COMMENT 'As in delivery_outcomes',
    `offset`        UInt64                 COMMENT 'As in delivery_outcomes',
    sink_epoch      UInt64                 COMMENT 'Epoch of the owner that inserts'
)
ENGINE = Null
COMMENT 'Where the sink inserts outcomes; stores nothing, the gate passes rows on';

ALTER TABLE delivery_outcomes_${g}
    ADD COLUMN IF NOT EXISTS rank UInt16 COMMENT 'Place of the message among those that the event makes for the webhook; 0 for the first';

ALTER TABLE delivery_outcomes_${g}_in
    ADD COLUMN IF NOT EXISTS rank UInt16 COMMENT 'As in delivery_outcomes';

CREATE MATERIALIZED VIEW IF NOT EXISTS delivery_outcomes_${g}_gate
TO delivery_outcomes_${g}
AS
SELECT * EXCEPT (sink_epoch)
FROM delivery_outcomes_${g}_in
WHERE throwIf(
    (topic, `partition`, sink_epoch) NOT IN
    (
        SELECT topic, `partition`, max(epoch)
        FROM sink_epochs
        WHERE model = 'delivery_log' AND generation = ${generation}
        GROUP BY topic, `partition`
    ),
    'stale sink') = 0
COMMENT 'Refuses inserts of an owner that another one has followed';
