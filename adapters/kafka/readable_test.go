package kafka_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"testing"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

// endsBeforeMarkers shows that the log ends behind the last record that readers get:
// checkpoints do not pass what another program's transaction leaves behind it.
func endsBeforeMarkers(t *testing.T, addr string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := newClient(t, addr)
	l := newLog(t, c, kafka.LogConfig{})
	other, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID("other-"+rand.Text()), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	// Nobody else appends to the partition, or the marker would not be the last.
	const id = 0
	transaction := func(how kgo.TransactionEndTry) int64 {
		t.Helper()
		if err := other.BeginTransaction(); err != nil {
			t.Fatal(err)
		}
		r, err := other.ProduceSync(ctx, &kgo.Record{Topic: string(event.Calls), Partition: id, Value: []byte("{}")}).First()
		if err != nil {
			t.Fatal(err)
		}
		if err := other.EndTransaction(ctx, how); err != nil {
			t.Fatal(err)
		}
		return r.Offset + 1
	}
	// The marker is written a little after the transaction has ended.
	marked := func(records int64) {
		t.Helper()
		testenv.Eventually(t, func() error {
			resp, err := api(t, addr).ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{string(event.Calls): {kafkago.LastOffsetOf(id)}}})
			if err != nil {
				return err
			}
			if end := resp.Topics[string(event.Calls)][0].LastOffset; end <= records {
				return fmt.Errorf("the log ends at %d, without a marker", end)
			}
			return nil
		})
	}
	ends := func(what string, c *kafka.Client, want int64) {
		t.Helper()
		testenv.Eventually(t, func() error { // an end that has just moved is looked at the next time
			all, err := c.Ends(ctx, event.Calls)
			if err != nil {
				return err
			}
			if got := all[event.Calls][id]; got != want {
				return fmt.Errorf("%s the log ends at %d, want %d", what, got, want)
			}
			return nil
		})
	}
	want := transaction(kgo.TryCommit)
	marked(want)
	ends("after a transaction", c, want)
	ends("asked for the first time", newClient(t, addr), want)
	want = transaction(kgo.TryAbort) // its record is handed out all the same
	marked(want)
	ends("after one that was given up", c, want)

	// What follows is behind the markers.
	for n := 0; ; n++ {
		positions, err := l.Append(ctx, note("o-markers", fmt.Sprint("c-", n), n))
		if err != nil {
			t.Fatal(err)
		}
		if p := positions[0]; p.Partition == id {
			ends("after a record", c, p.Offset+1)
			return
		}
	}
}

func TestEndsBeforeMarkers(t *testing.T) {
	t.Parallel()
	endsBeforeMarkers(t, testenv.Kafka(t))
}
