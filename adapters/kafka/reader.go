package kafka

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// reader implements projections.Partition over a poller.
type reader struct {
	topic  event.Topic
	id     int
	poller *kafkago.Poller[event.Recorded]
	// end is where the log ends at least, as far as this process knows.
	end    func() int64
	events []event.Recorded // polled, not yet handed out
	next   int64            // what Read goes on from
	high   int64
}

var _ projections.Partition = (*reader)(nil)

// newReader reads from the partition's first offset unless it is sent
// elsewhere.
func newReader(c *Client, cfg SourceConfig, topic event.Topic, id int) *reader {
	fetch := kafkago.FetchConfig{MaxWait: cfg.MaxWait, MaxBytes: cfg.FetchBytes}
	return &reader{
		topic: topic, id: id, next: kafka.FirstOffset,
		poller: c.poller(topic, id, kafka.FirstOffset, fetch, cfg.StallAfter),
		end:    func() int64 { return c.shared.End(string(topic), id) },
	}
}

func (r *reader) Topic() event.Topic   { return r.topic }
func (r *reader) ID() int              { return r.id }
func (r *reader) HighWatermark() int64 { return r.high }

func (r *reader) SeekTo(next int64) error {
	if next < 0 {
		return fmt.Errorf("seeking %s/%d to %d: %w", r.topic, r.id, next, projections.ErrOutOfRange)
	}
	if next != r.next {
		r.poller.SeekTo(next)
		r.events, r.next = nil, next
	}
	return nil
}

// What a reader that is behind gathers for one batch, and for how long at most:
// what is due may be a marker of somebody's transaction, which nobody sees.
const (
	gatherBytes = 1 << 20
	gatherTime  = 50 * time.Millisecond
)

func (r *reader) Read(ctx context.Context, limit int) ([]event.Recorded, error) {
	if len(r.events) == 0 {
		polled, err := r.poller.Poll(ctx)
		if err != nil {
			return nil, err
		}
		r.events, r.high = polled.Records, max(polled.High, r.end())
		r.gather(ctx, limit)
	}
	n := min(max(limit, 1), len(r.events))
	got := r.events[:n:n]
	if r.events = r.events[n:]; len(r.events) == 0 {
		r.events = nil // the rest of nothing would keep the whole batch until the next comes
	}
	r.next = got[n-1].Position.Offset + 1
	return got, nil
}

// gather adds what is in the log already: a consumer that is behind does better
// with few large batches. What goes wrong is met again by the next Read.
func (r *reader) gather(ctx context.Context, limit int) {
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	bytes := sizeOf(r.events)
	if due := int(r.high - r.events[len(r.events)-1].Position.Offset - 1); due > 0 && len(r.events) < limit {
		r.events = slices.Grow(r.events, min(limit-len(r.events), due))
	}
	for len(r.events) < limit && bytes < gatherBytes && r.events[len(r.events)-1].Position.Offset+1 < r.high {
		polled, err := r.poller.Poll(ctx)
		if err != nil {
			return
		}
		r.events = append(r.events, polled.Records...)
		r.high = max(polled.High, r.high)
		bytes += sizeOf(polled.Records)
	}
}

func sizeOf(events []event.Recorded) int {
	n := 0
	for i := range events {
		n += len(events[i].Data)
	}
	return n
}
