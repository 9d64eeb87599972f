package kafka_test

import (
	"fmt"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

func TestPastIsReadFromATimeToAnOffset(t *testing.T) {
	t.Parallel()
	c := newClient(t, testenv.Kafka(t))
	l := newLog(t, c, kafka.LogConfig{})
	past := kafka.NewPast(c, 300) // a few records at a time
	make20 := func(from int) []event.Event {
		var events []event.Event
		for i := from; i < from+20; i++ {
			now := time.Now()
			events = append(events, event.Event{
				Envelope: event.Envelope{ID: fmt.Sprintf("e-%d", i), Type: "call.started.v1", Source: "api", Subject: "one", Org: "org", OccurredAt: now, RecordedAt: now},
				Data:     []byte(`{}`),
			})
		}
		return events
	}
	before := time.Now()
	first, err := l.Append(t.Context(), make20(0)...)
	if err != nil {
		t.Fatal(err)
	}
	partition := first[0].Partition
	if got := past.PartitionOf("org", "one", partitions); got != partition {
		t.Errorf("the entity is in partition %d, by its key in %d", partition, got)
	}
	// The broker's times are whole milliseconds: the second half is in a later one.
	<-time.After(2 * time.Millisecond)
	middle := time.Now()
	if _, err := l.Append(t.Context(), make20(20)...); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		at   time.Time
		want int64
	}{{"before all", before.Add(-time.Hour), 0}, {"before the second half", middle, 20}, {"after all", time.Now().Add(time.Hour), 40}} {
		at, err := past.At(t.Context(), c.at, event.Calls, event.Leads)
		if err != nil {
			t.Fatal(err)
		}
		if got := at[event.Calls][partition]; got != c.want {
			t.Errorf("%s: offset %d, want %d", c.name, got, c.want)
		}
		if got, ok := at[event.Leads][0]; !ok || got != 0 || len(at[event.Leads]) != partitions {
			t.Errorf("%s: an empty topic is at %v", c.name, at[event.Leads])
		}
	}
	var ids []string
	pieces := 0
	for from := int64(5); from < 33; pieces++ {
		events, next, err := past.Read(t.Context(), event.Calls, partition, from, 33)
		if err != nil || next <= from {
			t.Fatalf("from %d to %d: %v", from, next, err)
		}
		for _, e := range events {
			ids = append(ids, e.ID)
		}
		from = next
	}
	if len(ids) != 28 || ids[0] != "e-5" || ids[27] != "e-32" || pieces < 2 {
		t.Errorf("%d events in %d pieces: %v", len(ids), pieces, ids)
	}
	if events, next, err := past.Read(t.Context(), event.Calls, partition, 33, 33); err != nil || len(events) != 0 || next != 33 {
		t.Errorf("nothing to read: %v, next %d, %v", events, next, err)
	}
}
