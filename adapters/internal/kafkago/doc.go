// Package kafkago is what segmentio/kafka-go leaves to its users, for the two
// adapters that use it: group membership without its group Reader (which hands
// out stale records after a rebalance), long polls that a seek or a stop cuts
// short, connections that can be closed, and which errors are worth a retry. It
// knows records, not events.
package kafkago
