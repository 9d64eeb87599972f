package webhooks

import (
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/projections"
)

// commit is one transaction on its way.
type commit struct {
	parts  []*partCommit
	health []dispatch.HealthChange
	lanes  []*lane
}

// partCommit is what a commit does for one owner, and with which items.
type partCommit struct {
	owner    *owner
	part     dispatch.Part
	entries  int
	inserted []*item
	updated  []*item
	deleted  []*item
	// decided are the keys of cancels whose verdict it gives.
	decided []string
}

// empty says that a part only confirms the one before it.
func (p *partCommit) empty() bool {
	return p.entries == 0 && len(p.updated) == 0 && len(p.deleted) == 0 && len(p.decided) == 0
}

func (c *commit) empty() bool { return len(c.parts) == 0 && len(c.health) == 0 }

func (c *commit) batch() dispatch.Batch {
	b := dispatch.Batch{Health: c.health}
	for _, p := range c.parts {
		b.Parts = append(b.Parts, p.part)
	}
	return b
}

func (c *commit) owns(o *owner) bool {
	return slices.ContainsFunc(c.parts, func(p *partCommit) bool { return p.owner == o })
}

func (c *commit) without(p dispatch.Partition) {
	c.parts = slices.DeleteFunc(c.parts, func(pc *partCommit) bool { return pc.part.Partition == p })
}

// gather collects what may be written now. Items are marked clean: whatever
// happens to them from here on is for the next commit. Health has a part with it, if
// only one that confirms: its number tells whether the commit was done before.
func (e *Engine) gather(ticked bool) *commit {
	c := &commit{}
	var confirming *partCommit
	for _, o := range e.owners {
		if o.resigned {
			continue
		}
		p := e.gatherOwner(o)
		if p.empty() && (!ticked || o.stopping || e.cfg.Clock().Before(o.confirmAt)) {
			confirming = p
			continue
		}
		c.parts = append(c.parts, p)
	}
	for _, l := range e.lanes {
		if !l.changed || !l.known || (!l.urgent && !ticked && !e.draining) {
			continue
		}
		c.health = append(c.health, l.change)
		c.lanes = append(c.lanes, l)
		l.change, l.changed, l.urgent = dispatch.HealthChange{}, false, false
	}
	if len(c.parts) == 0 && len(c.health) > 0 && confirming != nil {
		c.parts = append(c.parts, confirming)
	}
	return c
}

func (e *Engine) gatherOwner(o *owner) *partCommit {
	now := e.cfg.Clock()
	patient := !o.stopping && !e.draining && len(o.entries) < 2*e.cfg.CheckpointEvents && o.bytes < e.cfg.MemoryBytes/8
	p := &partCommit{owner: o, part: dispatch.Part{Partition: o.part, Epoch: o.epoch, Seq: o.seq + 1, From: o.next, To: o.next}}
	for _, n := range o.entries {
		if !n.settled() || (patient && e.worthWaiting(n, now)) {
			break
		}
		p.entries++
		if next := n.offset + 1; next > p.part.To {
			p.part.To, p.part.RecordedAt = next, n.recordedAt
		}
		p.part.Started = append(p.part.Started, n.started...)
		for _, it := range n.items {
			if it.phase == done {
				continue
			}
			p.inserted = append(p.inserted, it)
			p.part.Insert = append(p.part.Insert, it.Owed)
		}
	}
	later := o.dirty[:0]
	for _, it := range o.dirty {
		switch {
		case it.unsaid():
			later = append(later, it)
			continue
		case it.phase == done:
			p.deleted = append(p.deleted, it)
			p.part.Delete = append(p.part.Delete, bare(it))
		default:
			p.updated = append(p.updated, it)
			p.part.Update = append(p.part.Update, bare(it))
		}
		it.dirty = false
	}
	clear(o.dirty[len(later):])
	o.dirty = later
	gatherCancels(p)
	if len(o.dirty) > 0 || p.entries < len(o.entries) {
		e.commitSoon()
	}
	return p
}

// bare is a row without what never changes.
func bare(it *item) dispatch.Owed {
	o := it.Owed
	o.Body, o.Headers = nil, nil
	return o
}

// apply notes that a commit is durable.
func (e *Engine) apply(c *commit, health map[string]delivery.Health) {
	for _, p := range c.parts {
		if !p.owner.resigned {
			e.applyPart(p)
		}
	}
	for _, l := range c.lanes {
		if h, ok := health[l.endpoint.ID]; ok {
			// It holds what other owners of the endpoint's partitions met with.
			l.health, _ = dispatch.Merge(h, l.change)
			e.judge(l, e.cfg.Clock())
		}
		e.retire(l)
	}
	if len(c.lanes) > 0 {
		wake(e.wakeTeller)
	}
	e.changed.broadcast()
}

// forget ends a commit that will not be applied.
func (e *Engine) forget(c *commit) {
	for _, l := range c.lanes {
		e.retire(l)
	}
}

func (e *Engine) applyPart(p *partCommit) {
	o := p.owner
	now := e.cfg.Clock()
	o.seq = p.part.Seq
	if p.empty() {
		o.confirmed = min(2*o.confirmed, confirmMost)
	} else {
		o.confirmed = projections.ConfirmEvery
	}
	o.confirmAt = now.Add(o.confirmed)
	for i, row := range p.part.Insert {
		it := p.inserted[i]
		it.stored, it.storedKey = true, row.OrderKey
		e.written(it, row.Status, row.Attempts)
	}
	for i, row := range p.part.Update {
		it := p.updated[i]
		if it.storedKey != row.OrderKey {
			// Those that it held back may go.
			it.stream.due(now)
		}
		it.storedKey = row.OrderKey
		e.written(it, row.Status, row.Attempts)
	}
	for _, it := range p.deleted {
		delete(it.stream.items, it.Key())
		if it.storedKey == "" {
			// Which key is free now is to be read from the store.
			it.stream.toStore()
		}
		// It may have been what another row waited for, also one that another process
		// has offered and that is not counted here yet.
		it.stream.due(now)
	}
	e.applyCancels(p)
	for _, n := range o.entries[:p.entries] {
		for _, it := range n.items {
			o.bytes -= it.bodyBytes()
			if it.phase == done && !it.stored {
				if it.stream.items[it.Key()] == it {
					delete(it.stream.items, it.Key())
				}
				if it.stream.rows > 0 {
					it.stream.due(now)
				}
			}
		}
	}
	clear(o.entries[:p.entries])
	o.entries = o.entries[p.entries:]
	o.next = p.part.To
	wake(o.wake)
	wake(e.wakeKeeper)
}

// written is called when the store has an item as it was when the commit was
// gathered. What changed since is touched again.
func (e *Engine) written(it *item, status delivery.Status, attempts int) {
	same := it.Status == status && it.Attempts == attempts && it.storedKey == it.OrderKey
	waits := it.phase == parked || it.phase == held
	if !same || it.phase == done || it.facts > 0 {
		e.touch(it)
		return
	}
	if !waits || it.dirty {
		return
	}
	s := it.stream
	delete(s.items, it.Key())
	if it.phase == parked {
		s.due(it.NextAttemptAt)
	}
	if (it.phase == held) == s.lane.open || s.lane.gone {
		// The endpoint changed its state, or was deleted, while this was written.
		s.sweep = true
	}
}
