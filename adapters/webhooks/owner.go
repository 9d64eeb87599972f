package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// ErrNotOwned says that a partition is not, or no longer, this process's. The
// message is to be delivered again, by whoever owns it then.
var ErrNotOwned = errors.New("partition is not owned by this process")

// owner is a partition while it is ours. Its fields are guarded by Engine.mu.
type owner struct {
	part  dispatch.Partition
	epoch int64
	// seq is the number of the last commit.
	seq int64
	// next is the committed checkpoint, last the offset of the last record taken
	// in order.
	next, last int64
	// early are records that arrived before their predecessor, by its offset.
	early map[int64]Incoming
	// queue are the records in order that are not planned yet.
	queue   []arrived
	entries []*entry
	streams map[string]*stream
	dirty   []*item
	// waiters wait for room in the queue.
	waiters []chan error
	// bytes are those of entries.
	bytes    int64
	inFlight int
	// planned is the offset that is planned next.
	planned int64
	// starts are the endpoints that catch up, as the planner knows them (see
	// takes); takeable those that wait to be taken over.
	starts   map[string]dispatch.Start
	takeable []string
	// cancels are the requests to cancel that are not durably decided, by row key.
	cancels map[string]*cancelling
	// stopping: nothing new is taken; resigned: nothing more is written.
	stopping, resigned bool

	// ctx ends the planner, sendCtx the requests.
	ctx, sendCtx       context.Context //nolint:containedctx // the life of the ownership, from Claim to Release
	cancel, cancelSend context.CancelFunc
	// unwatch ends the watch over the claim's context.
	unwatch func() bool
	wake    chan struct{}
}

// Claim makes this process the owner of a partition and returns the offset to
// read from. ctx ends when the partition is taken away again, unless Release
// is called before.
func (e *Engine) Claim(ctx context.Context, topic event.Topic, partition int) (int64, error) {
	p := dispatch.Partition{Topic: topic, ID: partition}
	e.mu.Lock()
	run, state := e.run, e.state
	former := e.owners[p]
	e.mu.Unlock()
	if state != running {
		return 0, ErrStopped
	}
	if former != nil {
		e.Release(ctx, topic, partition)
	}
	if err := e.enlist(ctx); err != nil {
		return 0, fmt.Errorf("joining those who send: %w", err)
	}
	c, err := e.cfg.Store.Claim(ctx, p)
	if err != nil {
		return 0, fmt.Errorf("claiming %s/%d: %w", p.Topic, p.ID, err)
	}
	o := &owner{
		part: p, epoch: c.Epoch, next: c.Next, last: c.Next - 1,
		planned: c.Next, starts: make(map[string]dispatch.Start), cancels: make(map[string]*cancelling),
		early: make(map[int64]Incoming), streams: make(map[string]*stream),
		wake: make(chan struct{}, 1),
	}
	if err := e.knowTargets(ctx, c.Backlogs); err != nil {
		return 0, fmt.Errorf("claiming %s/%d: %w", p.Topic, p.ID, err)
	}
	o.ctx, o.cancel = context.WithCancel(run)
	o.sendCtx, o.cancelSend = context.WithCancel(run)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.state != running {
		o.cancel()
		o.cancelSend()
		return 0, ErrStopped
	}
	e.owners[p] = o
	for _, b := range c.Backlogs {
		e.resume(o, b)
	}
	for _, asked := range c.Cancels {
		e.cancelOne(o, asked)
	}
	e.workers.Go(func() { e.planLoop(o, c.Next) })
	o.unwatch = context.AfterFunc(ctx, func() { e.lost(o) })
	wake(e.wakeKeeper)
	return c.Next, nil
}

// resume takes up what a partition still owes to an endpoint.
func (e *Engine) resume(o *owner, b dispatch.Backlog) {
	s := e.streamOf(o, e.laneByID(b.EndpointID, b.Org))
	s.toStore()
	s.rows += int(b.Rows)
	if !b.NextDue.IsZero() {
		s.due(b.NextDue)
	}
	if l := s.lane; (l.open && b.Held > 0) || (!l.open && b.Rows > b.Held) || l.gone {
		s.sweep = true
	}
}

func (e *Engine) laneByID(endpointID, org string) *lane {
	if ep, ok := e.endpoint(endpointID); ok {
		if l := e.laneOf(ep); l != nil {
			return l
		}
	}
	return e.goneLane(endpointID, org)
}

func (e *Engine) streamOf(o *owner, l *lane) *stream {
	if s := o.streams[l.endpoint.ID]; s != nil {
		return s
	}
	s := &stream{owner: o, lane: l, direct: true, keys: make(map[string]*key), items: make(map[string]*item)}
	o.streams[l.endpoint.ID] = s
	l.streams[s] = struct{}{}
	return s
}

// Release gives a partition up: requests under way are waited for, at most for
// the drain time, and what is unfinished is left in the store for the next
// owner.
func (e *Engine) Release(ctx context.Context, topic event.Topic, partition int) {
	e.mu.Lock()
	o := e.owners[dispatch.Partition{Topic: topic, ID: partition}]
	e.mu.Unlock()
	if o != nil {
		e.release(ctx, o)
	}
}

// lost is Release for a claim whose context ended without one.
func (e *Engine) lost(o *owner) {
	e.mu.Lock()
	mine := e.owners[o.part] == o && e.state == running
	if mine {
		e.workers.Add(1)
	}
	e.mu.Unlock()
	if !mine {
		return
	}
	defer e.workers.Done()
	e.release(o.sendCtx, o)
}

func (e *Engine) release(ctx context.Context, o *owner) {
	e.mu.Lock()
	e.halt(o)
	e.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, e.cfg.Drain)
	defer cancel()
	e.await(ctx, func() bool { return o.inFlight == 0 || o.resigned })
	o.cancelSend()
	// The last commit needs the facts of what has just ended.
	last, cancelLast := context.WithTimeout(context.WithoutCancel(ctx), e.cfg.Drain)
	defer cancelLast()
	e.await(last, func() bool { return o.resigned || (o.inFlight == 0 && clean(o)) })
	e.mu.Lock()
	e.resign(o, ErrNotOwned)
	e.mu.Unlock()
}

// clean reports whether the store knows all that an owner knows.
func clean(o *owner) bool { return len(o.entries) == 0 && len(o.dirty) == 0 }

// halt ends planning and starting for an owner.
func (e *Engine) halt(o *owner) {
	if o.stopping {
		return
	}
	o.stopping = true
	o.cancel()
	o.queue, o.early = nil, nil
	for _, s := range o.streams {
		s.lane.ready.drop(func(it *item) bool { return it.owner == o })
	}
	wake(e.wakeKeeper)
}

// resign forgets an owner. What it had is another's now, or will be.
func (e *Engine) resign(o *owner, why error) {
	if o.resigned {
		return
	}
	e.halt(o)
	o.resigned = true
	o.cancelSend()
	if o.unwatch != nil {
		o.unwatch()
	}
	for _, s := range o.streams {
		for _, k := range s.keys {
			for _, it := range k.items {
				e.leave(it)
			}
		}
		delete(s.lane.streams, s)
		e.retire(s.lane)
	}
	if e.owners[o.part] == o {
		delete(e.owners, o.part)
	}
	o.answer(why)
	e.changed.broadcast()
}

// retire forgets a lane that has nothing to do.
func (e *Engine) retire(l *lane) {
	if len(l.streams) == 0 && l.inFlight == 0 && !l.changed && !l.queuedForSocket && e.lanes[l.endpoint.ID] == l && e.toDisable[l.endpoint.ID] == "" {
		if l.timer != nil {
			l.timer.Stop()
		}
		delete(e.lanes, l.endpoint.ID)
	}
}

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
			o.queue = append(o.queue, arrived{in, tick})
			o.last = in.Position.Offset
			if in, more = o.early[o.last]; more {
				delete(o.early, o.last)
			}
		}
		wake(o.wake)
	}
	c := make(chan error, 1)
	if len(o.queue) < e.cfg.Ahead {
		c <- nil
	} else {
		o.waiters = append(o.waiters, c)
	}
	return c, nil
}

// answer ends the wait of all that wait for room.
func (o *owner) answer(err error) {
	for _, c := range o.waiters {
		c <- err
	}
	o.waiters = nil
}

// planLoop plans what an owner's partition brings, in order.
func (e *Engine) planLoop(o *owner, from int64) {
	states := e.planner.follow(o.part, from)
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
			e.cfg.Logger.WarnContext(o.ctx, "planning deliveries is put off", slog.String("position", batch[0].Position.String()), slog.Any("err", err))
			if !background.Rest(o.ctx, pause) {
				return
			}
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
		if n := min(len(o.queue), e.cfg.PlanBatch); n > 0 && room && o.ctx.Err() == nil {
			batch = make([]event.Recorded, n)
			for i, in := range o.queue[:n] {
				batch[i], tick = in.Recorded, in.tick
			}
			clear(o.queue[:n])
			o.queue = o.queue[n:]
			if len(o.queue) < e.cfg.Ahead {
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
		n := &entry{offset: r.Position.Offset, at: now}
		for _, owed := range plan[i] {
			n.items = append(n.items, e.admit(o, owed))
			o.bytes += int64(len(owed.Body))
		}
		o.entries = append(o.entries, n)
		o.planned = n.offset + 1
	}
	e.entriesChanged(o)
}

// admit decides how a new delivery begins.
func (e *Engine) admit(o *owner, owed dispatch.Owed) *item {
	it := &item{Owed: owed, owner: o, size: int64(len(owed.Body)) + itemOverhead}
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
	case !s.direct, l.rests(e.cfg.Clock()), l.resident >= e.cfg.LaneDepth, e.bytes >= e.cfg.MemoryBytes, s.rows > e.cfg.ParkedKeys:
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

// itemOverhead is about what an item takes beside its body.
const itemOverhead = 1024
