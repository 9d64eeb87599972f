package webhooks

import "time"

// setBack takes what is measured in this process along when the clock is set back by
// so much: it is the database's, and the one that takes over may have another. When a
// delivery is to be tried again stands in the store and stays.
func (e *Engine) setBack(by time.Duration) {
	e.mu.Lock()
	defer e.mu.Unlock()
	moments := []*time.Time{&e.commitAt, &e.crew.quietUntil, &e.claiming.at, &e.resuming.at, &e.committing.at}
	for _, o := range e.owners {
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
