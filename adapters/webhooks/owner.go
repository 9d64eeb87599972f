package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
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
	// confirmAt is when the store is to confirm that it still has that, unless there
	// is something to commit; confirmed is how long before that it last did.
	confirmAt time.Time
	confirmed time.Duration
	// ahead is by how much the clock was set back since what waits in the store was
	// made due.
	ahead time.Duration
	// next is the committed checkpoint, last the offset of the last record taken
	// in order.
	next, last int64
	// early are records that arrived before their predecessor, by its offset.
	early map[int64]Incoming
	// queue are the records in order that are not planned yet.
	queue   fifo[arrived]
	entries []*entry
	streams map[string]*stream
	dirty   []*item
	// waiters wait for room in the queue.
	waiters []chan error
	// bytes are those of entries' bodies.
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
func (e *Engine) Claim(ctx context.Context, topic event.Topic, partition int) (next int64, err error) {
	defer func() { e.tried(ctx, &e.claiming, err) }()
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
		part: p, epoch: c.Epoch, next: c.Next, last: c.Next - 1, confirmAt: e.cfg.Clock().Add(projections.ConfirmEvery), confirmed: projections.ConfirmEvery,
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
	e.workers.Go(func() { e.planLoop(o, c) })
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

// Lost is closed when a claim no longer holds. A store that was killed may have
// lost the checkpoint that it had confirmed last; the next one is then refused as
// if another owner had claimed the partition.
func (e *Engine) Lost(topic event.Topic, partition int) <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o := e.owners[dispatch.Partition{Topic: topic, ID: partition}]; o != nil {
		return o.ctx.Done()
	}
	gone := make(chan struct{})
	close(gone)
	return gone
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
	o.queue, o.early = fifo[arrived]{}, nil
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
	_, untold := e.toDisable[l.endpoint.ID]
	if len(l.streams) == 0 && l.inFlight == 0 && !l.changed && !l.queuedForSocket && e.lanes[l.endpoint.ID] == l && !untold {
		if l.timer != nil {
			l.timer.Stop()
		}
		delete(e.lanes, l.endpoint.ID)
	}
}

// itemOverhead is about what an item takes beside its body.
const itemOverhead = 1024
