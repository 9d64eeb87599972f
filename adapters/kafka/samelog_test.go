package kafka_test

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// checkpoint is a store of one partition: where it has come to and what came.
type checkpoint struct {
	next int64
	last projections.Mark

	mu  sync.Mutex
	got []event.Recorded
}

func (c *checkpoint) Claim(_ context.Context, _ event.Topic, partition int) (projections.Session, error) {
	if partition != c.last.Partition {
		return &checkpoint{last: projections.Mark{Partition: partition}}, nil
	}
	return c, nil
}

func (c *checkpoint) Next() int64            { return c.next }
func (c *checkpoint) Last() projections.Mark { return c.last }
func (c *checkpoint) Close()                 {}

func (c *checkpoint) Confirm(context.Context) error { return nil }

func (c *checkpoint) Apply(_ context.Context, events []event.Recorded) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.got = append(c.got, events...)
	return nil
}

func (c *checkpoint) applied() []event.Recorded {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.got
}

// Whoever goes on from a checkpoint finds out whether the log is the one that it was
// made from.
func TestALogIsKnownByTheLastRecordThatHadItsEffect(t *testing.T) {
	t.Parallel()
	one := func(n int) event.Event {
		now := time.Now()
		return event.Event{
			Envelope: event.Envelope{ID: fmt.Sprintf("e-%d", n), Type: "call.started.v1", Source: "api", Subject: "one", Org: "org", OccurredAt: now, RecordedAt: now},
			Data:     []byte(`{}`),
		}
	}
	fill := func(t *testing.T, log *kafka.Log, n int) []event.Position {
		t.Helper()
		var events []event.Event
		for i := range n {
			events = append(events, one(i))
		}
		positions, err := log.Append(t.Context(), events...)
		if err != nil {
			t.Fatal(err)
		}
		return positions
	}
	for name, c := range map[string]struct {
		// back is how far the session reads on before the checkpoint.
		back int64
		// change returns the address of the log afterwards.
		change     func(t *testing.T, addr string, at event.Position) string
		want, says string
	}{
		"the same log": {want: "e-10"},
		"the same log, and the last records are read again": {back: 3, want: "e-7"},
		"retention has deleted all records": {
			change: func(t *testing.T, addr string, at event.Position) string {
				testenv.DeleteRecords(t, addr, string(at.Topic), at.Partition, 10)
				return addr
			},
			want: "e-10",
		},
		"records were deleted that nobody had read": {
			change: func(t *testing.T, addr string, at event.Position) string {
				fill(t, newLog(t, newClient(t, addr), kafka.LogConfig{}), 2)
				testenv.DeleteRecords(t, addr, string(at.Topic), at.Partition, 12)
				return addr
			},
			says: "has been read up to 10, but the log begins at 12: what stood between was deleted unread",
		},
		"records were deleted that are to be read again": {
			back: 3,
			change: func(t *testing.T, addr string, at event.Position) string {
				testenv.DeleteRecords(t, addr, string(at.Topic), at.Partition, 10)
				return addr
			},
			says: "has been read up to 7, but the log begins at 10: what stood between was deleted unread",
		},
		"another log that is longer": {
			says: "it is not the log that this was made from",
			change: func(t *testing.T, _ string, _ event.Position) string {
				other := testenv.Kafka(t)
				fill(t, newLog(t, newClient(t, other), kafka.LogConfig{}), 15)
				return other
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := testenv.Kafka(t)
			client := newClient(t, addr)
			positions := fill(t, newLog(t, client, kafka.LogConfig{}), 10)
			at := positions[9]
			events, _, err := kafka.NewPast(client, 0).Read(t.Context(), at.Topic, at.Partition, at.Offset, at.Offset+1)
			if err != nil || len(events) != 1 {
				t.Fatalf("%d events, %v", len(events), err)
			}
			if c.change != nil {
				client = newClient(t, c.change(t, addr, at))
			}
			s := &checkpoint{next: 10 - c.back, last: projections.Mark{Partition: at.Partition, Offset: at.Offset, RecordedAt: events[0].RecordedAt}}
			r, err := projections.NewRunner(projections.RunnerConfig{
				Projection: "calls", Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{event.Calls},
				Source: newSource(t, client, quick()), Applier: s, Log: slog.New(slog.DiscardHandler), Now: time.Now,
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			if _, err := newLog(t, client, kafka.LogConfig{}).Append(t.Context(), one(10)); err != nil {
				t.Fatal(err)
			}
			testenv.Eventually(t, func() error {
				for _, p := range r.Parts() {
					if c.want == "" && p.Partition == at.Partition && p.OtherLog && strings.Contains(p.Err, c.says) {
						return nil
					}
				}
				if got := s.applied(); c.want == "" || len(got) == 0 || got[0].ID != c.want || got[len(got)-1].ID != "e-10" {
					return fmt.Errorf("%d events, parts %+v", len(got), r.Parts())
				}
				return nil
			})
			if got := s.applied(); c.want == "" && len(got) > 0 {
				t.Errorf("%d events of another log were applied", len(got))
			}
			if err := r.Stop(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
}
