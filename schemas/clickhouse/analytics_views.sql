-- The public face of the read model `analytics`: views over the tables of the
-- live build. Switching builds replaces them. They run with the rights of who
-- asks, so row policies and grants on the tables hold.

CREATE OR REPLACE VIEW events
(
    org_id         LowCardinality(String) COMMENT 'Tenant',
    event_id       String                 COMMENT 'Unique per fact',
    type           LowCardinality(String) COMMENT 'Wire name with version, for example call.ended.v1',
    entity_id      String                 COMMENT 'The call, lead, agent, alert, message or contact it is about',
    occurred_at    DateTime64(6, 'UTC')   COMMENT 'When it happened, by the clock of its source',
    recorded_at    DateTime64(6, 'UTC')   COMMENT 'When the hub accepted it, by the clock of the hub',
    topic          LowCardinality(String) COMMENT 'Kafka topic',
    `partition`    UInt16                 COMMENT 'Kafka partition',
    `offset`       UInt64                 COMMENT 'Kafka offset; with topic and partition the identity of the row',
    source         LowCardinality(String) COMMENT 'Who said it: api, connection/<id> or hub',
    actor          LowCardinality(String) COMMENT 'API key, user or agent that caused it; empty if unknown',
    correlation_id String                 COMMENT 'Groups all that followed from one outside request',
    causation_id   String                 COMMENT 'event_id of the event that caused this one; empty if none did',
    origin         LowCardinality(String) COMMENT 'live, or backfill for history that was loaded; empty if its producer did not say',
    traceparent    String                 COMMENT 'W3C trace context of the request',
    data           String                 COMMENT 'The data of the event as JSON, the bytes of the Kafka value'
)
SQL SECURITY INVOKER
AS
SELECT org_id, event_id, type, entity_id, occurred_at, recorded_at, topic, `partition`, `offset`,
       source, actor, correlation_id, causation_id, origin, traceparent, data
FROM events_${g}
COMMENT 'One row per event of the log; never changes once written';

CREATE OR REPLACE VIEW calls
(
    org_id           LowCardinality(String)         COMMENT 'Tenant',
    call_id          String                         COMMENT 'Id of the call',
    external_id      String                         COMMENT 'Id that the source gave it; empty if none',
    connection_id    LowCardinality(String)         COMMENT 'Connection that reported it; empty if none did',
    direction        LowCardinality(String)         COMMENT 'inbound or outbound; empty until the start is known',
    from_number      String                         COMMENT 'Caller, E.164',
    to_number        String                         COMMENT 'Callee, E.164',
    lead_id          String                         COMMENT 'Lead of the other party; empty if unknown',
    agent_id         LowCardinality(String)         COMMENT 'Agent of the call; empty if unknown',
    agent_name       LowCardinality(String)         COMMENT 'Name of the agent as last reported with the call',
    list_id          LowCardinality(String)         COMMENT 'Calling list; empty if none',
    campaign         LowCardinality(String)         COMMENT 'Campaign; empty if none',
    status           LowCardinality(String)         COMMENT 'The word of the source; completed when it ended without one',
    started_at       Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was started; NULL if unknown',
    answered_at      Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was answered; NULL if it was not, or unknown',
    ended_at         Nullable(DateTime64(6, 'UTC')) COMMENT 'When it ended; NULL while it lasts',
    duration_sec     Nullable(Int64)                COMMENT 'Whole seconds: the figure of the source, else from answer (or start) to end',
    disposition      LowCardinality(String)         COMMENT 'Outcome that the agent chose; empty if none yet',
    disposition_at   Nullable(DateTime64(6, 'UTC')) COMMENT 'When it was chosen',
    notes            UInt32                         COMMENT 'Number of notes',
    has_recording    Bool                           COMMENT 'Whether a recording was reported',
    has_transcript   Bool                           COMMENT 'Whether a transcript was reported',
    summary          String                         COMMENT 'Summary; empty if none',
    tags             Array(LowCardinality(String))  COMMENT 'Tags',
    original_call_id String                         COMMENT 'First call of a chain of transfers; empty if not transferred',
    custom           String                         COMMENT 'Own key-value pairs of the source, a JSON object; empty if none',
    first_seen_at    DateTime64(6, 'UTC')           COMMENT 'recorded_at of the first event of the call; never changes',
    updated_at       DateTime64(6, 'UTC')           COMMENT 'recorded_at of the last event of the call',
    version          UInt64                         COMMENT 'Number of events of the call so far'
)
SQL SECURITY INVOKER
AS
SELECT org_id, call_id, external_id, connection_id, direction, from_number, to_number, lead_id,
       agent_id, agent_name, list_id, campaign, status, started_at, answered_at, ended_at, duration_sec,
       disposition, disposition_at, notes, has_recording, has_transcript, summary, tags, original_call_id,
       custom, first_seen_at, updated_at, version
FROM calls_${g} FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'One row per call in its latest state';

CREATE OR REPLACE VIEW agent_states
(
    org_id      LowCardinality(String)         COMMENT 'Tenant',
    agent_id    LowCardinality(String)         COMMENT 'Id of the agent',
    seq         UInt32                         COMMENT 'Number of the interval, 1 is the first of the agent',
    state       LowCardinality(String)         COMMENT 'logged_in, paused, resumed or logged_out',
    reason      LowCardinality(String)         COMMENT 'Reason given; empty if none',
    campaign    LowCardinality(String)         COMMENT 'Campaign the agent worked on; empty if unknown',
    agent_name  LowCardinality(String)         COMMENT 'Name of the agent as known when the interval was last touched',
    agent_email LowCardinality(String)         COMMENT 'Email of the agent as known when the interval was last touched',
    started_at  DateTime64(6, 'UTC')           COMMENT 'Begin of the interval',
    ended_at    Nullable(DateTime64(6, 'UTC')) COMMENT 'End of the interval; NULL for the state that lasts',
    seconds     Nullable(Float64)              COMMENT 'Length of the interval; NULL for the state that lasts',
    version     UInt64                         COMMENT 'Number of events of the agent when the interval was last touched'
)
SQL SECURITY INVOKER
AS
SELECT org_id, agent_id, seq, state, reason, campaign, agent_name, agent_email, started_at, ended_at,
       (toUnixTimestamp64Micro(ended_at) - toUnixTimestamp64Micro(started_at)) / 1000000 AS seconds,
       version
FROM agent_states_${g} FINAL
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'One row per interval of an agent in one state; the interval that lasts has no end';

CREATE OR REPLACE VIEW events_per_minute
(
    bucket DateTime('UTC')        COMMENT 'Begin of the minute of occurred_at',
    org_id LowCardinality(String) COMMENT 'Tenant',
    type   LowCardinality(String) COMMENT 'Event type',
    n      UInt64                 COMMENT 'Number of events'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfMinute(occurred_at) AS bucket, org_id, type, count() AS n
FROM events_${g}
GROUP BY bucket, org_id, type
COMMENT 'Events per minute, org and type';

CREATE OR REPLACE VIEW events_per_hour
(
    bucket DateTime('UTC')        COMMENT 'Begin of the hour of occurred_at',
    org_id LowCardinality(String) COMMENT 'Tenant',
    type   LowCardinality(String) COMMENT 'Event type',
    n      UInt64                 COMMENT 'Number of events'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfHour(occurred_at) AS bucket, org_id, type, count() AS n
FROM events_${g}
GROUP BY bucket, org_id, type
COMMENT 'Events per hour, org and type';

CREATE OR REPLACE VIEW events_per_day
(
    bucket DateTime('UTC')        COMMENT 'Begin of the day (UTC) of occurred_at',
    org_id LowCardinality(String) COMMENT 'Tenant',
    type   LowCardinality(String) COMMENT 'Event type',
    n      UInt64                 COMMENT 'Number of events'
)
SQL SECURITY INVOKER
AS
SELECT toStartOfDay(toStartOfHour(occurred_at)) AS bucket, org_id, type, count() AS n
FROM events_${g}
GROUP BY bucket, org_id, type
COMMENT 'Events per day (UTC), org and type';

CREATE OR REPLACE VIEW calls_per_hour
(
    bucket           DateTime('UTC')        COMMENT 'Begin of the hour of started_at; the first or last of a DateTime (1970, 2106) if that is beyond',
    org_id           LowCardinality(String) COMMENT 'Tenant',
    direction        LowCardinality(String) COMMENT 'inbound or outbound',
    campaign         LowCardinality(String) COMMENT 'Campaign; empty if none',
    disposition      LowCardinality(String) COMMENT 'Outcome that the agent chose; empty if none yet',
    n                UInt64                 COMMENT 'Number of calls',
    answered         UInt64                 COMMENT 'Of them answered',
    ended            UInt64                 COMMENT 'Of them over',
    duration_sec_sum Int64                  COMMENT 'Sum of their durations, seconds'
)
SQL SECURITY INVOKER
AS
-- A DateTime goes from 1970 to 2106; what is beyond would be somewhere in between.
WITH greatest(toDateTime64('1970-01-01 00:00:00', 6, 'UTC'), least(toDateTime64('2106-02-07 06:00:00', 6, 'UTC'), assumeNotNull(started_at))) AS start
SELECT toStartOfHour(start) AS bucket, org_id, direction, campaign, disposition,
       count() AS n,
       countIf(isNotNull(answered_at)) AS answered,
       countIf(isNotNull(ended_at)) AS ended,
       sum(ifNull(duration_sec, 0)) AS duration_sec_sum
FROM calls_${g} FINAL
WHERE isNotNull(started_at)
GROUP BY bucket, org_id, direction, campaign, disposition
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Calls whose start is known, per hour of the start';

CREATE OR REPLACE VIEW calls_per_day
(
    bucket           DateTime('UTC')        COMMENT 'Begin of the day (UTC) of started_at; the first or last of a DateTime (1970, 2106) if that is beyond',
    org_id           LowCardinality(String) COMMENT 'Tenant',
    direction        LowCardinality(String) COMMENT 'inbound or outbound',
    campaign         LowCardinality(String) COMMENT 'Campaign; empty if none',
    disposition      LowCardinality(String) COMMENT 'Outcome that the agent chose; empty if none yet',
    n                UInt64                 COMMENT 'Number of calls',
    answered         UInt64                 COMMENT 'Of them answered',
    ended            UInt64                 COMMENT 'Of them over',
    duration_sec_sum Int64                  COMMENT 'Sum of their durations, seconds'
)
SQL SECURITY INVOKER
AS
-- A DateTime goes from 1970 to 2106; what is beyond would be somewhere in between.
WITH greatest(toDateTime64('1970-01-01 00:00:00', 6, 'UTC'), least(toDateTime64('2106-02-07 06:00:00', 6, 'UTC'), assumeNotNull(started_at))) AS start
SELECT toStartOfDay(start) AS bucket, org_id, direction, campaign, disposition,
       count() AS n,
       countIf(isNotNull(answered_at)) AS answered,
       countIf(isNotNull(ended_at)) AS ended,
       sum(ifNull(duration_sec, 0)) AS duration_sec_sum
FROM calls_${g} FINAL
WHERE isNotNull(started_at)
GROUP BY bucket, org_id, direction, campaign, disposition
SETTINGS do_not_merge_across_partitions_select_final = 1
COMMENT 'Calls whose start is known, per day (UTC) of the start';
