-- The public face of the read model `delivery_log`: views over the tables of
-- the live build. Switching builds replaces them. They run with the rights of
-- who asks, so row policies and grants on the tables hold.

CREATE OR REPLACE VIEW delivery_attempts
(
    org_id           LowCardinality(String)         COMMENT 'Tenant',
    delivery_id      String                         COMMENT 'Derived from event and webhook; the webhook-id header',
    webhook_id       LowCardinality(String)         COMMENT 'The receiver',
    event_id         String                         COMMENT 'Event that was delivered',
    event_type       LowCardinality(String)         COMMENT 'Its type',
    entity_id        String                         COMMENT 'What it is about',
    dialect          LowCardinality(String)         COMMENT 'Format of the webhook',
    dialect_event    LowCardinality(String)         COMMENT 'Name of the event in that format',
    sequence         Int64                          COMMENT 'Version of the entity that the event made',
    rank             UInt16                         COMMENT 'Place of the message among those that the event makes for the webhook; 0 for the first',
    replay_id        String                         COMMENT 'Replay that sent it again; empty if none',
    attempt          UInt32                         COMMENT '1 for the first request of the delivery',
    started_at       DateTime64(6, 'UTC')           COMMENT 'When the request was begun',
    duration_ms      Float64                        COMMENT 'How long it took, milliseconds',
    status_code      UInt16                         COMMENT 'HTTP status; 0 if there was no answer',
    outcome          LowCardinality(String)         COMMENT 'delivered or failed',
    error            String                         COMMENT 'What went wrong, in words; empty if nothing did',
    next_attempt_at  Nullable(DateTime64(6, 'UTC')) COMMENT 'When another request follows; NULL if none will',
    url              LowCardinality(String)         COMMENT 'Where it was sent',
    request_headers  String                         COMMENT 'JSON array of name and value; emptied after its time to live',
    request_body     String                         COMMENT 'What was sent, to the byte; emptied after its time to live',
    response_headers String                         COMMENT 'JSON array of name and value; emptied after its time to live',
    response_body    String                         COMMENT 'What came back, cut at the cap; emptied after its time to live',
    event_at         DateTime64(6, 'UTC')           COMMENT 'recorded_at of the event that was delivered',
    event_topic      LowCardinality(String)         COMMENT 'Kafka topic of that event',
    event_partition  UInt16                         COMMENT 'Kafka partition of that event',
    event_offset     UInt64                         COMMENT 'Kafka offset of that event',
    fact_id          String                         COMMENT 'event_id of the fact that says that the attempt was made',
    recorded_at      DateTime64(6, 'UTC')           COMMENT 'When that fact was accepted',
    topic            LowCardinality(String)         COMMENT 'Kafka topic of that fact',
    `partition`      UInt16                         COMMENT 'Kafka partition of that fact',
    `offset`         UInt64                         COMMENT 'Kafka offset of that fact; with topic and partition the identity of the row'
)
SQL SECURITY INVOKER
AS
SELECT org_id, delivery_id, webhook_id, event_id, event_type, entity_id, dialect, dialect_event, sequence, rank,
       replay_id, attempt, started_at, duration_us / 1000 AS duration_ms, status_code, outcome, error,
       next_attempt_at, url, request_headers, request_body, response_headers, response_body,
       event_at, event_topic, event_partition, event_offset, fact_id, recorded_at, topic, `partition`, `offset`
FROM delivery_attempts_${g}
COMMENT 'One row per HTTP request made to a receiver';

CREATE OR REPLACE VIEW delivery_outcomes
(
    org_id          LowCardinality(String) COMMENT 'Tenant',
    delivery_id     String                 COMMENT 'The delivery',
    webhook_id      LowCardinality(String) COMMENT 'The receiver',
    event_id        String                 COMMENT 'Event that is owed',
    event_type      LowCardinality(String) COMMENT 'Its type',
    entity_id       String                 COMMENT 'What it is about',
    dialect         LowCardinality(String) COMMENT 'Format of the webhook',
    dialect_event   LowCardinality(String) COMMENT 'Name of the event in that format',
    sequence        Int64                  COMMENT 'Version of the entity that the event made',
    rank            UInt16                 COMMENT 'Place of the message among those that the event makes for the webhook; 0 for the first',
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
    `offset`        UInt64                 COMMENT 'Kafka offset of that fact; with topic and partition the identity of the row'
)
SQL SECURITY INVOKER
AS
SELECT org_id, delivery_id, webhook_id, event_id, event_type, entity_id, dialect, dialect_event, sequence, rank,
       replay_id, status, reason, attempts, event_at, event_topic, event_partition, event_offset,
       fact_id, recorded_at, topic, `partition`, `offset`
FROM delivery_outcomes_${g}
COMMENT 'One row each time a delivery was exhausted, held or dropped';

CREATE OR REPLACE VIEW deliveries
(
    org_id           LowCardinality(String)         COMMENT 'Tenant',
    webhook_id       LowCardinality(String)         COMMENT 'The receiver',
    event_at         DateTime64(6, 'UTC')           COMMENT 'recorded_at of the event that is owed',
    delivery_id      String                         COMMENT 'The delivery',
    event_id         String                         COMMENT 'Event that is owed',
    event_type       LowCardinality(String)         COMMENT 'Its type',
    entity_id        String                         COMMENT 'What it is about',
    status           LowCardinality(String)         COMMENT 'pending, delivered, exhausted, held or dropped',
    reason           String                         COMMENT 'Why it was exhausted, held or dropped; empty otherwise',
    attempts         UInt64                         COMMENT 'Requests made so far',
    last_attempt_at  Nullable(DateTime64(6, 'UTC')) COMMENT 'When the newest was begun; NULL if none was',
    last_status_code UInt16                         COMMENT 'HTTP status of the newest; 0 if there was no answer',
    next_attempt_at  Nullable(DateTime64(6, 'UTC')) COMMENT 'When another request follows; NULL if none will'
)
SQL SECURITY INVOKER
AS
WITH
    -- What the newest fact says comes next; in a tuple, because argMax skips NULL.
    -- A replay that delivers, delivers; otherwise what became of the delivery itself
    -- counts, and of a replay only where there is nothing else.
    tupleElement(argMax(tuple(f.next_at), (f.of_itself, f.position)), 1) AS latest_next,
    -- An end stays the end: a process that does not know yet that another has taken over
    -- may still tell of an attempt or a hold.
    (f.ended, f.decided_of_itself, f.decided_at) AS weight
SELECT org_id, webhook_id, event_at, delivery_id,
       any(f.event_id) AS event_id,
       any(f.event_type) AS event_type,
       any(f.entity_id) AS entity_id,
       multiIf(
           max(f.delivered) = 1, 'delivered',
           max(f.ended) = 1, argMax(f.decided, weight),
           isNotNull(latest_next), 'pending',
           max(f.decided_at) > 0, argMax(f.decided, weight),
           'pending') AS status,
       if(status IN ('exhausted', 'held', 'dropped'), argMax(f.decided_why, weight), '') AS reason,
       sum(f.attempted) AS attempts,
       max(f.begun_at) AS last_attempt_at,
       argMax(f.status_code, f.attempted * (f.position + 1)) AS last_status_code,
       if(status = 'pending', latest_next, NULL) AS next_attempt_at
FROM
(
    SELECT org_id, webhook_id, event_at, delivery_id, event_id, event_type, entity_id,
           `offset` AS position, replay_id = '' AS of_itself, 0 AS decided_of_itself,
           1 AS attempted,
           outcome = 'delivered' AS delivered,
           '' AS decided, '' AS decided_why, 0 AS decided_at, 0 AS ended,
           toNullable(started_at) AS begun_at, status_code, next_attempt_at AS next_at
    FROM delivery_attempts_${g}
    UNION ALL
    SELECT org_id, webhook_id, event_at, delivery_id, event_id, event_type, entity_id,
           `offset` AS position, replay_id = '' AS of_itself, replay_id = '' AS decided_of_itself,
           0 AS attempted,
           0 AS delivered,
           status AS decided, reason AS decided_why, `offset` + 1 AS decided_at,
           replay_id = '' AND status IN ('exhausted', 'dropped') AS ended,
           NULL AS begun_at, 0 AS status_code, NULL AS next_at
    FROM delivery_outcomes_${g}
) AS f
GROUP BY org_id, webhook_id, event_at, delivery_id
COMMENT 'One row per delivery: an event owed to a webhook, and what became of it';

CREATE OR REPLACE VIEW delivery_attempts_per_minute
(
    bucket          DateTime('UTC')        COMMENT 'Begin of the minute of started_at',
    org_id          LowCardinality(String) COMMENT 'Tenant',
    webhook_id      LowCardinality(String) COMMENT 'The receiver',
    outcome         LowCardinality(String) COMMENT 'delivered or failed',
    n               UInt64                 COMMENT 'Number of attempts',
    duration_us_sum UInt64                 COMMENT 'Sum of their durations, microseconds',
    duration_us_max UInt64                 COMMENT 'The longest of them, microseconds'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfMinute(started_at) AS bucket, org_id, webhook_id, outcome,
       count() AS n, sum(duration_us) AS duration_us_sum, max(duration_us) AS duration_us_max
FROM delivery_attempts_${g}
GROUP BY bucket, org_id, webhook_id, outcome
COMMENT 'Attempts per minute, org, webhook and outcome';

CREATE OR REPLACE VIEW delivery_attempts_per_hour
(
    bucket          DateTime('UTC')        COMMENT 'Begin of the hour of started_at',
    org_id          LowCardinality(String) COMMENT 'Tenant',
    webhook_id      LowCardinality(String) COMMENT 'The receiver',
    outcome         LowCardinality(String) COMMENT 'delivered or failed',
    n               UInt64                 COMMENT 'Number of attempts',
    duration_us_sum UInt64                 COMMENT 'Sum of their durations, microseconds',
    duration_us_max UInt64                 COMMENT 'The longest of them, microseconds'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfHour(started_at) AS bucket, org_id, webhook_id, outcome,
       count() AS n, sum(duration_us) AS duration_us_sum, max(duration_us) AS duration_us_max
FROM delivery_attempts_${g}
GROUP BY bucket, org_id, webhook_id, outcome
COMMENT 'Attempts per hour, org, webhook and outcome';

CREATE OR REPLACE VIEW delivery_attempts_per_day
(
    bucket          DateTime('UTC')        COMMENT 'Begin of the day (UTC) of started_at',
    org_id          LowCardinality(String) COMMENT 'Tenant',
    webhook_id      LowCardinality(String) COMMENT 'The receiver',
    outcome         LowCardinality(String) COMMENT 'delivered or failed',
    n               UInt64                 COMMENT 'Number of attempts',
    duration_us_sum UInt64                 COMMENT 'Sum of their durations, microseconds',
    duration_us_max UInt64                 COMMENT 'The longest of them, microseconds'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfDay(toStartOfHour(started_at)) AS bucket, org_id, webhook_id, outcome,
       count() AS n, sum(duration_us) AS duration_us_sum, max(duration_us) AS duration_us_max
FROM delivery_attempts_${g}
GROUP BY bucket, org_id, webhook_id, outcome
COMMENT 'Attempts per day (UTC), org, webhook and outcome';
