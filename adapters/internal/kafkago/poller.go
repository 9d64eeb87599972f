package kafkago

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/projections"
)

// PollConfig says how a partition is read.
type PollConfig struct {
	// StallAfter is how long records may be due without coming.
	StallAfter time.Duration
	Logger     *slog.Logger
}

// Fetcher asks once for the records from an offset on, as Fetch does.
type Fetcher[T any] func(ctx context.Context, offset int64) (Fetched[T], error)

// Poller reads one partition by long polls. While the caller works on what came
// the next poll is under way, so it holds one answer at most. It is for one
// goroutine.
type Poller[T any] struct {
	ask       Fetcher[T]
	cfg       PollConfig
	topic     string
	partition int

	next   int64              // where the poll under way, or the next one, begins
	cancel context.CancelFunc // of the poll under way; nil if there is none
	answer chan answer[T]
}

type answer[T any] struct {
	fetched Fetched[T]
	err     error
}

// NewPoller reads from an offset on, which may be kafka.FirstOffset. The fetcher
// is called in a goroutine of the poller.
func NewPoller[T any](ask Fetcher[T], cfg PollConfig, topic string, partition int, from int64) *Poller[T] {
	return &Poller[T]{ask: ask, cfg: cfg, topic: topic, partition: partition, next: from}
}

// SeekTo sets where the next Poll goes on.
func (p *Poller[T]) SeekTo(next int64) {
	p.Close()
	p.next = next
}

// Poll waits for at least one record and returns what came. It goes on over
// broken connections and moved leaders; it fails with projections.ErrOutOfRange
// when the offset is not there and with projections.ErrStalled when there is
// something to read that does not come. The end of ctx loses nothing.
func (p *Poller[T]) Poll(ctx context.Context) (Fetched[T], error) {
	for {
		if err := ctx.Err(); err != nil {
			return Fetched[T]{}, err
		}
		p.start(ctx)
		select {
		case <-ctx.Done():
			return Fetched[T]{}, ctx.Err() // the poll goes on, for the next call
		case a := <-p.answer:
			p.cancel()
			p.cancel = nil
			if a.err != nil {
				return Fetched[T]{}, a.err
			}
			p.next = a.fetched.Next
			if len(a.fetched.Records) > 0 {
				p.start(ctx)
				return a.fetched, nil
			}
		}
	}
}

// Close ends the poll under way and waits for it. The poller may be used again.
func (p *Poller[T]) Close() {
	if p.cancel == nil {
		return
	}
	p.cancel()
	<-p.answer
	p.cancel = nil
}

// start begins a poll unless one is under way. It outlives the call that began
// it; Close ends it.
func (p *Poller[T]) start(ctx context.Context) {
	if p.cancel != nil {
		return
	}
	ctx, p.cancel = context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan answer[T], 1)
	p.answer = done
	offset := p.next
	go func() {
		f, err := p.fetch(ctx, offset)
		done <- answer[T]{f, err}
	}()
}

// fetch repeats the request until something comes.
func (p *Poller[T]) fetch(ctx context.Context, offset int64) (Fetched[T], error) {
	b := NewBackoff(20*time.Millisecond, 500*time.Millisecond)
	var stalled, failing, said time.Time
	for {
		f, err := p.ask(ctx, offset)
		now := time.Now()
		switch {
		case ctx.Err() != nil:
			return Fetched[T]{}, ctx.Err()
		case errors.Is(err, projections.ErrOutOfRange), err != nil && Permanent(err):
			return Fetched[T]{}, fmt.Errorf("fetching: %w", err)
		case err != nil:
			if failing.IsZero() {
				failing = now
			}
			if now.Sub(failing) > time.Second && now.Sub(said) > ComplainEvery {
				said = now
				p.cfg.Logger.Warn("fetching fails, trying on", slog.Any("topic", p.topic), slog.Int("partition", p.partition), slog.Int64("offset", offset), slog.Any("err", err))
			}
		case len(f.Records) > 0 || offset >= 0 && f.Next > offset:
			return f, nil
		case offset >= 0 && f.High > offset:
			// An answer without records, although there are some: once is a race
			// with an append, for long is a broker that cannot read its own log.
			if stalled.IsZero() {
				stalled = now
			}
			if now.Sub(stalled) >= p.cfg.StallAfter {
				return Fetched[T]{}, fmt.Errorf("fetching %s/%d@%d, high watermark %d: %w", p.topic, p.partition, offset, f.High, projections.ErrStalled)
			}
		default:
			// Nothing there within MaxWait.
			b.Reset()
			stalled, failing = time.Time{}, time.Time{}
			continue
		}
		b.Wait(ctx)
	}
}
