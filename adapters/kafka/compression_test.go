package kafka_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

// attempts are n attempts of deliveries of a few calls: each has much of the others.
func attempts(org string, n int) []event.Event {
	var events []event.Event
	for i := range n {
		e := note(org, fmt.Sprintf("d-%d", i%7), i)
		e.Type = "delivery.attempted.v1"
		events = append(events, e)
	}
	return events
}

func TestAttemptsAreCompressed(t *testing.T) {
	t.Parallel()
	compressesAttempts(t, testenv.Kafka(t))
}

// compressesAttempts shows what stands in the log of attempts and of calls, and that
// both read the same, from anywhere in a batch.
func compressesAttempts(t *testing.T, addr string) {
	c := newClient(t, addr)
	l := newLog(t, c, kafka.LogConfig{})
	const n = 400
	events := attempts("o-compressed", n)
	for i := range n {
		events = append(events, note("o-compressed", fmt.Sprintf("c-%d", i%7), i))
	}
	positions, err := l.Append(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[event.Topic]kafkago.Compression{event.Deliveries: kafkago.Gzip, event.Calls: 0}
	where := make(map[event.Position]event.Event)
	for i, at := range positions {
		where[at] = events[i]
	}
	fetcher := &kafkago.Client{Addr: kafkago.TCP(addr)}
	past := kafka.NewPast(c, 0)
	for i, at := range positions {
		if i%97 != 0 {
			continue
		}
		resp, err := fetcher.Fetch(t.Context(), &kafkago.FetchRequest{Topic: string(at.Topic), Partition: at.Partition, Offset: at.Offset, MinBytes: 1, MaxBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range resp.Records.(*protocol.RecordStream).Records {
			if got := b.(*protocol.RecordBatch).Attributes.Compression(); got != stored[at.Topic] {
				t.Errorf("the batch at %s is compressed by %s, want %s", at, got, stored[at.Topic])
			}
		}
		got, _, err := past.Read(t.Context(), at.Topic, at.Partition, at.Offset, at.Offset+2)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range got {
			if d := cmp.Diff(where[e.Position], e.Event); d != "" {
				t.Errorf("read from %s (-appended +read):\n%s", at, d)
			}
		}
		if len(got) == 0 || got[0].Position != at {
			t.Errorf("reading from %s brought %d events", at, len(got))
		}
	}
}
