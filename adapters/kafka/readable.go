package kafka

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// endings know where the readable part of partitions ends. A transaction of another
// program leaves a marker that nobody is handed, so that no checkpoint passes it before
// something follows: who waited for the end, as webhooks do for that of the leads, would
// wait for ever. It is safe for concurrent use.
type endings struct {
	mu    sync.Mutex
	known map[partition]ending
}

type partition struct {
	topic event.Topic
	id    int
}

// ending is where a partition ended when it was last asked for.
type ending struct {
	end, readable int64
	looked        bool
}

const (
	// looksAtOnce bounds the fetches that are under way for one question.
	looksAtOnce = 8
	lookWait    = 100 * time.Millisecond
	lookBytes   = 64 << 10
)

// cut makes of the ends those of what is readable. It looks once at each end that
// stands still or is new to this process; one that moves is followed by more, and is
// left as it is. So is one that cannot be looked at now.
func (t *endings) cut(ctx context.Context, ends map[event.Topic]map[int]int64, look func(ctx context.Context, at partition, end int64) (int64, error)) {
	var unknown []partition
	t.mu.Lock()
	if t.known == nil {
		t.known = make(map[partition]ending)
	}
	for topic, parts := range ends {
		for id, end := range parts {
			at := partition{topic, id}
			last, seen := t.known[at]
			switch {
			case seen && last.end != end:
				t.known[at] = ending{end: end}
			case last.looked:
				parts[id] = last.readable
			case end > 0:
				unknown = append(unknown, at)
			}
		}
	}
	t.mu.Unlock()
	found := make([]ending, len(unknown))
	var looks errgroup.Group
	looks.SetLimit(looksAtOnce)
	for i, at := range unknown {
		end := ends[at.topic][at.id]
		looks.Go(func() error {
			readable, err := look(ctx, at, end)
			found[i] = ending{end, readable, err == nil}
			return nil
		})
	}
	_ = looks.Wait() // none fails
	t.mu.Lock()
	defer t.mu.Unlock()
	for i, at := range unknown {
		t.known[at] = found[i]
		if found[i].looked {
			ends[at.topic][at.id] = found[i].readable
		}
	}
}

// readable returns the offset behind the last record below an end that is handed to
// readers.
func (c *Client) readable(ctx context.Context, at partition, end int64) (int64, error) {
	fetch := kafkago.FetchConfig{MaxWait: lookWait, MaxBytes: lookBytes}
	for back := int64(1); ; back *= 16 {
		from := max(end-back, 0)
		last := from
		for next := from; next < end; {
			got, err := kafkago.Fetch(ctx, c.broker(), string(at.topic), at.id, next, fetch, func(m kafka.Message) int64 { return m.Offset })
			switch {
			case errors.Is(err, projections.ErrOutOfRange):
				return end, nil // what stood there was deleted, whatever it was
			case err != nil:
				return 0, err
			}
			if n := len(got.Records); n > 0 {
				last = got.Records[n-1] + 1
			}
			if got.Next <= next {
				break
			}
			next = got.Next
		}
		if last > from || from == 0 {
			return min(last, end), nil
		}
	}
}
