// Package watermill is a Watermill Publisher and Subscriber on
// segmentio/kafka-go. It passes Watermill's own pubsub/tests. What it adds for
// the webhook router: messages say where they stand in the log, a subscriber may
// start from a checkpoint of ours instead of the group's, and several messages
// of a partition may be in flight. It knows nothing of webhooks. Its invariant:
// a position moves only behind messages that were acked, all of them.
package watermill
