package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// arrived is a record that waits to be planned.
type arrived struct {
	Incoming
	// tick is what had been asked about leads when it came (see sharedEnds).
	tick int64
}

// accept takes a record. The channel gets nil when there is room for another.
func (e *Engine) accept(in Incoming) (<-chan error, error) {
	p := dispatch.Partition{Topic: in.Position.Topic, ID: in.Position.Partition}
	tick := e.planner.leadEnds.arrival(p.Topic)
	e.mu.Lock()
	defer e.mu.Unlock()
	o := e.owners[p]
	if o == nil || o.stopping {
		return nil, ErrNotOwned
	}
	switch {
	case in.Position.Offset <= o.last:
	case in.Previous > o.last:
		o.early[in.Previous] = in
	default:
		for more := true; more; {
			o.queue.push(arrived{in, tick})
			o.last = in.Position.Offset
			if in, more = o.early[o.last]; more {
				delete(o.early, o.last)
			}
		}
		wake(o.wake)
	}
	if o.queue.len() < e.cfg.Ahead {
		return e.free, nil
	}
	c := make(chan error, 1)
	o.waiters = append(o.waiters, c)
	return c, nil
}

// answer ends the wait of all that wait for room.
func (o *owner) answer(err error) {
	for _, c := range o.waiters {
		c <- err
	}
	o.waiters = nil
}

// planLoop plans what an owner's partition brings behind a checkpoint, in order.
func (e *Engine) planLoop(o *owner, c dispatch.Claimed) {
	if !e.awaitSameLog(o, projections.Mark{Partition: o.part.ID, Offset: c.Next - 1, RecordedAt: c.RecordedAt}) {
		return
	}
	states := e.planner.follow(o.part, c.Next)
	for {
		batch, tick, ok := e.nextBatch(o)
		if !ok || !e.takeStarts(o) {
			return
		}
		for pause := 50 * time.Millisecond; len(batch) > 0; pause = min(2*pause, 2*time.Second) {
			plan, err := e.planOwned(o, states, batch, tick)
			if err == nil {
				e.awaitFlow(o.ctx, plan)
				e.admitAll(o, batch, plan)
				break
			}
			if o.ctx.Err() != nil {
				return
			}
			if errors.Is(err, ErrNotOwned) {
				e.mu.Lock()
				defer e.mu.Unlock()
				e.resign(o, ErrNotOwned)
				return
			}
			states.Restart(batch[0].Position.Offset)
			e.put(o.ctx, "planning deliveries is put off", err, slog.String("position", batch[0].Position.String()))
			if !background.Rest(o.ctx, pause) {
				return
			}
		}
	}
}

// awaitSameLog returns once the log is the one of the checkpoint, whose last record is
// given; false if the owner ends before. Until then nothing is planned, and what was
// planned before goes on.
func (e *Engine) awaitSameLog(o *owner, last projections.Mark) bool {
	if e.cfg.Past == nil {
		return true
	}
	read := func(ctx context.Context) ([]event.Recorded, error) {
		found, _, err := e.cfg.Past.Read(ctx, o.part, last.Offset, last.Offset+1)
		return found, err
	}
	start := func(ctx context.Context) (int64, error) { return e.cfg.Past.Start(ctx, o.part) }
	for pause := 100 * time.Millisecond; ; pause = min(2*pause, 5*time.Second) {
		err := projections.SameLog(o.ctx, o.part.Topic, last, read, start)
		e.tried(o.ctx, &e.resuming, err)
		if err == nil {
			return true
		}
		if o.ctx.Err() != nil {
			return false
		}
		e.put(o.ctx, "planning deliveries is put off", err, slog.String("topic", string(o.part.Topic)), slog.Int("partition", o.part.ID))
		if !background.Rest(o.ctx, pause) {
			return false
		}
	}
}

// nextBatch waits for records, and for room to plan them. The tick is that of
// the last of them. None come when there is something to take over.
func (e *Engine) nextBatch(o *owner) (batch []event.Recorded, tick int64, ok bool) {
	for {
		e.mu.Lock()
		if len(o.takeable) > 0 && o.ctx.Err() == nil {
			e.mu.Unlock()
			return nil, 0, true
		}
		room := o.bytes < e.cfg.MemoryBytes/4 && len(o.entries) < 4*e.cfg.CheckpointEvents
		if n := min(o.queue.len(), e.cfg.PlanBatch); n > 0 && room && o.ctx.Err() == nil {
			batch = make([]event.Recorded, n)
			for i, in := range o.queue.waiting()[:n] {
				batch[i], tick = in.Recorded, in.tick
			}
			o.queue.drop(n)
			if o.queue.len() < e.cfg.Ahead {
				o.answer(nil)
			}
			e.mu.Unlock()
			return batch, tick, true
		}
		e.mu.Unlock()
		select {
		case <-o.wake:
		case <-o.ctx.Done():
			return nil, 0, false
		}
	}
}

// admitAll puts planned deliveries into their lanes.
func (e *Engine) admitAll(o *owner, batch []event.Recorded, plan [][]dispatch.Owed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.stopping {
		return
	}
	now := e.cfg.Clock()
	for i, r := range batch {
		n := &entry{offset: r.Position.Offset, recordedAt: r.RecordedAt, at: now}
		for _, owed := range plan[i] {
			n.items = append(n.items, e.admit(o, owed))
		}
		o.entries = append(o.entries, n)
		o.planned = n.offset + 1
	}
	e.entriesChanged(o)
}

// admit decides how a new delivery begins.
func (e *Engine) admit(o *owner, owed dispatch.Owed) *item {
	it := &item{Owed: owed, owner: o, size: int64(len(owed.Body)) + itemOverhead}
	o.bytes += it.bodyBytes()
	l := e.laneByID(owed.EndpointID, owed.Org)
	s := e.streamOf(o, l)
	it.stream = s
	if s.items[it.Key()] != nil {
		// The event stands twice in the log and nobody had noticed.
		it.phase = done
		return it
	}
	s.items[it.Key()] = it
	switch k := s.keys[it.OrderKey]; {
	case it.Status == delivery.IsDropped:
		e.drop(it, it.LastError)
	case !l.open:
		s.toStore()
		e.holdOrDrop(it)
	case !s.direct, l.rests(e.cfg.Clock()), l.resident >= e.depth(), s.rows > e.cfg.ParkedKeys:
		s.toStore()
		it.phase = parked
		s.rows++
	case k != nil && k.parked > 0:
		it.phase = parked
		s.rows++
		k.parked++
	default:
		e.join(it)
	}
	return it
}
