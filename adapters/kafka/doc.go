// Package kafka is the log on Kafka, by segmentio/kafka-go: topics that are
// created and verified, events as CloudEvents records, appends by group commit,
// partitions handed out by consumer groups, and a feed that reads the topics
// directly. It decides nothing about events. Its invariant: what Append
// returned a position for is on all in-sync replicas, and no event of a
// partition is sent before an earlier one is durable or given up to its caller
// as unknown.
package kafka
