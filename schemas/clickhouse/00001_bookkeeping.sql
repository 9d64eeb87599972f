-- What the sink knows about itself. Nothing here is a read model, so nothing
-- here is rebuilt, and clocks and random numbers are allowed.
--
-- Statements end with a semicolon at the end of a line. All of them may be run
-- again.

CREATE TABLE IF NOT EXISTS sink_generations
(
    model      LowCardinality(String)  COMMENT 'analytics or delivery_log',
    generation UInt32                  COMMENT 'Number of the build; its tables end in _g and this number',
    status     LowCardinality(String)  COMMENT 'building, live, retired or dropped',
    views      String                  COMMENT 'Hash of the views that were made over it; empty if they are not made yet',
    revision   UInt64                  COMMENT 'The highest revision of a generation is its present status'
)
ENGINE = ReplacingMergeTree(revision)
-- Read whole; it has one row for each build that ever was.
ORDER BY (model, generation)
COMMENT 'Builds of the read models and which of them is the live one';

CREATE TABLE IF NOT EXISTS sink_epochs
(
    model       LowCardinality(String) COMMENT 'analytics or delivery_log',
    generation  UInt32                 COMMENT 'Number of the build',
    topic       LowCardinality(String) COMMENT 'Kafka topic',
    `partition` UInt16                 COMMENT 'Kafka partition',
    epoch       UInt64                 COMMENT 'Of the owners of a partition, the one with the highest epoch may insert'
)
ENGINE = ReplacingMergeTree(epoch)
-- Serves the gates: all epochs of one build.
ORDER BY (model, generation, topic, `partition`)
COMMENT 'Who owns a partition: the fence against a former owner that does not know yet';

CREATE TABLE IF NOT EXISTS sink_checkpoints
(
    model       LowCardinality(String)  COMMENT 'analytics or delivery_log',
    generation  UInt32                  COMMENT 'Number of the build',
    topic       LowCardinality(String)  COMMENT 'Kafka topic',
    `partition` UInt16                  COMMENT 'Kafka partition',
    next        UInt64                  COMMENT 'All offsets below it are in the tables; the highest row counts',
    recorded_at DateTime64(6, 'UTC')    COMMENT 'recorded_at of the event before next',
    written_at  DateTime64(6, 'UTC')    COMMENT 'When the sink wrote this, by its clock'
)
ENGINE = ReplacingMergeTree(next)
-- Serves the claim of one partition and the positions of one build.
ORDER BY (model, generation, topic, `partition`)
COMMENT 'How far each build has read each partition of the log';

CREATE TABLE IF NOT EXISTS sink_parked
(
    model       LowCardinality(String)  COMMENT 'analytics or delivery_log',
    generation  UInt32                  COMMENT 'Number of the build',
    topic       LowCardinality(String)  COMMENT 'Kafka topic',
    `partition` UInt16                  COMMENT 'Kafka partition',
    `offset`    UInt64                  COMMENT 'Kafka offset',
    org_id      String                  COMMENT 'Org of the event, empty if the record could not be read',
    event_id    String                  COMMENT 'Id of the event, empty if the record could not be read',
    type        String                  COMMENT 'Event type, empty if the record could not be read',
    entity_id   String                  COMMENT 'Entity of the event, empty if the record could not be read',
    reason      String                  COMMENT 'What is wrong with it'
)
ENGINE = ReplacingMergeTree
-- Serves the list of one build, oldest first.
ORDER BY (model, generation, topic, `partition`, `offset`)
COMMENT 'Records that a build could not take in whole; read it with FINAL';
