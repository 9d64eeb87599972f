package kafka

import (
	"context"
	"fmt"

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

func (r *reader) Read(ctx context.Context, limit int) ([]event.Recorded, error) {
	if len(r.events) == 0 {
		polled, err := r.poller.Poll(ctx)
		if err != nil {
			return nil, err
		}
		r.events, r.high = polled.Records, polled.High
	}
	n := min(max(limit, 1), len(r.events))
	got := r.events[:n:n]
	r.events = r.events[n:]
	r.next = got[n-1].Position.Offset + 1
	return got, nil
}
