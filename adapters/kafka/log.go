package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// LogConfig tunes the append side. Zero values are the defaults.
type LogConfig struct {
	// MaxBatchBytes and MaxBatchEvents bound one produce request. Default 1 MB
	// and 5,000.
	MaxBatchBytes, MaxBatchEvents int
	// MaxEventBytes is the largest event, headers included. Default 2,000,000,
	// which the topics' max.message.bytes of 2 MiB takes.
	MaxEventBytes int
	// QueueBytes bounds what waits for one partition; Append waits for room.
	// Default 4 MiB.
	QueueBytes int
	// ProduceTimeout bounds one attempt. Default 10 s.
	ProduceTimeout time.Duration
	// RetryFor is how long a batch is tried before its callers are told that its
	// outcome is unknown; it outlasts a leader's failover. Default 45 s.
	RetryFor time.Duration
	// FailFastAfter is how long a partition must have failed for new Appends to
	// it to be refused at once while one batch keeps trying. Default 2 s.
	FailFastAfter time.Duration
}

func (c LogConfig) withDefaults() LogConfig {
	c.MaxBatchBytes = cmp.Or(c.MaxBatchBytes, 1_000_000)
	c.MaxBatchEvents = cmp.Or(c.MaxBatchEvents, 5_000)
	c.MaxEventBytes = cmp.Or(c.MaxEventBytes, 2_000_000)
	c.QueueBytes = cmp.Or(c.QueueBytes, 4<<20)
	c.ProduceTimeout = cmp.Or(c.ProduceTimeout, 10*time.Second)
	c.RetryFor = cmp.Or(c.RetryFor, 45*time.Second)
	c.FailFastAfter = cmp.Or(c.FailFastAfter, 2*time.Second)
	return c
}

// Validate reports every problem of the configuration.
func (c LogConfig) Validate() error {
	var errs []error
	for name, v := range map[string]int{"MaxBatchBytes": c.MaxBatchBytes, "MaxBatchEvents": c.MaxBatchEvents, "MaxEventBytes": c.MaxEventBytes, "QueueBytes": c.QueueBytes} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("kafka log: negative %s", name))
		}
	}
	for name, v := range map[string]time.Duration{"ProduceTimeout": c.ProduceTimeout, "RetryFor": c.RetryFor, "FailFastAfter": c.FailFastAfter} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("kafka log: negative %s", name))
		}
	}
	return errors.Join(errs...)
}

// Log implements commands.Log by group commit: one goroutine for each partition
// sends what is queued, and what arrives meanwhile rides the next request. So a
// lone event waits for nothing, and a busy partition makes large batches.
type Log struct {
	client      *Client
	cfg         LogConfig
	partitioner partitioner
	appenders   map[event.Topic][]*appender
	meter       *meter

	mu      sync.Mutex
	cancel  context.CancelFunc // nil unless started
	stopped bool
	done    chan struct{} // closed when the appenders have returned
}

var _ commands.Log = (*Log)(nil)

// NewLog makes the append side; nothing is sent before Start.
func NewLog(client *Client, cfg LogConfig) (*Log, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Log{
		client:      client,
		cfg:         cfg.withDefaults(),
		partitioner: newPartitioner(client.Partitions()),
		appenders:   make(map[event.Topic][]*appender),
		meter:       &meter{},
		done:        make(chan struct{}),
	}
	for _, t := range event.Topics() {
		for id := range client.Partitions() {
			l.appenders[t] = append(l.appenders[t], newAppender(l, t, id))
		}
	}
	return l, nil
}

// Start begins to send. The appenders outlive ctx; Stop ends them.
func (l *Log) Start(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cancel != nil || l.stopped {
		return nil
	}
	ctx, l.cancel = context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	for _, partitions := range l.appenders {
		for _, a := range partitions {
			wg.Go(func() { a.run(ctx) })
		}
	}
	go func() {
		defer close(l.done)
		wg.Wait()
	}()
	return nil
}

// Stop refuses new Appends, sends what is queued and returns. When ctx ends
// first, what is left is given up as unknown.
func (l *Log) Stop(ctx context.Context) error {
	l.mu.Lock()
	cancel := l.cancel
	l.stopped = true
	l.mu.Unlock()
	for _, partitions := range l.appenders {
		for _, a := range partitions {
			a.close()
		}
	}
	if cancel == nil {
		return nil
	}
	defer cancel()
	select {
	case <-l.done:
		return nil
	case <-ctx.Done():
	}
	cancel()
	<-l.done
	return fmt.Errorf("draining the log: %w", ctx.Err())
}

// Append implements commands.Log. Everything is checked before anything is
// sent. When ctx ends, the error is commands.ErrUnavailable and ctx's: what was
// not sent is dropped, what was sent may be durable.
func (l *Log) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	if len(events) == 0 {
		return nil, nil
	}
	shares, places, err := l.divide(events)
	if err != nil {
		return nil, err
	}
	if err := l.append(ctx, shares); err != nil {
		for _, s := range shares {
			s.abandoned.Store(true)
		}
		return nil, fmt.Errorf("appending %d events: %w", len(events), err)
	}
	positions := make([]event.Position, len(events))
	for i, p := range places {
		positions[i] = event.Position{Topic: p.share.to.topic, Partition: p.share.to.id, Offset: p.share.offsets[p.index]}
	}
	return positions, nil
}

// place is where an event's offset will be found.
type place struct {
	share *share
	index int
}

// divide encodes the events and deals them out to their partitions, in order.
func (l *Log) divide(events []event.Event) ([]*share, []place, error) {
	var shares []*share
	places := make([]place, len(events))
	for i, e := range events {
		if err := e.Validate(); err != nil {
			return nil, nil, fmt.Errorf("appending %s: %w", e.Type, err)
		}
		topics, err := event.TopicsOf(e.Type)
		if err != nil {
			return nil, nil, fmt.Errorf("appending: %w", err)
		}
		r := encode(e)
		if r.size > l.cfg.MaxEventBytes {
			return nil, nil, fmt.Errorf("appending %s of %d bytes: %w", e.Type, r.size, commands.ErrTooLarge)
		}
		for n, topic := range topics {
			s := shareOf(&shares, l.appenders[topic][l.partitioner.of(r.key)])
			if n == 0 {
				places[i] = place{share: s, index: len(s.records)}
			}
			s.records = append(s.records, r)
			s.bytes += r.size
		}
	}
	return shares, places, nil
}

// shareOf is the share of a partition in an Append.
func shareOf(shares *[]*share, to *appender) *share {
	for _, known := range *shares {
		if known.to == to {
			return known
		}
	}
	s := &share{to: to, done: make(chan struct{})}
	*shares = append(*shares, s)
	return s
}

func (l *Log) append(ctx context.Context, shares []*share) error {
	for _, s := range shares {
		if err := s.to.enqueue(ctx, s); err != nil {
			return err
		}
	}
	for _, s := range shares {
		select {
		case <-s.done:
		case <-ctx.Done():
			select {
			case <-s.done: // both: the answer is better than "unknown"
			default:
				return fmt.Errorf("%w: %w", commands.ErrUnavailable, ctx.Err())
			}
		}
		if s.err != nil {
			return s.err
		}
	}
	return nil
}
