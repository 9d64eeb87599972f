package webhooks

import (
	"context"
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
)

// cancelling is a request to cancel a delivery until its verdict is durable.
// The verdict is given by the commit that ends the delivery, so who is told
// "cancelled" will not see it sent by the next owner, and the next owner need not
// guess how it ended.
type cancelling struct {
	dispatch.Cancel
	verdict dispatch.Verdict
}

// lookForCancels takes up what was asked since the last look.
func (e *Engine) lookForCancels(ctx context.Context, owned []dispatch.Ownership) {
	asked, err := e.cfg.Store.Cancels(ctx, owned, e.missedCancels)
	if e.missedCancels = err != nil; err != nil {
		e.put(ctx, "looking for cancels is put off", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range asked {
		// What is no longer ours is told to the next owner by its claim.
		if o := e.owners[c.Partition]; o != nil && !o.resigned {
			e.cancelOne(o, c)
		}
	}
}

// cancelOne decides on a request. The keeper has just read it: a row that is not
// in memory is in the store as the request has it, or gone. One that is told again
// is being decided.
func (e *Engine) cancelOne(o *owner, c dispatch.Cancel) {
	if o.cancels[c.Key] != nil {
		return
	}
	o.cancels[c.Key] = &cancelling{Cancel: c}
	e.commitSoon()
	var it *item
	if s := o.streams[c.EndpointID]; s != nil {
		it = s.items[c.Key]
	}
	switch {
	case it == nil && c.Row == nil:
	case it == nil:
		it = e.streamOf(o, e.laneByID(c.EndpointID, c.Org)).adopt(*c.Row)
		e.cancelled(it, c.Reason)
	case it.phase == sending:
		it.cancel = c.Reason
	case it.phase == queued:
		e.withdraw(it)
		e.cancelled(it, c.Reason)
	case it.phase == parked || it.phase == held:
		it.stream.forget(it)
		e.cancelled(it, c.Reason)
	}
}

// cancelled drops an item that is in no queue.
func (e *Engine) cancelled(it *item, reason string) {
	if c := it.owner.cancels[it.Key()]; c != nil {
		c.verdict = dispatch.Cancelled
	}
	e.drop(it, reason)
}

// adopt brings a row that waits in the store into memory, for a decision.
func (s *stream) adopt(row dispatch.Owed) *item {
	it := &item{Owed: row, owner: s.owner, stream: s, phase: parked, stored: true, storedKey: row.OrderKey}
	s.items[row.Key()] = it
	s.forget(it)
	return it
}

// forget no longer counts an item among what waits in the store.
func (s *stream) forget(it *item) {
	s.rows = max(0, s.rows-1)
	k := s.keys[it.OrderKey]
	if k == nil || k.parked == 0 {
		return
	}
	if k.parked--; k.parked == 0 && len(k.items) == 0 {
		delete(s.keys, it.OrderKey)
	}
}

// withdraw takes an item that waits in memory out of its key.
func (e *Engine) withdraw(it *item) {
	s := it.stream
	e.leave(it)
	k := s.keys[it.OrderKey]
	if k == nil {
		return
	}
	if k.items[0] != it {
		k.items = slices.DeleteFunc(k.items, func(other *item) bool { return other == it })
		return
	}
	s.lane.ready.drop(func(other *item) bool { return other == it })
	e.advance(it)
	e.pump(s.lane)
}

// gatherCancels gives verdicts on those whose delivery ends with this commit, or has
// ended: it is in memory no more. One that ended in another way than by the request
// was too late for it.
func gatherCancels(p *partCommit) {
	if len(p.owner.cancels) == 0 {
		return
	}
	ends := make(map[string]bool, len(p.deleted))
	for _, it := range p.deleted {
		ends[it.Key()] = true
	}
	for key, c := range p.owner.cancels {
		if s := p.owner.streams[c.EndpointID]; s != nil && s.items[key] != nil && !ends[key] {
			continue
		}
		verdict := c.verdict
		if verdict == dispatch.Undecided {
			verdict = dispatch.TooLate
		}
		p.part.Decided = append(p.part.Decided, dispatch.Decided{Key: key, Verdict: verdict})
		p.decided = append(p.decided, key)
	}
}

// applyCancels forgets what was decided, and sees to the commit of what is not.
func (e *Engine) applyCancels(p *partCommit) {
	for _, key := range p.decided {
		delete(p.owner.cancels, key)
	}
	if len(p.owner.cancels) > 0 {
		e.commitSoon()
	}
}
