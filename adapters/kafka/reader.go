package kafka

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// reader implements projections.Partition by long polls. While the caller works
// on one chunk the next is on its way, so two chunks are held at most.
type reader struct {
	client *Client
	cfg    SourceConfig
	topic  event.Topic
	id     int

	events []event.Recorded // read from Kafka, not yet handed out
	next   int64            // of the first of events, or of the next chunk
	high   int64

	cancel context.CancelFunc // of the poll under way; nil if there is none
	polled chan polled
}

var _ projections.Partition = (*reader)(nil)

type polled struct {
	chunk chunk
	err   error
}

// newReader reads from the partition's first offset unless it is sent
// elsewhere.
func newReader(client *Client, cfg SourceConfig, topic event.Topic, id int) *reader {
	return &reader{client: client, cfg: cfg, topic: topic, id: id, next: kafka.FirstOffset}
}

func (r *reader) Topic() event.Topic   { return r.topic }
func (r *reader) ID() int              { return r.id }
func (r *reader) HighWatermark() int64 { return r.high }

func (r *reader) SeekTo(next int64) error {
	if next < 0 {
		return fmt.Errorf("seeking %s/%d to %d: %w", r.topic, r.id, next, projections.ErrOutOfRange)
	}
	if next == r.next {
		return nil
	}
	r.close()
	r.events, r.next = nil, next
	return nil
}

func (r *reader) Read(ctx context.Context, limit int) ([]event.Recorded, error) {
	for len(r.events) == 0 {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r.poll(ctx, r.next)
		select {
		case <-ctx.Done():
			return nil, ctx.Err() // the poll goes on, for the next Read
		case p := <-r.polled:
			r.cancel()
			r.cancel = nil
			if p.err != nil {
				return nil, p.err
			}
			r.events, r.next, r.high = p.chunk.events, p.chunk.next, p.chunk.high
			if len(r.events) > 0 {
				r.poll(ctx, r.next)
				r.next = r.events[0].Position.Offset
			}
		}
	}
	n := min(max(limit, 1), len(r.events))
	got := r.events[:n:n]
	r.events = r.events[n:]
	r.next = got[n-1].Position.Offset + 1
	return got, nil
}

// poll starts to fetch, unless that is under way. The poll outlives the Read
// that began it; close ends it.
func (r *reader) poll(ctx context.Context, offset int64) {
	if r.cancel != nil {
		return
	}
	ctx, r.cancel = context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan polled, 1)
	r.polled = done
	go func() {
		c, err := r.fetch(ctx, offset)
		done <- polled{c, err}
	}()
}

// close ends the poll under way and waits for it.
func (r *reader) close() {
	if r.cancel == nil {
		return
	}
	r.cancel()
	<-r.polled
	r.cancel = nil
}

// fetch returns the next chunk that holds something. It goes on over broken
// connections and moved leaders; it fails when the offset is not there and when
// there is something to read that does not come.
func (r *reader) fetch(ctx context.Context, offset int64) (chunk, error) {
	b := newBackoff(20*time.Millisecond, 500*time.Millisecond)
	var stalled, failing, said time.Time
	for {
		c, err := r.client.fetch(ctx, r.topic, r.id, offset, r.cfg.MaxWait, r.cfg.FetchBytes)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return chunk{}, ctx.Err()
		case errors.Is(err, projections.ErrOutOfRange), err != nil && permanent(err):
			return chunk{}, fmt.Errorf("fetching: %w", err)
		case err != nil:
			if failing.IsZero() {
				failing = now
			}
			if now.Sub(failing) > time.Second && now.Sub(said) > complainEvery {
				said = now
				r.client.cfg.Logger.Warn("fetching fails, trying on", "topic", r.topic, "partition", r.id, "offset", offset, "err", err)
			}
		case len(c.events) > 0 || c.next > offset && offset >= 0:
			return c, nil
		case offset >= 0 && c.high > offset:
			// An answer without records, although there are some: once is a race
			// with an append, for long is a broker that cannot read its own log.
			if stalled.IsZero() {
				stalled = now
			}
			if now.Sub(stalled) >= r.cfg.StallAfter {
				return chunk{}, fmt.Errorf("fetching %s/%d@%d, high watermark %d: %w", r.topic, r.id, offset, c.high, projections.ErrStalled)
			}
		default:
			// Nothing there within MaxWait.
			b.reset()
			stalled, failing = time.Time{}, time.Time{}
			continue
		}
		b.wait(ctx)
	}
}
