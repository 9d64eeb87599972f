// Package logtest is the conformance suite of the log: commands.Log with
// projections.Source and projections.Ends over the same topics. Run it against
// each implementation, memory first. It isolates itself by org and by the
// ends at its start, so a shared broker does.
package logtest

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Cluster is the log under test.
type Cluster struct {
	Log  commands.Log
	Ends projections.Ends
	// Member gives a member of consumer groups, as another process would have.
	Member func(t *testing.T) projections.Source
	// Partitions is how many partitions each topic has; at least 2.
	Partitions int
	// MaxEventBytes is a size of data that is too large.
	MaxEventBytes int
}

// patience bounds every wait of the suite. A rebalance on a loaded machine
// takes seconds.
const patience = 90 * time.Second

// Run runs the suite. The factory is called once for each test and may hand
// out the same broker again.
func Run(t *testing.T, factory func(t *testing.T) Cluster) {
	for _, tc := range []struct {
		name string
		test func(context.Context, *testing.T, *suite)
	}{
		{"what was appended is read back where Append said", readBack},
		{"an event of two topics stands on both", onTwoTopics},
		{"nothing to append is no error", appendNothing},
		{"events of an entity share a partition and keep the order of slice and calls", orderPerEntity},
		{"concurrent calls for one entity do not interleave", concurrentCallsForOneEntity},
		{"a batch larger than a request is appended whole", bigBatch},
		{"an event as large as the largest body is read as it was appended", large},
		{"an event that is too large is refused with its whole call", tooLarge},
		{"a malformed event is refused with its whole call", malformed},
		{"an ended context is unavailable, not an answer", endedContext},
		{"a call whose context ends is all or unknown", contextEnds},
		{"ends lie above what was acknowledged", ends},
		{"read honours its seek, its maximum and its context", reading},
		{"an offset beyond the end is an error", outOfRange},
		{"a handle that fails is called again", failingHandle},
		{"two members share the partitions and a takeover goes on", takeover},
		{"stop drains", stopDrains},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			c := factory(t)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			t.Cleanup(cancel)
			s := &suite{Cluster: c, org: "org-" + strings.ToLower(rand.Text()[:12])}
			starts, err := c.Ends.Ends(ctx, event.Topics()...)
			if err != nil {
				t.Fatal(err)
			}
			s.starts = starts
			tc.test(ctx, t, s)
		})
	}
}

// suite is what one test works with.
type suite struct {
	Cluster
	org    string
	starts map[event.Topic]map[int]int64
}

// event makes the n-th event of an entity.
func (s *suite) event(t event.Type, subject string, n int) event.Event {
	at := time.Date(2026, 11, 22, 9, 0, 0, 123456000, time.UTC).Add(time.Duration(n) * time.Microsecond)
	return event.Event{
		Envelope: event.Envelope{
			ID:         event.DeriveID(s.org, string(t), subject, fmt.Sprint(n)),
			Type:       t,
			Source:     "connection/c-1",
			Subject:    subject,
			Org:        s.org,
			OccurredAt: at,
			RecordedAt: at.Add(time.Second),
		},
		Data: fmt.Appendf(nil, `{"n":%d,"text":"<b>Grüße</b>"}`, n),
	}
}

func (s *suite) append(ctx context.Context, t *testing.T, events ...event.Event) []event.Position {
	t.Helper()
	positions, err := s.Log.Append(ctx, events...)
	if err != nil {
		t.Fatal(err)
	}
	if len(positions) != len(events) {
		t.Fatalf("%d positions for %d events", len(positions), len(events))
	}
	return positions
}

// read returns this test's events of the topics up to their present ends, by
// position.
func (s *suite) read(ctx context.Context, t *testing.T, topics ...event.Topic) map[event.Position]event.Recorded {
	t.Helper()
	ends, err := s.Ends.Ends(ctx, topics...)
	if err != nil {
		t.Fatal(err)
	}
	got := make(map[event.Position]event.Recorded)
	left := 0
	for _, topic := range topics {
		for p, end := range ends[topic] {
			if end > s.starts[topic][p] {
				left++
			}
		}
	}
	if left == 0 {
		return got
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	err = s.Member(t).Run(ctx, "read-"+rand.Text(), topics, func(ctx context.Context, p projections.Partition) error {
		next, end := s.starts[p.Topic()][p.ID()], ends[p.Topic()][p.ID()]
		if next == end {
			<-ctx.Done()
			return nil
		}
		if err := p.SeekTo(next); err != nil {
			return err
		}
		mine := make(map[event.Position]event.Recorded)
		for next < end {
			events, err := p.Read(ctx, 1000)
			if err != nil {
				return err
			}
			for _, e := range events {
				if e.Position.Offset < next {
					return fmt.Errorf("offset %d after %d", e.Position.Offset, next-1)
				}
				next = e.Position.Offset + 1
				if e.Org == s.org {
					mine[e.Position] = e
				}
			}
		}
		mu.Lock()
		maps.Copy(got, mine)
		if left--; left == 0 {
			cancel()
		}
		mu.Unlock()
		<-ctx.Done()
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	defer mu.Unlock()
	if left > 0 {
		t.Fatalf("%d partitions were not read to their end", left)
	}
	return got
}
