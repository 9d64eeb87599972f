package kafka

import (
	"context"
	"fmt"
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
	poller *kafkago.Poller[kafkago.Record]
	// end is where the log ends at least, as far as this process knows.
	end   func() int64
	start func(context.Context) (int64, error)
	// polled was not handed out yet. Others have the records too.
	polled [][]kafkago.Record
	next   int64 // what Read goes on from
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
		start:  func(ctx context.Context) (int64, error) { return c.start(ctx, topic, id) },
	}
}

func (r *reader) Topic() event.Topic   { return r.topic }
func (r *reader) ID() int              { return r.id }
func (r *reader) HighWatermark() int64 { return r.high }

// Start implements projections.Partition.
func (r *reader) Start(ctx context.Context) (int64, error) { return r.start(ctx) }

func (r *reader) SeekTo(next int64) error {
	if next < 0 {
		return fmt.Errorf("seeking %s/%d to %d: %w", r.topic, r.id, next, projections.ErrOutOfRange)
	}
	if next != r.next {
		r.poller.SeekTo(next)
		r.polled, r.next = nil, next
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
	limit = max(limit, 1)
	if len(r.polled) == 0 {
		got, err := r.poller.Poll(ctx)
		if err != nil {
			return nil, err
		}
		r.polled, r.high = append(r.polled, got.Records), max(got.High, r.end())
		r.gather(ctx, limit)
	}
	n := 0
	for _, records := range r.polled {
		n += len(records)
	}
	events := make([]event.Recorded, 0, min(n, limit))
	for len(r.polled) > 0 && len(events) < limit {
		records := r.polled[0]
		n := min(len(records), limit-len(events))
		for _, one := range records[:n] {
			events = append(events, *one.Event)
		}
		if r.polled[0] = records[n:]; n == len(records) {
			r.polled[0], r.polled = nil, r.polled[1:] // or it would be kept until the next comes
		}
	}
	r.next = events[len(events)-1].Position.Offset + 1
	return events, nil
}

// gather adds what is in the log already: a consumer that is behind does better
// with few large batches. What goes wrong is met again by the next Read.
func (r *reader) gather(ctx context.Context, limit int) {
	ctx, cancel := context.WithTimeout(ctx, gatherTime)
	defer cancel()
	for n, bytes := 0, 0; ; {
		last := r.polled[len(r.polled)-1]
		n, bytes = n+len(last), bytes+sizeOf(last)
		if n >= limit || bytes >= gatherBytes || last[len(last)-1].Offset+1 >= r.high {
			return
		}
		got, err := r.poller.Poll(ctx)
		if err != nil {
			return
		}
		r.polled, r.high = append(r.polled, got.Records), max(got.High, r.high)
	}
}

func sizeOf(records []kafkago.Record) int {
	n := 0
	for _, r := range records {
		n += len(r.Value)
	}
	return n
}
