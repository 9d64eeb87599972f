package kafka_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

// A reader that goes on from the middle of a page gets the rest of it: each
// partition stands behind the last event that was passed, the others where they
// were.
func TestCursorPastGoesOnBehindTheEvent(t *testing.T) {
	t.Parallel()
	at := func(topic event.Topic, partition int, offset int64) event.Position {
		return event.Position{Topic: topic, Partition: partition, Offset: offset}
	}
	cursor := func(next ...event.Position) kafka.Cursor {
		c, err := kafka.ParseCursor("c" + event.EncodePositions(next...))
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	before := cursor(at(event.Calls, 0, 5), at(event.Calls, 1, 7))
	got := before.Past(event.Recorded{Position: at(event.Calls, 1, 9)}).Past(event.Recorded{Position: at(event.Leads, 2, 0)})
	if want := cursor(at(event.Calls, 0, 5), at(event.Calls, 1, 10), at(event.Leads, 2, 1)); !got.Equal(want) {
		t.Errorf("got %s, want %s", got, want)
	}
	if want := cursor(at(event.Calls, 0, 5), at(event.Calls, 1, 7)); !before.Equal(want) {
		t.Error("the cursor before has changed")
	}
	first := kafka.Cursor{}.Past(event.Recorded{Position: at(event.Calls, 0, 0)})
	if want := cursor(at(event.Calls, 0, 1)); !first.Equal(want) {
		t.Errorf("from the beginning: got %s, want %s", first, want)
	}
}
