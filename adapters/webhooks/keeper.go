package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
)

const (
	// tick is how often lanes are compared with the directory, offers are looked
	// for and the health of endpoints that do well is written.
	tick = time.Second
	// confirmMost is how far apart a partition with nothing to commit makes commits that
	// say nothing, and finds out so whether the store still has the last one; the
	// first comes after projections.ConfirmEvery, the others less and less often.
	confirmMost = time.Minute
	// pageRows bounds the rows that a sweep takes at once.
	pageRows = 500
	// loadRows bounds the rows that one load takes for one stream.
	loadRows = 128
)

// keep does all that concerns the store, one thing after the other, so that
// what it reads is never older than what it wrote: commits, sweeps and loads.
func (e *Engine) keep(ctx context.Context) {
	timer := time.NewTimer(tick)
	defer timer.Stop()
	lastTick := e.cfg.Clock()
	for ctx.Err() == nil {
		now := e.cfg.Clock()
		if by := lastTick.Sub(now); by > 0 {
			e.setBack(by)
			lastTick = now
		}
		ticked := now.Sub(lastTick) >= tick
		if ticked {
			lastTick = now
		}
		if e.nudged.Swap(false) || ticked {
			e.look(ctx)
		}
		ok := e.dueEarlier(ctx)
		if ok {
			ok = e.learnHealth(ctx)
		}
		if ok {
			ok = e.checkpoint(ctx, now, ticked)
		}
		if ok {
			ok = e.sweepAll(ctx)
		}
		if ok {
			ok = e.loadAll(ctx)
		}
		d := e.untilNext(lastTick.Add(tick))
		if !ok {
			d = max(d, 250*time.Millisecond)
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-e.wakeKeeper:
			// What woke us wants to be looked at, but a checkpoint that waits for
			// more is not hurried by it.
		case <-ctx.Done():
		}
	}
}

// untilNext tells how long there is nothing to do, at most a tick: the clock may be set
// back meanwhile.
func (e *Engine) untilNext(tickAt time.Time) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	at := tickAt
	if !e.commitAt.IsZero() && e.commitAt.Before(at) {
		at = e.commitAt
	}
	for _, o := range e.owners {
		for _, s := range o.streams {
			if e.mayLoad(s, at) {
				at = s.nextDue
			}
		}
	}
	return min(max(0, at.Sub(e.cfg.Clock())), tick)
}

// entriesChanged notes that a checkpoint is due, soon or at once.
func (e *Engine) entriesChanged(o *owner) {
	now := e.cfg.Clock()
	if len(o.entries) >= e.cfg.CheckpointEvents || o.bytes >= e.cfg.MemoryBytes/8 {
		e.commitAt = now
		wake(e.wakeKeeper)
		return
	}
	e.commitSoon()
}

func (e *Engine) commitSoon() {
	if e.commitAt.IsZero() {
		e.commitAt = e.cfg.Clock().Add(e.cfg.CheckpointEvery)
		wake(e.wakeKeeper)
	}
}

// put says that something is put off, which many partitions may at once.
func (e *Engine) put(ctx context.Context, what string, err error, about ...any) {
	if ctx.Err() != nil {
		return
	}
	if unsaid, ok := e.said.Due(what, e.cfg.Clock()); ok {
		e.cfg.Logger.WarnContext(ctx, what, append(about, slog.Int("unsaid", unsaid), slog.Any("err", err))...)
	}
}

// learnHealth reads the health of endpoints that have a lane since lately. What
// happened to them meanwhile is added, so that failures in a row are counted
// over restarts.
func (e *Engine) learnHealth(ctx context.Context) bool {
	e.mu.Lock()
	var ids []string
	for id, l := range e.lanes {
		if !l.known {
			ids = append(ids, id)
		}
	}
	e.mu.Unlock()
	if len(ids) == 0 {
		return true
	}
	stored, err := e.cfg.Store.Health(ctx, ids...)
	if err != nil {
		e.put(ctx, "reading the health of endpoints is put off", err)
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, id := range ids {
		l := e.lanes[id]
		if l == nil || l.known {
			continue
		}
		l.known = true
		l.change.EnabledAt, l.change.CountsFrom = l.endpoint.EnabledAt, l.endpoint.CountsFrom()
		l.health, _ = dispatch.Merge(stored[id], l.change)
		e.judge(l, e.cfg.Clock())
	}
	return true
}

// checkpoint commits what is due. It reports whether the store works.
func (e *Engine) checkpoint(ctx context.Context, now time.Time, ticked bool) bool {
	e.mu.Lock()
	if !ticked && (e.commitAt.IsZero() || now.Before(e.commitAt)) {
		e.mu.Unlock()
		return true
	}
	e.commitAt = time.Time{}
	c := e.gather(ticked)
	e.mu.Unlock()
	if c.empty() {
		return true
	}
	lost := false
	for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
		fenced, health, err := e.cfg.Store.Commit(ctx, c.batch())
		e.tried(ctx, &e.committing, err)
		e.mu.Lock()
		if err == nil && len(fenced) == 0 {
			e.apply(c, health)
			e.mu.Unlock()
			return true
		}
		e.giveUp(ctx, c, fenced)
		if refused, ok := errors.AsType[*dispatch.RefusedError](err); ok && e.leaveOut(ctx, c, refused) {
			err = nil
		}
		// After an error it may have been done. The same batch again tells, by its
		// parts: health that has none left is not said twice.
		lost = lost || err != nil
		over := len(c.parts) == 0 && (lost || len(c.health) == 0)
		if over {
			e.forget(c)
		}
		e.mu.Unlock()
		if err != nil {
			e.put(ctx, "checkpoint is put off", err)
		}
		if over || err != nil && !background.Rest(ctx, pause) {
			return err == nil
		}
	}
}

// giveUp resigns from partitions that another owner has, and leaves them out of a
// commit.
func (e *Engine) giveUp(ctx context.Context, c *commit, fenced []dispatch.Partition) {
	for _, p := range fenced {
		if o := e.owners[p]; o != nil && c.owns(o) {
			e.cfg.Logger.WarnContext(ctx, "partition lost to another owner", slog.String("topic", string(p.Topic)), slog.Int("partition", p.ID))
			e.resign(o, ErrNotOwned)
		}
		c.without(p)
	}
}

func inHand(s *stream) []string {
	var keys []string
	for k, it := range s.items {
		if it.stored {
			keys = append(keys, k)
		}
	}
	return keys
}

// room is how many deliveries a lane can take into memory; zero while it is
// more than half full, so that loads are few and large.
func (e *Engine) room(l *lane) int {
	depth := e.depth()
	if l.resident > depth/2 {
		return 0
	}
	return depth - l.resident
}

// mayLoad reports whether a stream has something to load at a time.
func (e *Engine) mayLoad(s *stream, at time.Time) bool {
	return !s.nextDue.IsZero() && !s.nextDue.After(at) && s.lane.open && !s.lane.rests(e.cfg.Clock()) && !s.owner.stopping && !e.draining && e.room(s.lane) > 0
}

// loadAll brings what is due into memory, as far as there is room.
func (e *Engine) loadAll(ctx context.Context) bool {
	e.mu.Lock()
	now := e.cfg.Clock()
	var wants []dispatch.Want
	var streams []*stream
	for _, o := range e.owners {
		for _, s := range o.streams {
			if !e.mayLoad(s, now) {
				continue
			}
			wants = append(wants, dispatch.Want{
				Partition: o.part, Epoch: o.epoch, EndpointID: s.lane.endpoint.ID, Limit: min(e.room(s.lane), loadRows), Exclude: inHand(s),
			})
			streams = append(streams, s)
		}
	}
	e.mu.Unlock()
	if len(wants) == 0 {
		return true
	}
	loaded, err := e.cfg.Store.Load(ctx, now, wants)
	if err != nil {
		e.put(ctx, "loading due deliveries is put off", err)
		return false
	}
	for i, s := range streams {
		e.mu.Lock()
		e.resident(s, loaded[i])
		e.mu.Unlock()
		if !e.goDirect(ctx, s) {
			return false
		}
	}
	return true
}

// resident takes loaded rows into a lane.
func (e *Engine) resident(s *stream, l dispatch.Loaded) {
	s.nextDue = l.Next
	o := s.owner
	for _, row := range l.Rows {
		if o.stopping || !s.lane.open || s.items[row.Key()] != nil {
			s.due(row.NextAttemptAt)
			continue
		}
		it := &item{Owed: row, owner: o, stream: s, stored: true, storedKey: row.OrderKey, size: int64(len(row.Body)) + itemOverhead}
		s.items[row.Key()] = it
		s.rows = max(0, s.rows-1)
		if k := s.keys[row.OrderKey]; k != nil && k.parked > 0 {
			k.parked--
		}
		e.join(it)
	}
}

// goDirect lets memory know the order again, once little is left in the store.
func (e *Engine) goDirect(ctx context.Context, s *stream) bool {
	e.mu.Lock()
	ready := !s.direct && s.lane.open && !s.sweep && !s.owner.stopping && e.room(s.lane) > 0 &&
		(s.nextDue.IsZero() || s.nextDue.After(e.cfg.Clock()))
	o, id, takeovers := s.owner, s.lane.endpoint.ID, s.takeovers
	e.mu.Unlock()
	if !ready {
		return true
	}
	rows, complete, err := e.cfg.Store.Keys(ctx, o.part, id, e.cfg.ParkedKeys/2)
	if err != nil {
		e.put(ctx, "reading order keys is put off", err)
		return false
	}
	if !complete {
		return true
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if s.sweep || !s.lane.open || o.stopping || s.takeovers != takeovers {
		return true
	}
	for _, it := range s.items {
		if it.stored {
			rows[it.storedKey]--
		}
		if it.phase == parked || it.phase == held {
			rows[it.OrderKey]++
		}
	}
	s.direct, s.rows = true, 0
	for name, n := range rows {
		if n <= 0 {
			continue
		}
		k := s.keys[name]
		if k == nil {
			k = &key{}
			s.keys[name] = k
		}
		k.parked = n
		s.rows += n
	}
	return true
}
