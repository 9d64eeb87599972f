package webhooks

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

const (
	// beatEvery is how often processes that share the work hear of one another.
	beatEvery = time.Second
	// crewTTL is how long a process that is not heard of keeps its share.
	crewTTL = 10 * time.Second
	// joinPause is how long a process that joins others leaves endpoints with
	// limits alone: by then all of them have heard of it.
	joinPause = 3 * beatEvery / 2
)

// crew is this process's part in the work that several processes share. An
// endpoint's limits hold over all of them: each takes a share, the same for each,
// because the partitions are dealt out evenly. It is guarded by Engine.mu.
//
// A share is never less than one request, so a limit below the number of
// processes is overshot. When a process joins, the others may go on for a
// moment with requests that they had begun under their larger share.
type crew struct {
	// of is how many there are, rank which of them this one is; of 0 is alone.
	rank, of int
	joined   bool
	// quietUntil: endpoints with limits are not sent to.
	quietUntil time.Time
}

// inFlight is this process's share of a bound of requests under way. The shares
// of all add up to the bound.
func (c crew) inFlight(limit int) int {
	if c.of < 2 {
		return limit
	}
	n := limit / c.of
	if c.rank < limit%c.of {
		n++
	}
	return max(1, n)
}

// rate is this process's share of a rate.
func (c crew) rate(perSec float64) float64 {
	if c.of < 2 {
		return perSec
	}
	return perSec / float64(c.of)
}

// quiet is how long an endpoint must still be left alone.
func (e *Engine) quiet(l *lane, now time.Time) time.Duration {
	if l.endpoint.MaxInFlight <= 0 && l.endpoint.Rate() <= 0 {
		return 0
	}
	return e.crew.quietUntil.Sub(now)
}

// beats keeps the shares up to date until the engine stops.
func (e *Engine) beats(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
		e.mu.Lock()
		owned, joined := e.owned(), e.crew.joined
		e.mu.Unlock()
		var err error
		switch {
		case owned > 0:
			err = e.beat(ctx, owned)
		case joined:
			err = e.leaveCrew(ctx)
		}
		if err != nil {
			e.put(ctx, "hearing of other processes is put off", err)
		}
	}
}

// owned counts the partitions that this process sends for.
func (e *Engine) owned() int {
	n := 0
	for _, o := range e.owners {
		if !o.stopping {
			n++
		}
	}
	return n
}

// enlist makes this process one of the crew before it sends anything.
func (e *Engine) enlist(ctx context.Context) error {
	e.mu.Lock()
	joined := e.crew.joined
	e.mu.Unlock()
	if e.cfg.Crew == nil || joined {
		return nil
	}
	return e.beat(ctx, 1)
}

// beat says that this process lives, and takes its share.
func (e *Engine) beat(ctx context.Context, owned int) error {
	names, err := e.cfg.Crew.Beat(ctx, e.cfg.Name, owned, crewTTL)
	if err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Clock()
	next := crew{rank: slices.Index(names, e.cfg.Name), of: len(names), joined: true, quietUntil: e.crew.quietUntil}
	if !e.crew.joined && next.of > 1 {
		next.quietUntil = now.Add(joinPause)
	}
	e.take(ctx, next)
	return nil
}

// leaveCrew gives this process's share to the others.
func (e *Engine) leaveCrew(ctx context.Context) error {
	if err := e.cfg.Crew.Leave(ctx, e.cfg.Name); err != nil {
		return err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.take(ctx, crew{})
	return nil
}

// take makes a share this process's own. A bound that grew is grown into with
// each success.
func (e *Engine) take(ctx context.Context, next crew) {
	changed := next.of != e.crew.of || next.rank != e.crew.rank
	e.crew = next
	if !changed {
		return
	}
	e.cfg.Logger.DebugContext(ctx, "share of the work", slog.Int("processes", next.of), slog.Int("rank", next.rank))
	now := e.cfg.Clock()
	for _, l := range e.lanes {
		l.limit = min(l.limit, e.maxLimit(l))
		l.bucket.set(e.crew.rate(l.endpoint.Rate()), now)
		e.pump(l)
	}
}
