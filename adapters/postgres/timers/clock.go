package timers

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// ClockConfig configures a Clock. Log, Ends and Pool are required.
type ClockConfig struct {
	Pool *pgxpool.Pool
	Log  commands.Log
	Ends projections.Ends
	// Every bounds how long a timer that another hub armed goes unnoticed.
	// Default 1 s.
	Every time.Duration
	// Lease is how long a hub that took a timer has to append its fact before
	// another one may. Default 30 s.
	Lease time.Duration
	// Keep is how long what came of a call is remembered. Default 7 days.
	Keep time.Duration
	// Now is time.Now unless set.
	Now    commands.Clock
	Logger *slog.Logger
}

// batch bounds the facts of one append and the rows of one clean-up.
const batch = 500

// Validate says everything that is wrong.
func (c ClockConfig) Validate() error {
	if c.Pool == nil || c.Log == nil || c.Ends == nil {
		return errors.New("timers clock: pool, log and ends are required")
	}
	return nil
}

// Clock appends the facts of timers that are over. Several hubs may run one.
type Clock struct {
	cfg    ClockConfig
	mu     sync.Mutex
	cancel context.CancelFunc
	done   sync.WaitGroup

	// asOf is the moment that due timers are judged by, and ends what the log
	// held then: a timer of a partition is over when all that has been applied.
	asOf time.Time
	ends map[int]int64
}

// NewClock returns a clock that is not started.
func NewClock(cfg ClockConfig) (*Clock, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	for _, d := range []struct {
		v  *time.Duration
		or time.Duration
	}{{&cfg.Every, time.Second}, {&cfg.Lease, 30 * time.Second}, {&cfg.Keep, 7 * 24 * time.Hour}} {
		if *d.v <= 0 {
			*d.v = d.or
		}
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Clock{cfg: cfg}, nil
}

// Start begins; a second Start does nothing.
func (c *Clock) Start(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancel != nil {
		return nil
	}
	ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.done.Go(func() { c.run(ctx) })
	return nil
}

// Stop ends it and waits. Stop before Start and a second Stop do no harm.
func (c *Clock) Stop(context.Context) error {
	c.mu.Lock()
	cancel := c.cancel
	c.mu.Unlock()
	if cancel != nil {
		cancel()
	}
	c.done.Wait()
	return nil
}

func (c *Clock) run(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	cleaned := time.Time{}
	for {
		select {
		case <-timer.C:
		case <-ctx.Done():
			return
		}
		wait, err := c.tick(ctx)
		if err == nil && c.cfg.Now().Sub(cleaned) > time.Minute {
			err = c.clean(ctx)
			cleaned = c.cfg.Now()
		}
		if err != nil && ctx.Err() == nil {
			c.cfg.Logger.WarnContext(ctx, "timers are put off", slog.Any("err", err))
			wait = c.cfg.Every
		}
		timer.Reset(wait)
	}
}

// tick appends the facts of what is over and tells when to look again.
func (c *Clock) tick(ctx context.Context) (time.Duration, error) {
	now := c.cfg.Now()
	var next *time.Time
	if err := c.cfg.Pool.QueryRow(ctx, nextSQL, now).Scan(&next); err != nil {
		return 0, fmt.Errorf("reading the next timer: %w", err)
	}
	if next == nil {
		c.ends = nil
		return c.cfg.Every, nil
	}
	if next.After(now) {
		c.ends = nil
		return min(c.cfg.Every, next.Sub(now)), nil
	}
	if c.ends == nil {
		ends, err := c.cfg.Ends.Ends(ctx, event.Calls)
		if err != nil {
			return 0, fmt.Errorf("reading the ends of %s: %w", event.Calls, err)
		}
		c.asOf, c.ends = now, ends[event.Calls]
	}
	fired, waiting, err := c.fire(ctx)
	if err != nil {
		return 0, err
	}
	switch {
	case fired == batch:
		return 0, nil
	case waiting:
		// Some partition has not been applied up to the moment that counts.
		return min(c.cfg.Every, 20*time.Millisecond), nil
	}
	c.ends = nil
	return 0, nil
}

// fire leases timers that are over, appends their facts and deletes them.
func (c *Clock) fire(ctx context.Context) (fired int, waiting bool, err error) {
	partitions, ends := make([]int, 0, len(c.ends)), make([]int64, 0, len(c.ends))
	for p, end := range c.ends {
		partitions, ends = append(partitions, p), append(ends, end)
	}
	now := c.cfg.Now()
	rows, err := c.cfg.Pool.Query(ctx, leaseSQL, event.Calls, partitions, ends, c.asOf, now, now.Add(c.cfg.Lease), batch)
	if err != nil {
		return 0, false, fmt.Errorf("leasing timers: %w", err)
	}
	due, err := pgx.CollectRows(rows, scanTimer)
	if err != nil {
		return 0, false, fmt.Errorf("leasing timers: %w", err)
	}
	if len(due) == 0 {
		err := c.cfg.Pool.QueryRow(ctx, behindSQL, event.Calls, partitions, ends, c.asOf, now).Scan(&waiting)
		if err != nil {
			return 0, false, fmt.Errorf("reading timers: %w", err)
		}
		return 0, waiting, nil
	}
	events := make([]event.Event, len(due))
	var gone cancelArrays
	for i, t := range due {
		if events[i], err = t.Fact(now); err != nil {
			return 0, false, err
		}
		gone.add(entity{t.Org, t.CallID}, t.WaitedFor)
	}
	if _, err := c.cfg.Log.Append(ctx, events...); err != nil {
		return 0, false, fmt.Errorf("appending settled calls: %w", err)
	}
	if _, err := c.cfg.Pool.Exec(ctx, cancelSQL, gone.orgs, gone.calls, gone.words); err != nil {
		return 0, false, fmt.Errorf("deleting timers: %w", err)
	}
	return len(due), true, nil
}

func scanTimer(r pgx.CollectableRow) (projections.Timer, error) {
	var t projections.Timer
	var after int64
	err := r.Scan(&t.Org, &t.CallID, &t.WaitedFor, &after, &t.EndedEventID, &t.CorrelationID, &t.Origin, &t.Partition, &t.Due)
	t.After, t.Due = time.Duration(after)*time.Second, t.Due.UTC()
	return t, err
}

// clean forgets calls that nothing has been heard of for long.
func (c *Clock) clean(ctx context.Context) error {
	for {
		tag, err := c.cfg.Pool.Exec(ctx, cleanSQL, c.cfg.Now().Add(-c.cfg.Keep), batch)
		if err != nil {
			return fmt.Errorf("forgetting old calls: %w", err)
		}
		if tag.RowsAffected() < batch {
			return nil
		}
	}
}
