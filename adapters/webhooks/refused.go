package webhooks

import (
	"context"
	"log/slog"
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
)

const (
	// unstorable stands in the store for a reason that it refuses.
	unstorable = "the reason has characters that cannot be stored"
	// reasonUnstorable is why a delivery is dropped whose row is refused even so.
	reasonUnstorable = "it cannot be stored, so it cannot be tried again"
)

// leaveOut takes out of a commit what the store refuses, so that all the rest goes
// through: first the reason of a row or of a failure, and if that was not what was
// wrong with it, the row or the health itself. It reports whether there was anything
// left to take out.
func (e *Engine) leaveOut(ctx context.Context, c *commit, refused *dispatch.RefusedError) bool {
	e.cfg.Logger.ErrorContext(ctx, "the store refuses deliveries", slog.Any("deliveries", refused.Rows), slog.Any("endpoints", refused.Endpoints), slog.Any("err", refused.Err))
	changed := false
	c.health = slices.DeleteFunc(c.health, func(h dispatch.HealthChange) bool {
		gone := slices.Contains(refused.Endpoints, h.EndpointID) && h.LastError == unstorable
		changed = changed || gone
		return gone
	})
	for i, h := range c.health {
		if slices.Contains(refused.Endpoints, h.EndpointID) {
			c.health[i].LastError, changed = unstorable, true
		}
	}
	for _, p := range c.parts {
		changed = e.leaveOutRows(p, refused.Rows) || changed
	}
	return changed
}

func (e *Engine) leaveOutRows(p *partCommit, refused []string) (changed bool) {
	var hopeless []*item
	look := func(rows []dispatch.Owed, items []*item) {
		for i, o := range rows {
			switch {
			case !slices.Contains(refused, o.Key()):
			case o.LastError != unstorable:
				rows[i].LastError, changed = unstorable, true
			default:
				hopeless = append(hopeless, items[i])
			}
		}
	}
	look(p.part.Insert, p.inserted)
	look(p.part.Update, p.updated)
	for i, o := range p.part.Delete {
		if slices.Contains(refused, o.Key()) && o.LastError != unstorable {
			p.part.Delete[i].LastError, changed = unstorable, true
		}
	}
	if len(hopeless) == 0 {
		return changed
	}
	for _, it := range hopeless {
		e.abandon(it)
	}
	e.strip(p)
	return true
}

// abandon drops a delivery that cannot wait in the store. One that is under way may
// still succeed.
func (e *Engine) abandon(it *item) {
	switch it.phase {
	case sending:
		it.cancel = reasonUnstorable
		return
	case queued:
		e.withdraw(it)
	case parked, held:
		it.stream.forget(it)
	case done: // meanwhile
		return
	}
	e.drop(it, reasonUnstorable)
}

// strip leaves of a part that it confirms the last commit. All else in it is for the
// next one, when what was dropped is a fact in the log.
func (e *Engine) strip(p *partCommit) {
	for _, it := range slices.Concat(p.updated, p.deleted) {
		e.touch(it)
	}
	*p = partCommit{owner: p.owner, part: dispatch.Part{
		Partition: p.part.Partition, Epoch: p.part.Epoch, Seq: p.part.Seq, From: p.part.From, To: p.part.From,
	}}
	e.commitSoon()
}
