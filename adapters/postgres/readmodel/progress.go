package readmodel

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Progress waits for the Postgres projections: projections.Progress. What the
// runners of this process commit wakes a waiter at once; for what other
// processes commit the checkpoints are read every few milliseconds, only while
// somebody waits. What it remembers only wakes: before a wait ends the database
// is asked, for it may have been killed and gone back. Hand it to the runners as
// their Observer.
type Progress struct {
	pool *pgxpool.Pool
	log  *slog.Logger

	mu    sync.Mutex
	known map[place]seen
	live  map[string]int
	// asked counts the times that the database was asked.
	asked uint64
	// changed is closed, and replaced, when known or live changed.
	changed chan struct{}
	// local are the places that a runner of this process has come to. waiters
	// counts those who wait, remote those of them who wait for another place.
	local           map[place]struct{}
	waiters, remote int
	polling         bool
	done            chan struct{} // closed when the newest poller has ended
	stopped         bool
	stop            chan struct{}
}

var (
	_ projections.Progress    = (*Progress)(nil)
	_ projections.Checkpoints = (*Progress)(nil)
	_ projections.Observer    = (*Progress)(nil)
)

// place is a partition as one generation has come to it.
type place struct {
	projection string
	generation int
	topic      event.Topic
	partition  int
}

// pollEvery is how often the checkpoints are read while somebody waits for
// what another process does; for what this one does every pollLocal-th time is
// enough, in case the partition has moved away.
const (
	pollEvery = 5 * time.Millisecond
	pollLocal = 20
)

// seen is a checkpoint, and how often the database had been asked when it was
// seen. An answer that is lower than what was seen before it was asked for tells
// that the database went back: killed, it has only what it had flushed.
type seen struct {
	next  int64
	asked uint64
}

// NewProgress returns a Progress. Stop it when nobody waits any more.
func NewProgress(pool *pgxpool.Pool, log *slog.Logger) *Progress {
	return &Progress{
		pool: pool, log: log, known: make(map[place]seen), live: make(map[string]int), local: make(map[place]struct{}),
		changed: make(chan struct{}), stop: make(chan struct{}),
	}
}

// Applied implements projections.Observer.
func (p *Progress) Applied(projection string, generation int, topic event.Topic, partition int, next int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	at := place{projection, generation, topic, partition}
	p.local[at] = struct{}{}
	if have, ok := p.known[at]; ok && have.next >= next {
		return
	}
	p.known[at] = seen{next, p.asked}
	p.wake()
}

func (p *Progress) wake() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// Wait implements projections.Progress.
func (p *Progress) Wait(ctx context.Context, projection string, positions ...event.Position) error {
	for {
		p.mu.Lock()
		if p.reached(projection, positions) {
			p.mu.Unlock()
			if there, err := p.confirm(ctx, projection, positions); err != nil || there {
				return err
			}
			continue
		}
		changed := p.changed
		leave, err := p.enter(projection, positions)
		p.mu.Unlock()
		if err != nil {
			return err
		}
		select {
		case <-changed:
			leave()
		case <-ctx.Done():
			leave()
			return ctx.Err()
		case <-p.stop:
			leave()
			return errStopped
		}
	}
}

var errStopped = errors.New("progress is stopped")

// reached reports whether the live generation has the effect of all positions.
// The live generation known here may be a former one. That does no harm: a
// switch ends the former one's progress, and what it has the new one has too.
func (p *Progress) reached(projection string, positions []event.Position) bool {
	generation, ok := p.live[projection]
	if !ok {
		return len(positions) == 0
	}
	for _, at := range positions {
		if p.known[place{projection, generation, at.Topic, at.Partition}].next <= at.Offset {
			return false
		}
	}
	return true
}

// enter counts a waiter in and sees to it that somebody polls. The caller
// holds mu; what it returns counts the waiter out.
func (p *Progress) enter(projection string, positions []event.Position) (leave func(), err error) {
	if p.stopped {
		return nil, errStopped
	}
	remote := 0
	if !p.isLocal(projection, positions) {
		remote = 1
	}
	p.waiters++
	p.remote += remote
	if !p.polling {
		p.polling = true
		p.done = make(chan struct{})
		go p.poll(p.done)
	}
	return func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.waiters--
		p.remote -= remote
	}, nil
}

// isLocal reports whether this process alone will bring about what is waited
// for.
func (p *Progress) isLocal(projection string, positions []event.Position) bool {
	generation, ok := p.live[projection]
	if !ok {
		return false
	}
	for _, at := range positions {
		if _, ok := p.local[place{projection, generation, at.Topic, at.Partition}]; !ok {
			return false
		}
	}
	return true
}

// Stop ends the polling and every wait, and returns when nothing runs.
func (p *Progress) Stop(ctx context.Context) error {
	p.mu.Lock()
	if !p.stopped {
		p.stopped = true
		close(p.stop)
	}
	done := p.done
	p.mu.Unlock()
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping progress: %w", ctx.Err())
	}
}

// idle is how long the poller stays without waiters before it ends.
const idle = time.Second

func (p *Progress) poll(done chan struct{}) {
	defer close(done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-p.stop:
			cancel()
		case <-ctx.Done():
		}
	}()
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	quiet, failing := time.Duration(0), false
	for n := 0; ; n++ {
		p.mu.Lock()
		waiting, remote := p.waiters > 0, p.remote > 0
		quiet += pollEvery
		if waiting {
			quiet = 0
		}
		if quiet > idle || p.stopped {
			p.polling = false
			p.mu.Unlock()
			return
		}
		p.mu.Unlock()
		if remote || (waiting && n%pollLocal == 0) {
			err := p.read(ctx)
			if err != nil && !failing && ctx.Err() == nil {
				p.log.WarnContext(ctx, "reading checkpoints", slog.Any("err", err))
			}
			failing = err != nil
		}
		select {
		case <-tick.C:
		case <-p.stop:
		}
	}
}

const liveSQL = `
SELECT g.projection, g.generation, coalesce(c.topic, ''), coalesce(c.partition, 0), coalesce(c.next, 0)
FROM generations g
LEFT JOIN checkpoints c ON c.projection = g.projection AND c.generation = g.generation
WHERE g.status = 'live'`

// read takes over what the database says.
func (p *Progress) read(ctx context.Context) error {
	return p.ask(ctx, liveSQL)
}

// confirm asks the database whether what this process remembers is still so.
func (p *Progress) confirm(ctx context.Context, projection string, positions []event.Position) (bool, error) {
	if len(positions) == 0 {
		return true, nil
	}
	topics, partitions := make([]string, len(positions)), make([]int, len(positions))
	for i, at := range positions {
		topics[i], partitions[i] = string(at.Topic), at.Partition
	}
	const sql = `
SELECT g.projection, g.generation, n.topic, n.partition, coalesce(c.next, 0)
FROM unnest($2::text[], $3::int[]) AS n (topic, partition)
JOIN generations g ON g.projection = $1 AND g.status = 'live'
LEFT JOIN checkpoints c ON c.projection = g.projection AND c.generation = g.generation AND c.topic = n.topic AND c.partition = n.partition`
	if err := p.ask(ctx, sql, projection, topics, partitions); err != nil {
		return false, fmt.Errorf("reading checkpoints of %s: %w", projection, err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.reached(projection, positions), nil
}

// ask takes over the checkpoints that a query finds.
func (p *Progress) ask(ctx context.Context, sql string, args ...any) error {
	p.mu.Lock()
	before := p.asked
	p.asked++
	p.mu.Unlock()
	rows, err := p.pool.Query(ctx, sql, args...)
	if err != nil {
		return err
	}
	live, next := make(map[string]int), make(map[place]int64)
	var at place
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&at.projection, &at.generation, &at.topic, &at.partition, &n}, func() error {
		live[at.projection] = at.generation
		if at.topic != "" {
			next[at] = n
		}
		return nil
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	changed := false
	for projection, generation := range live {
		if p.live[projection] != generation {
			p.live[projection] = generation
			changed = true
		}
	}
	for at, n := range next {
		have, ok := p.known[at]
		if !ok || n > have.next || n < have.next && have.asked <= before {
			p.known[at] = seen{n, p.asked}
			changed = true
		}
	}
	if changed {
		p.wake()
	}
	return nil
}

// Checkpoints implements projections.Checkpoints: from the database, of the
// live generation.
func (p *Progress) Checkpoints(ctx context.Context, projection string) (map[event.Topic]map[int]int64, error) {
	rows, err := p.pool.Query(ctx, liveSQL+" AND g.projection = $1", projection)
	if err != nil {
		return nil, fmt.Errorf("reading checkpoints of %s: %w", projection, err)
	}
	all := make(map[event.Topic]map[int]int64)
	var at place
	var n int64
	_, err = pgx.ForEachRow(rows, []any{&at.projection, &at.generation, &at.topic, &at.partition, &n}, func() error {
		if at.topic == "" {
			return nil
		}
		if all[at.topic] == nil {
			all[at.topic] = make(map[int]int64)
		}
		all[at.topic][at.partition] = n
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading checkpoints of %s: %w", projection, err)
	}
	return all, nil
}
