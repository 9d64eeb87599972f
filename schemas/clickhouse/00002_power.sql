-- What a machine that loses its power keeps. ClickHouse flushes nothing: what was
-- inserted is on the disk when the operating system has written it there, half a
-- minute later.

ALTER TABLE sink_checkpoints
    ADD COLUMN IF NOT EXISTS settled UInt64 COMMENT 'All offsets below it have been in the tables for so long that they are on the disk';

ALTER TABLE sink_checkpoints
    ADD COLUMN IF NOT EXISTS server_start DateTime64(3, 'UTC') COMMENT 'When the server that was written to had begun, by its clock; a claim on a later one goes on from settled';
