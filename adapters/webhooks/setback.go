package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/event"
)

// setBackLeast is what a clock is set back by before what waits in the store is taken
// along: for less it waits that much longer.
const setBackLeast = time.Minute

// setBack takes what is measured in this process along when the clock is set back by
// so much: it is the database's, and the one that takes over may have another. When a
// delivery is to be tried again stands in the store, and its owner changes it there
// (see dueEarlier).
func (e *Engine) setBack(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	moments := []*time.Time{&e.commitAt, &e.crew.quietUntil, &e.claiming.at, &e.resuming.at, &e.committing.at}
	for _, o := range e.owners {
		if by >= setBackLeast {
			o.ahead += by
		}
		moments = append(moments, &o.confirmAt)
		for _, n := range o.entries {
			moments = append(moments, &n.at)
		}
		for _, s := range o.streams {
			moments = append(moments, &s.nextDue) // who looks too early looks again
		}
	}
	for _, l := range e.lanes {
		moments = append(moments, &l.pausedUntil, &l.bucket.at, &l.flow.lastEnd, &l.unknownSince)
	}
	for _, at := range moments {
		if !at.IsZero() {
			*at = at.Add(-by)
		}
	}
	for _, l := range e.lanes {
		e.pump(l)
	}
}

// dueEarlier takes along what waits in the store, and what is about to be written there.
// It reports whether the store works.
func (e *Engine) dueEarlier(ctx context.Context) bool {
	e.mu.Lock()
	now := event.Time(e.cfg.Clock())
	var owners []*owner
	for _, o := range e.owners {
		if o.ahead > 0 {
			owners = append(owners, o)
		}
	}
	e.mu.Unlock()
	for _, o := range owners {
		by := o.ahead // the keeper's own
		err := e.cfg.Store.SetBack(ctx, dispatch.Ownership{Partition: o.part, Epoch: o.epoch}, now, by)
		if err != nil {
			e.put(ctx, "what waits is not due earlier yet, though the clock was set back", err)
			return false
		}
		e.mu.Lock()
		o.ahead = 0
		for _, s := range o.streams {
			for _, it := range s.items {
				if it.phase != parked || !it.NextAttemptAt.After(now) {
					continue
				}
				if it.NextAttemptAt = it.NextAttemptAt.Add(-by); it.NextAttemptAt.Before(now) {
					it.NextAttemptAt = now
				}
			}
			if !s.nextDue.IsZero() {
				s.due(now)
			}
		}
		e.mu.Unlock()
	}
	return true
}
