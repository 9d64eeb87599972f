-- The tables of one build of the read model `analytics`. ${g} is the suffix of
-- the build (g1), ${generation} its number. The public names (events, calls,
-- agent_states and the rollups) are views, see analytics_views.sql.

CREATE TABLE IF NOT EXISTS events_${g}
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
    data           String                 COMMENT 'The data of the event as JSON, the bytes of the Kafka value' CODEC(ZSTD(1)),

    -- Serves the read-back of a claim: only granules with new offsets are read.
    INDEX offset_range `offset` TYPE minmax GRANULARITY 1,
    -- Serves queries by time within an org; the ids of calls grow with time.
    INDEX recorded_range recorded_at TYPE minmax GRANULARITY 1,
    PROJECTION per_minute
    (
        SELECT org_id, type, toStartOfMinute(occurred_at), count()
        GROUP BY org_id, type, toStartOfMinute(occurred_at)
    ),
    PROJECTION per_hour
    (
        SELECT org_id, type, toStartOfHour(occurred_at), count()
        GROUP BY org_id, type, toStartOfHour(occurred_at)
    )
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(recorded_at)
-- Serves the history of one entity, which is one range.
ORDER BY (org_id, topic, entity_id, `partition`, `offset`)
COMMENT 'Events of one build of analytics; query the view events';

CREATE TABLE IF NOT EXISTS events_${g}_in
(
    org_id         String                 COMMENT 'As in events',
    event_id       String                 COMMENT 'As in events',
    type           String                 COMMENT 'As in events',
    entity_id      String                 COMMENT 'As in events',
    occurred_at    DateTime64(6, 'UTC')   COMMENT 'As in events',
    recorded_at    DateTime64(6, 'UTC')   COMMENT 'As in events',
    topic          String                 COMMENT 'As in events',
    `partition`    UInt16                 COMMENT 'As in events',
    `offset`       UInt64                 COMMENT 'As in events',
    source         String                 COMMENT 'As in events',
    actor          String                 COMMENT 'As in events',
    correlation_id String                 COMMENT 'As in events',
    causation_id   String                 COMMENT 'As in events',
    origin         String                 COMMENT 'As in events',
    traceparent    String                 COMMENT 'As in events',
    data           String                 COMMENT 'As in events',
    sink_epoch     UInt64                 COMMENT 'Epoch of the owner that inserts'
)
ENGINE = Null
COMMENT 'Where the sink inserts events; stores nothing, the gate passes rows on';

-- An insert of an owner that another one has followed is refused before
-- anything is written.
CREATE MATERIALIZED VIEW IF NOT EXISTS events_${g}_gate
TO events_${g}
AS
SELECT * EXCEPT (sink_epoch)
FROM events_${g}_in
WHERE throwIf(
    (topic, `partition`, sink_epoch) NOT IN
    (
        SELECT topic, `partition`, max(epoch)
        FROM sink_epochs
        WHERE model = 'analytics' AND generation = ${generation}
        GROUP BY topic, `partition`
    ),
    'stale sink') = 0
COMMENT 'Refuses inserts of an owner that another one has followed';

CREATE TABLE IF NOT EXISTS calls_${g}
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
    version          UInt64                         COMMENT 'Number of events of the call so far',
    `partition`      UInt16                         COMMENT 'Kafka partition of the events of the call',
    `offset`         UInt64                         COMMENT 'Kafka offset of the last event of the call',
    state            String                         COMMENT 'The folded call as JSON, without custom; the sink goes on from it' CODEC(ZSTD(1)),

    -- Serves the question for calls that are not there, most of them new.
    INDEX call_known call_id TYPE bloom_filter(0.01) GRANULARITY 1,
    INDEX started_range started_at TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(version)
-- first_seen_at never changes for a call, so its rows meet in one partition.
PARTITION BY toYYYYMM(first_seen_at)
-- Serves the sink, which asks for calls by id; a granule is small because it
-- asks for single rows.
ORDER BY (org_id, call_id)
SETTINGS index_granularity = 1024
COMMENT 'States of calls of one build of analytics, old ones too until merged; query the view calls';

CREATE TABLE IF NOT EXISTS agent_states_${g}
(
    org_id        LowCardinality(String)         COMMENT 'Tenant',
    agent_id      LowCardinality(String)         COMMENT 'Id of the agent',
    seq           UInt32                         COMMENT 'Number of the interval, 1 is the first of the agent',
    state         LowCardinality(String)         COMMENT 'logged_in, paused, resumed or logged_out',
    reason        LowCardinality(String)         COMMENT 'Reason given; empty if none',
    campaign      LowCardinality(String)         COMMENT 'Campaign the agent worked on; empty if unknown',
    agent_name    LowCardinality(String)         COMMENT 'Name of the agent as known when the interval was last touched',
    agent_email   LowCardinality(String)         COMMENT 'Email of the agent as known when the interval was last touched',
    started_at    DateTime64(6, 'UTC')           COMMENT 'Begin of the interval',
    ended_at      Nullable(DateTime64(6, 'UTC')) COMMENT 'End of the interval; NULL for the state that lasts',
    first_seen_at DateTime64(6, 'UTC')           COMMENT 'recorded_at of the event that began the interval; never changes',
    version       UInt64                         COMMENT 'Number of events of the agent when the interval was last touched',
    `partition`   UInt16                         COMMENT 'Kafka partition of the events of the agent',
    `offset`      UInt64                         COMMENT 'Kafka offset of the event that last touched the interval',
    agent         String                         COMMENT 'The whole folded agent as JSON after that event; the sink goes on from it' CODEC(ZSTD(1))
)
ENGINE = ReplacingMergeTree(version)
-- first_seen_at never changes for an interval, so its rows meet in one partition.
PARTITION BY toYYYYMM(first_seen_at)
-- Serves the sink and the states of one agent.
ORDER BY (org_id, agent_id, seq)
SETTINGS index_granularity = 1024
COMMENT 'State intervals of agents of one build of analytics, old versions too until merged; query the view agent_states';
