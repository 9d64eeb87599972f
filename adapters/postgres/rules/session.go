package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/watch"
	"trunkline.dev/trunkline/projections"
)

// unsavedMax bounds the events that are folded again after a crash. Between ticks
// a watch is in memory only: all that is open is written at once, which costs more
// than reading some thousands again, in a fraction of a second.
const unsavedMax = 20_000

// aheadMax is how far a watch may be ahead of our clock and is waited for: clocks of
// hubs differ, and a tick that is closed a second time has lost what it counted.
// Beyond it a clock was wrong, and waiting would leave the rules blind for as long.
const aheadMax = time.Minute

// session is the ownership of one partition. Apply is called by the goroutine
// that reads it, advance by the service's loop.
type session struct {
	*reactor.Tenure
	service *Service
	topic   event.Topic

	mu sync.Mutex
	// next is up to where events are folded; the tenure's is what is durable.
	next     int64
	recorded time.Time
	watch    watch.Watch
	// closed is the last tick that was closed, samples what is not written of it
	// and of those before.
	closed  time.Time
	samples []rule.Sample
	// looked says that a rule looks at what was closed and is not written.
	looked bool
	// returned is the tick that a watch which was ahead returned to, while that is not
	// written; zero otherwise.
	returned time.Time
	// broken is why what is in memory is not to be trusted any more.
	broken error
}

// Claim implements projections.Applier.
func (s *Service) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	t, err := reactor.Claim(ctx, s.cfg.Pool, Name, s.cfg.Owner, topic, partition)
	if err != nil {
		return nil, err
	}
	c := &session{Tenure: t, service: s, topic: topic, next: t.Next()}
	var state []byte
	err = s.cfg.Pool.QueryRow(ctx, watchSQL, topic, partition).Scan(&state, &c.closed)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
	case err != nil:
		return nil, fmt.Errorf("reading the watch of %s/%d: %w", topic, partition, err)
	default:
		if err := json.Unmarshal(state, &c.watch); err != nil {
			return nil, fmt.Errorf("reading the watch of %s/%d: %w", topic, partition, err)
		}
		c.closed = c.closed.UTC()
	}
	if topic == event.Deliveries && s.cfg.Clock().Sub(c.closed) > s.cfg.CatchUp {
		// Only what happens within a window counts there: what is old is passed over.
		ends, err := s.cfg.Ends.Ends(ctx, topic)
		if err != nil {
			return nil, fmt.Errorf("asking where the log ends: %w", err)
		}
		c.next = max(c.next, ends[topic][partition])
	}
	s.hold(c)
	return c, nil
}

// Next implements projections.Session.
func (c *session) Next() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.next
}

// Close implements projections.Session.
func (c *session) Close() { c.service.release(c) }

// Apply implements projections.Session, but for one thing: what it did is durable
// at the next tick, or when it is much.
func (c *session) Apply(ctx context.Context, events []event.Recorded) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil {
		return c.broken
	}
	now := c.service.cfg.Clock()
	latest := now.Add(c.service.cfg.Margin)
	c.comeBack(now)
	for _, e := range events {
		if e.Position.Offset < c.next {
			continue
		}
		if projections.Sound(e) {
			if err := c.closeBefore(ctx, c.watch.Effective(e, latest), now); err != nil {
				return c.fail(err)
			}
			c.watch.Fold(e, latest)
		}
		c.next, c.recorded = e.Position.Offset+1, e.RecordedAt
	}
	if !c.looked && c.returned.IsZero() && c.next-c.Tenure.Next() < unsavedMax {
		return nil
	}
	return c.fail(c.save(ctx))
}

// Confirm implements projections.Session. What is not durable yet becomes so; a
// session that broke between two events is not to wait for the next.
func (c *session) Confirm(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.broken != nil:
		return c.broken
	case c.next > c.Tenure.Next():
		return c.fail(c.save(ctx))
	}
	return c.fail(c.Tenure.Confirm(ctx))
}

// fail makes the session unusable after an error: the next owner, or we again,
// begin from what is durable.
func (c *session) fail(err error) error {
	if err != nil {
		c.broken = fmt.Errorf("watching %s/%d: %w", c.topic, c.Partition(), err)
	}
	return c.broken
}

// advance closes the ticks that are over although nothing came after them. The
// log was asked for its end at now, and what is appended later counts later.
func (c *session) advance(ctx context.Context, now time.Time, end int64, rules []rule.Rule) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.broken != nil || c.next < end {
		return nil // Apply says what is wrong, and closes while it reads on
	}
	c.comeBack(now)
	last := c.over(now)
	if !last.After(c.closed) && c.returned.IsZero() {
		return nil
	}
	c.closeThrough(last, now, rules)
	return c.fail(c.save(ctx))
}

// over is the last tick that is over at now, whatever clocks differ by.
func (c *session) over(now time.Time) time.Time {
	return now.Add(-c.service.cfg.Margin).Truncate(c.service.cfg.Step)
}

// comeBack ends the wait of a watch that is far ahead of now: it returns to the last
// tick that is over, and what it has for ticks after that one is dropped.
func (c *session) comeBack(now time.Time) {
	if c.watch.At.Sub(now) <= aheadMax {
		return
	}
	c.closed = c.over(now)
	c.returned = c.closed
	c.watch.Return(c.closed)
	c.samples = slices.DeleteFunc(c.samples, func(s rule.Sample) bool { return s.Tick.After(c.closed) })
}

// closeBefore closes the ticks that lie before a moment.
func (c *session) closeBefore(ctx context.Context, at, now time.Time) error {
	step := c.service.cfg.Step
	last := rule.TickOf(at, step).Add(-step)
	if !last.After(c.closed) {
		return nil
	}
	if last.Before(now.Add(-c.service.cfg.CatchUp)) {
		c.closed = last // a watch that reads years of history looks for no rules
		c.watch.Skip(last)
		return nil
	}
	rules, err := c.service.rules(ctx, c.service.cfg.Pool)
	if err != nil {
		return err
	}
	c.closeThrough(last, now, rules)
	return nil
}

// closeThrough closes ticks up to one. Those that no rule looks at are passed
// over, and so are those that are too old to tell anybody of.
func (c *session) closeThrough(last, now time.Time, rules []rule.Rule) {
	step := c.service.cfg.Step
	first := now.Add(-c.service.cfg.CatchUp)
	if eldest := eldest(rules); eldest.IsZero() {
		first = last
	} else if eldest.After(first) {
		first = eldest
	}
	if skip := rule.TickOf(first, step).Add(-step); skip.After(c.closed) {
		c.closed = skip
		if skip.After(last) {
			c.closed = last
		}
		c.watch.Skip(c.closed)
	}
	c.looked = c.looked || len(rules) > 0
	for tick := c.closed.Add(step); !tick.After(last); tick = tick.Add(step) {
		c.samples = append(c.samples, c.watch.Close(tick, of(rules, c.topic, tick))...)
		c.closed = tick
	}
}

// eldest is when the first of the rules was made, zero if there is none.
func eldest(rules []rule.Rule) (at time.Time) {
	for _, r := range rules {
		if at.IsZero() || r.UpdatedAt.Before(at) {
			at = r.UpdatedAt
		}
	}
	return at
}

// of are the rules that look at a topic and were there at a tick.
func of(rules []rule.Rule, topic event.Topic, tick time.Time) []rule.Rule {
	var out []rule.Rule
	for _, r := range rules {
		if r.Enabled && r.Metric.Topic() == topic && r.UpdatedAt.Before(tick) {
			out = append(out, r)
		}
	}
	return out
}

// save makes watch, samples and checkpoint durable together.
func (c *session) save(ctx context.Context) error {
	state, err := event.Marshal(c.watch)
	if err != nil {
		return fmt.Errorf("writing a watch: %w", err)
	}
	err = c.MoveTo(ctx, c.next, c.recorded, nil, func(ctx context.Context, tx pgx.Tx) error {
		var b pgx.Batch
		b.Queue(saveWatchSQL, c.topic, c.Partition(), state, c.closed)
		if !c.returned.IsZero() {
			b.Queue(dropSamplesSQL, c.topic, c.Partition(), c.returned)
		}
		if len(c.samples) > 0 {
			b.Queue(saveSamplesSQL, sampleColumns(c.samples, c.topic, c.Partition())...)
		}
		return tx.SendBatch(ctx, &b).Close()
	})
	if err == nil {
		c.samples, c.looked, c.returned = nil, false, time.Time{}
	}
	return err
}

func sampleColumns(samples []rule.Sample, topic event.Topic, partition int) []any {
	n := len(samples)
	ticks, ids, counts, sums, maxima := make([]time.Time, n), make([]string, n), make([]int64, n), make([]float64, n), make([]float64, n)
	for i, s := range samples {
		ticks[i], ids[i], counts[i], sums[i], maxima[i] = s.Tick, s.RuleID, s.N, s.Sum, s.Max
	}
	return []any{ticks, ids, counts, sums, maxima, topic, partition}
}
