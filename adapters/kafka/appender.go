package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sync/semaphore"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

const (
	retryMin = 20 * time.Millisecond
	retryMax = 500 * time.Millisecond
)

var (
	errStopped  = errors.New("log stopped")
	errGivenUp  = errors.New("retried for too long")
	errDropped  = errors.New("caller gone before it was sent")
	errFailFast = errors.New("partition fails")
)

// share is what one Append has for one partition.
type share struct {
	to      *appender
	records []record
	bytes   int
	// abandoned is set when the caller has been told that it failed.
	abandoned atomic.Bool
	// taken counts the records that went into batches; the appender's own.
	taken int
	// offsets and err are set before done is closed.
	offsets []int64
	err     error
	done    chan struct{}
}

// appender sends the events of one partition, one request at a time, in the
// order in which they were queued.
type appender struct {
	log   *Log
	topic event.Topic
	id    int
	room  *semaphore.Weighted
	wake  chan struct{} // one token: the queue changed

	mu     sync.Mutex
	queue  []*share
	busy   bool // a batch is under way
	closed bool
	// failing is when the first of the attempts that have failed since the last
	// success did; zero if the last succeeded.
	failing time.Time
	said    time.Time
}

func newAppender(l *Log, topic event.Topic, id int) *appender {
	return &appender{log: l, topic: topic, id: id, room: semaphore.NewWeighted(int64(l.cfg.QueueBytes)), wake: make(chan struct{}, 1)}
}

// weight is what a share takes of the queue. A share larger than the queue
// waits until the queue is empty.
func (a *appender) weight(s *share) int64 { return int64(min(s.bytes, a.log.cfg.QueueBytes)) }

func (a *appender) enqueue(ctx context.Context, s *share) error {
	if err := a.refuses(); err != nil {
		return err
	}
	if err := a.room.Acquire(ctx, a.weight(s)); err != nil {
		return fmt.Errorf("waiting for room in the queue of %s/%d: %w: %w", a.topic, a.id, commands.ErrUnavailable, err)
	}
	a.mu.Lock()
	if a.closed {
		a.mu.Unlock()
		a.room.Release(a.weight(s))
		return fmt.Errorf("%w: %w", commands.ErrUnavailable, errStopped)
	}
	a.queue = append(a.queue, s)
	a.mu.Unlock()
	a.log.meter.queued(len(s.records), s.bytes)
	a.signal()
	return nil
}

// refuses fails fast while the partition is known to be down. The batch that is
// being retried finds out when it is back; with none under way, the next Append
// is let in to find out.
func (a *appender) refuses() error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return fmt.Errorf("%w: %w", commands.ErrUnavailable, errStopped)
	}
	if a.failing.IsZero() || !a.busy && len(a.queue) == 0 {
		return nil
	}
	if since := time.Since(a.failing); since > a.log.cfg.FailFastAfter {
		return fmt.Errorf("%w: %w: %s/%d for %s", commands.ErrUnavailable, errFailFast, a.topic, a.id, since.Round(time.Millisecond))
	}
	return nil
}

func (a *appender) signal() {
	select {
	case a.wake <- struct{}{}:
	default:
	}
}

func (a *appender) close() {
	a.mu.Lock()
	a.closed = true
	a.mu.Unlock()
	a.signal()
}

// run sends until the queue is empty after close, or ctx ends.
func (a *appender) run(ctx context.Context) {
	for {
		batch, closed := a.take()
		if len(batch) > 0 {
			a.send(ctx, batch)
			continue
		}
		if closed {
			return
		}
		select {
		case <-a.wake:
		case <-ctx.Done():
			a.close()
		}
	}
}

// span is a run of a share's records within a batch.
type span struct {
	share    *share
	from, to int
}

// take collects the next batch. It drops what nobody waits for any more, which
// is safe only because it has not been sent.
func (a *appender) take() (batch []span, closed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	bytes, count := 0, 0
	for len(a.queue) > 0 {
		s := a.queue[0]
		if s.err != nil || s.abandoned.Load() {
			a.queue = a.queue[1:]
			a.finish(s, errDropped)
			continue
		}
		from := s.taken
		for s.taken < len(s.records) {
			size := s.records[s.taken].size
			if count > 0 && (bytes+size > a.log.cfg.MaxBatchBytes || count >= a.log.cfg.MaxBatchEvents) {
				break
			}
			bytes += size
			count++
			s.taken++
		}
		if s.taken > from {
			batch = append(batch, span{share: s, from: from, to: s.taken})
		}
		if s.taken < len(s.records) {
			break
		}
		a.queue = a.queue[1:]
	}
	if len(a.queue) == 0 {
		a.queue = nil // let go of the array that grew
	}
	a.busy = len(batch) > 0
	return batch, a.closed
}

// finish answers a share's caller, once.
func (a *appender) finish(s *share, err error) {
	select {
	case <-s.done:
		return
	default:
	}
	s.err = err
	close(s.done)
	a.room.Release(a.weight(s))
	a.log.meter.queued(-len(s.records), -s.bytes)
}

// send makes a batch durable or gives it up; it returns only then.
func (a *appender) send(ctx context.Context, batch []span) {
	started := time.Now()
	b := kafkago.NewBackoff(retryMin, retryMax)
	for attempt := 0; ; attempt++ {
		base, at, err := a.produce(ctx, batch)
		if err == nil {
			a.succeeded(batch, base, at)
			return
		}
		if errors.Is(err, kafka.MessageSizeTooLarge) || errors.Is(err, kafka.RecordListTooLarge) {
			a.answered() // it is the batch that is wrong, not the partition
			a.split(ctx, batch)
			return
		}
		a.failed(err, attempt)
		switch {
		case kafkago.Permanent(err):
			a.giveUp(batch, fmt.Errorf("appending to %s/%d: %w", a.topic, a.id, err))
			return
		case ctx.Err() != nil:
			a.giveUp(batch, fmt.Errorf("%w: %w: %w", commands.ErrUnavailable, errStopped, err))
			return
		case time.Since(started) > a.log.cfg.RetryFor:
			a.giveUp(batch, fmt.Errorf("appending to %s/%d: %w: %w: %w", a.topic, a.id, commands.ErrUnavailable, errGivenUp, err))
			return
		case unwanted(batch):
			// Its callers have been told "unknown", which it stays.
			a.giveUp(batch, errDropped)
			return
		}
		b.Wait(ctx)
	}
}

// split sends the halves of a batch that the broker found too large, down to
// the one event that is.
func (a *appender) split(ctx context.Context, batch []span) {
	count := 0
	for _, s := range batch {
		count += s.to - s.from
	}
	if count == 1 {
		a.giveUp(batch, fmt.Errorf("appending to %s/%d: %w", a.topic, a.id, commands.ErrTooLarge))
		return
	}
	var first, second []span
	for _, s := range batch {
		n := min(count/2-size(first), s.to-s.from)
		if n > 0 {
			first = append(first, span{s.share, s.from, s.from + n})
		}
		if s.from+n < s.to {
			second = append(second, span{s.share, s.from + n, s.to})
		}
	}
	for _, half := range [][]span{first, second} {
		var left []span
		for _, s := range half {
			if s.share.err == nil {
				left = append(left, s)
			}
		}
		if len(left) > 0 {
			a.send(ctx, left)
		}
	}
}

func size(batch []span) int {
	n := 0
	for _, s := range batch {
		n += s.to - s.from
	}
	return n
}

func unwanted(batch []span) bool {
	for _, s := range batch {
		if !s.share.abandoned.Load() {
			return false
		}
	}
	return true
}

// produce returns the offset of the batch's first record and the time that the
// log has of it.
func (a *appender) produce(ctx context.Context, batch []span) (base int64, at time.Time, err error) {
	records := make([]kafka.Record, 0, size(batch))
	now := time.Now()
	for _, s := range batch {
		for _, r := range s.share.records[s.from:s.to] {
			records = append(records, r.kafka(now))
		}
	}
	resp, err := a.log.client.api(a.log.cfg.ProduceTimeout).Produce(ctx, &kafka.ProduceRequest{
		Topic:        string(a.topic),
		Partition:    a.id,
		RequiredAcks: kafka.RequireAll,
		Records:      kafka.NewRecordReader(records...),
		Compression:  kafkago.Compression(string(a.topic)),
	})
	if err == nil {
		err = resp.Error
	}
	if err != nil {
		return 0, time.Time{}, err
	}
	return resp.BaseOffset, time.UnixMilli(now.UnixMilli()), nil
}

// handOn gives the records to the readers of this process.
func (a *appender) handOn(batch []span, base int64, at time.Time) {
	records := make([]record, 0, size(batch))
	for _, s := range batch {
		records = append(records, s.share.records[s.from:s.to]...)
	}
	a.log.client.shared.Appended(string(a.topic), a.id, base, len(records), func(i int) kafkago.Record {
		r := records[i]
		return kafkago.Decoded(kafka.Message{
			Topic: string(a.topic), Partition: a.id, Offset: base + int64(i), Key: r.key, Value: r.value, Headers: r.headers, Time: at,
		}, decode)
	})
}

func (a *appender) succeeded(batch []span, base int64, at time.Time) {
	a.handOn(batch, base, at)
	a.answered()
	bytes := 0
	for _, s := range batch {
		for i := s.from; i < s.to; i++ {
			s.share.offsets = append(s.share.offsets, base)
			bytes += s.share.records[i].size
			base++
		}
	}
	a.log.meter.sent(size(batch), bytes)
	for _, s := range batch {
		if s.to == len(s.share.records) {
			a.finish(s.share, nil)
		}
	}
}

// answered says that the partition is well.
func (a *appender) answered() {
	a.mu.Lock()
	recovered := !a.failing.IsZero() && !a.said.IsZero()
	a.failing, a.said = time.Time{}, time.Time{}
	a.mu.Unlock()
	if recovered {
		a.log.client.cfg.Logger.Info("appending again", slog.Any("topic", a.topic), slog.Int("partition", a.id))
	}
}

// failed keeps count of a failed attempt, and says so now and then.
func (a *appender) failed(err error, attempt int) {
	now := time.Now()
	a.mu.Lock()
	if a.failing.IsZero() {
		a.failing = now
	}
	// The first failure is everyday life: a leader moved, a connection was idle.
	say := attempt > 0 && now.Sub(a.said) > kafkago.ComplainEvery
	if say {
		a.said = now
	}
	a.mu.Unlock()
	a.log.meter.retried(err, now)
	if say {
		a.log.client.cfg.Logger.Warn("appending fails, trying on", slog.Any("topic", a.topic), slog.Int("partition", a.id), slog.Int("attempt", attempt+1), slog.Any("err", err))
	}
}

func (a *appender) giveUp(batch []span, err error) {
	for _, s := range batch {
		a.log.meter.failed()
		a.finish(s.share, err)
	}
}
