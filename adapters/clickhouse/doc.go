// Package clickhouse keeps the analytics and the delivery log in ClickHouse:
// the sink that projections apply events to, the builds of its tables, and the
// readers of the delivery log and of old history.
//
// Its invariant: at any moment, after any crash and any repeat, each event of
// the log below a checkpoint is in the tables exactly once, and the rollups
// agree with the rows. It holds because rows carry their place in the log, a
// new owner of a partition reads back which places are there, a former owner is
// refused by a gate in front of the tables, and a rollup is written inside the
// part of its rows. It refuses to rely on insert deduplication: a token that is
// remembered while its rows are lost loses them for good.
package clickhouse
