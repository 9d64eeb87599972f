package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
)

// nudge makes the keeper look for offers now.
func (e *Engine) nudge() {
	e.nudged.Store(true)
	wake(e.wakeKeeper)
}

// look compares lanes with the directory and asks for offers.
func (e *Engine) look(ctx context.Context) {
	e.mu.Lock()
	ps := make([]dispatch.Partition, 0, len(e.owners))
	owned := make([]dispatch.Ownership, 0, len(e.owners))
	for p, o := range e.owners {
		if !o.stopping {
			ps, owned = append(ps, p), append(owned, dispatch.Ownership{Partition: p, Epoch: o.epoch})
		}
	}
	e.mu.Unlock()
	if err := e.renewTargets(ctx); err != nil {
		e.put(ctx, "looking at the receivers of replays is put off", err)
		return
	}
	e.mu.Lock()
	for id, l := range e.lanes {
		ep, ok := e.endpoint(id)
		e.refresh(l, ep, ok)
		e.pump(l)
	}
	e.mu.Unlock()
	if len(ps) == 0 {
		return
	}
	again := e.missedOffers
	offered, err := e.cfg.Store.Offered(ctx, owned, again)
	if e.missedOffers = err != nil; err != nil {
		e.put(ctx, "looking for offers is put off", err)
		return
	}
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		// They are told once: what they are for must be known before they are looked at.
		if err = e.knowTargets(ctx, offered); err == nil {
			break
		}
		e.put(ctx, "looking at the receivers of replays is put off", err)
		if !background.Rest(ctx, pause) {
			return
		}
	}
	e.takeUp(offered, again)
	e.lookForCancels(ctx, owned)
	e.lookForStarts(ctx, ps)
}

// takeUp has offered rows loaded. Those that are told again may be counted already.
func (e *Engine) takeUp(offered []dispatch.Backlog, again bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, b := range offered {
		if o := e.owners[b.Partition]; o != nil && !o.stopping {
			s := e.streamOf(o, e.laneByID(b.EndpointID, b.Org))
			if again {
				s.rows = max(s.rows, int(b.Rows))
			} else {
				s.rows += int(b.Rows)
			}
			s.due(e.cfg.Clock())
			s.sweep = s.sweep || !s.lane.open
		}
	}
}
