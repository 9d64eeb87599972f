package webhooks

import (
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// lane is an endpoint's share of the engine: what is ready to be sent to it,
// how much of it may be under way, and how it has been doing. It is guarded by
// Engine.mu. Nothing of another lane ever waits for it.
type lane struct {
	endpoint delivery.Endpoint
	dialect  Dialect
	profile  delivery.Profile
	streams  map[*stream]struct{}

	ready heads
	// resident counts the items in memory, inFlight those sending, replaying those
	// of replays among these.
	resident, inFlight, replaying int
	// own: the receiver is a replay's and gets nothing else.
	own bool
	// limit is the in-flight limit as of now: it halves when the receiver says
	// that it is overloaded, and grows by one with each success.
	limit           int
	bucket          bucket
	flow            flow
	pausedUntil     time.Time
	overloads       int
	timer           *time.Timer
	timerAt         time.Time
	queuedForSocket bool

	// open says whether deliveries are sent; gone that the endpoint is deleted.
	open, gone bool
	// unknownSince is when something was found in the store for an endpoint that
	// the directory has never told of here: it may be late.
	unknownSince time.Time
	// disabledAt is when we disabled it, which the directory may not know yet, and
	// countsFrom from when on its failures counted then.
	disabledAt, countsFrom time.Time
	reason                 string
	// turn counts how often the receiver refused a signature (see ownSecret).
	turn int

	health delivery.Health
	// change is what happened to the health since the last commit.
	change  dispatch.HealthChange
	changed bool
	// urgent: the change must not wait for the next second.
	urgent bool
	// known: health includes what the store knew.
	known bool
}

// overloaded are the answers that ask for less.
func overloaded(status int) bool {
	switch status {
	case 429, 502, 503, 504:
		return true
	}
	return false
}

// maxLimit is the in-flight limit of a lane in good health: this process's share
// of the endpoint's own, else the default of each process.
func (e *Engine) maxLimit(l *lane) int {
	if n := l.endpoint.MaxInFlight; n > 0 {
		return e.crew.inFlight(n)
	}
	return e.cfg.MaxInFlight
}

// laneOf returns the lane of an endpoint, nil when its dialect does not exist.
func (e *Engine) laneOf(ep delivery.Endpoint) *lane {
	if l := e.lanes[ep.ID]; l != nil {
		e.refresh(l, ep, true)
		return l
	}
	d := e.dialects[ep.Dialect]
	if d == nil {
		return nil
	}
	l := &lane{endpoint: ep, dialect: d, profile: d.Profile(), streams: make(map[*stream]struct{}), open: ep.Sends(), reason: ep.DisabledReason}
	_, l.own = e.targets[ep.ID]
	l.limit = e.maxLimit(l)
	l.bucket.set(e.crew.rate(ep.Rate()), e.cfg.Clock())
	e.lanes[ep.ID] = l
	return l
}

// goneLane stands for an endpoint that was deleted while deliveries waited.
func (e *Engine) goneLane(endpointID, org string) *lane {
	if l := e.lanes[endpointID]; l != nil {
		return l
	}
	l := &lane{endpoint: delivery.Endpoint{ID: endpointID, Org: org}, streams: make(map[*stream]struct{}), gone: true, unknownSince: e.cfg.Clock()}
	e.lanes[endpointID] = l
	return l
}

// refresh brings a lane up to date with the directory.
func (e *Engine) refresh(l *lane, ep delivery.Endpoint, exists bool) {
	if !exists {
		if !l.gone {
			l.gone = true
			e.shut(l)
		}
		return
	}
	if l.gone {
		// Created anew under its id, or the directory was late.
		d := e.dialects[ep.Dialect]
		if d == nil {
			return
		}
		l.gone, l.dialect, l.profile, l.limit = false, d, d.Profile(), e.maxLimit(l)
		l.unknownSince = time.Time{}
	}
	l.forgetTurn(ep)
	fresh := !ep.CountsFrom().Equal(l.endpoint.CountsFrom())
	if !ep.UpdatedAt.Equal(l.endpoint.UpdatedAt) || ep.Sends() != l.endpoint.Sends() || len(ep.Secrets) != len(l.endpoint.Secrets) {
		l.endpoint = ep
		l.limit = e.maxLimit(l)
		l.bucket.set(e.crew.rate(ep.Rate()), e.cfg.Clock())
	}
	l.endpoint.Secrets = ep.Secrets
	open := ep.Sends()
	if open && !l.disabledAt.IsZero() {
		// What we disabled stays so until somebody enables it or gives it another
		// receiver, whatever else changes.
		open = !ep.CountsFrom().Equal(l.countsFrom)
	}
	switch {
	case open && !l.open:
		e.reopen(l)
	case open && fresh:
		e.forgive(l)
		e.pump(l)
	case !open && l.open:
		l.reason = ep.DisabledReason
		switch {
		case l.reason != "":
		case ep.Enabled:
			l.reason = "its event is \"" + delivery.EventDisabled + "\": nothing is sent"
		default:
			l.reason = "the endpoint is disabled"
		}
		e.shut(l)
	}
}

// disable shuts a lane on the hub's own account.
func (e *Engine) disable(l *lane, reason string, now time.Time) {
	if !l.open {
		return
	}
	l.disabledAt, l.countsFrom, l.reason = now, l.endpoint.CountsFrom(), reason
	e.toDisable[l.endpoint.ID] = disabling{reason, l.countsFrom}
	wake(e.wakeDisabler)
	e.shut(l)
}

// shut ends sending: what is in memory becomes held, or dropped when the
// endpoint is gone; what is in the store is swept.
func (e *Engine) shut(l *lane) {
	l.open = false
	l.ready = heads{}
	for s := range l.streams {
		s.sweep = true
		for _, k := range s.keys {
			for _, it := range k.items {
				if it.phase != queued {
					continue
				}
				e.leave(it)
				e.holdOrDrop(it)
			}
			keep := k.items[:0]
			for _, it := range k.items {
				if it.phase == sending {
					keep = append(keep, it)
				}
			}
			clear(k.items[len(keep):])
			k.items = keep
		}
		s.toStore()
	}
	wake(e.wakeKeeper)
}

// holdOrDrop gives an item that cannot be sent its state.
func (e *Engine) holdOrDrop(it *item) {
	l := it.stream.lane
	if l.gone {
		e.drop(it, delivery.EndpointDeleted)
		return
	}
	it.stream.rows++
	it.phase, it.Status, it.LastError = held, delivery.IsHeld, l.reason
	e.fact(it, delivery.Held{Ref: delivery.RefOf(it.Delivery), Reason: l.reason}, heldID(it, l))
	e.touch(it)
}

func (e *Engine) drop(it *item, reason string) {
	it.phase, it.Status, it.LastError = done, delivery.IsDropped, reason
	e.meter.finished(it.Status)
	e.fact(it, delivery.Dropped{Ref: delivery.RefOf(it.Delivery), Reason: reason}, factID("dropped", it))
	e.touch(it)
}

// reopen begins to send again, with a clean record.
func (e *Engine) reopen(l *lane) {
	l.open, l.reason, l.disabledAt = true, "", time.Time{}
	delete(e.toDisable, l.endpoint.ID)
	e.forgive(l)
	for s := range l.streams {
		s.sweep = true
	}
	wake(e.wakeKeeper)
}

// forgive begins a clean record: what failed, and what it asked for, was before.
func (e *Engine) forgive(l *lane) {
	l.overloads, l.pausedUntil = 0, time.Time{}
	l.limit = e.maxLimit(l)
	l.health = l.health.Forgiven()
	c := e.changeOf(l)
	c.Reset, c.Failures, c.FailingSince, c.ExhaustedAt = true, 0, time.Time{}, time.Time{}
	l.urgent = true
}

// join puts an item at the end of its key in memory.
func (e *Engine) join(it *item) {
	s := it.stream
	k := s.keys[it.OrderKey]
	if k == nil {
		k = &key{}
		s.keys[it.OrderKey] = k
	}
	k.items = append(k.items, it)
	it.phase, it.resident = queued, true
	s.lane.resident++
	e.bytes += it.size
	if len(k.items) == 1 {
		s.lane.ready.push(it)
		e.pump(s.lane)
	}
}

// leave gives back the room that an item takes.
func (e *Engine) leave(it *item) {
	if !it.resident {
		return
	}
	it.resident = false
	l := it.stream.lane
	l.resident--
	full := e.bytes >= e.cfg.MemoryBytes
	e.bytes -= it.size
	if l.resident == e.cfg.LaneDepth/2 || full && (e.bytes < e.cfg.MemoryBytes || l.resident == laneLeast/2) {
		wake(e.wakeKeeper)
	}
}

// laneLeast is how many deliveries a lane may have in memory however much others have
// there: those of receivers that hang would else be all that is.
const laneLeast = 8

// depth is how many deliveries a lane may have in memory as of now.
func (e *Engine) depth() int {
	if e.bytes >= e.cfg.MemoryBytes {
		return min(laneLeast, e.cfg.LaneDepth)
	}
	return e.cfg.LaneDepth
}

// advance takes the first item out of its key and lets the next one go, unless it is
// the next owner's to send.
func (e *Engine) advance(it *item) {
	s := it.stream
	k := s.keys[it.OrderKey]
	if k == nil || len(k.items) == 0 || k.items[0] != it {
		return
	}
	k.items = k.items[1:]
	if len(k.items) > 0 {
		if !s.owner.stopping {
			s.lane.ready.push(k.items[0])
		}
		return
	}
	if k.parked == 0 {
		delete(s.keys, it.OrderKey)
	}
}

// park sends the first item of a key back to the store, and those behind it.
func (e *Engine) park(it *item) {
	s := it.stream
	k := s.keys[it.OrderKey]
	if k == nil {
		k = &key{}
		s.keys[it.OrderKey] = k
	}
	for _, b := range k.items {
		e.leave(b)
		b.phase = parked
		s.rows++
		k.parked++
		switch {
		case b == it || b.dirty:
			e.touch(b)
		case b.stored:
			// Its row is as it should be.
			delete(s.items, b.Key())
		}
	}
	k.items = nil
	if !s.direct || s.rows > e.cfg.ParkedKeys {
		s.toStore()
		if len(k.items) == 0 {
			delete(s.keys, it.OrderKey)
		}
	}
}

// touch notes that the store must hear of an item. An item of an entry that is
// not below the checkpoint yet is written with it.
func (e *Engine) touch(it *item) {
	if it.dirty || !it.stored {
		return
	}
	it.dirty = true
	it.owner.dirty = append(it.owner.dirty, it)
	e.commitSoon()
}

// pump starts what may be started in a lane.
func (e *Engine) pump(l *lane) {
	for e.mayStart(l) && e.sockets.acquire(l) {
		e.spawn(e.begin(l))
	}
}

// mayStart reports whether a lane could use a socket now, and sets its timer
// when only time is missing.
func (e *Engine) mayStart(l *lane) bool {
	if e.draining || !l.open || l.inFlight >= l.limit || !l.ready.may(l.replaying, l.replayShare()) || e.recorder.full() {
		return false
	}
	now := e.cfg.Clock()
	d := max(l.pausedUntil.Sub(now), l.bucket.wait(now), e.quiet(l, now))
	if d <= 0 {
		return true
	}
	e.pumpAt(l, now.Add(d), d)
	return false
}

func (e *Engine) pumpAt(l *lane, at time.Time, d time.Duration) {
	if l.timer != nil && !l.timerAt.After(at) && l.timerAt.After(e.cfg.Clock()) {
		return
	}
	if l.timer != nil {
		l.timer.Stop()
	}
	l.timerAt = at
	l.timer = time.AfterFunc(d, func() {
		e.mu.Lock()
		defer e.mu.Unlock()
		l.timer = nil
		e.pump(l)
	})
}

// begin uses an acquired socket for the first ready item.
func (e *Engine) begin(l *lane) job {
	it := l.ready.pop(l.replaying, l.replayShare())
	if it.background() {
		l.replaying++
	}
	l.bucket.take()
	l.flow.began(e.cfg.Clock(), l.inFlight > 0)
	l.inFlight++
	it.phase = sending
	it.owner.inFlight++
	e.inFlight++
	return job{item: it, lane: l, endpoint: l.endpoint, dialect: l.dialect, timeout: l.profile.Timeout, number: it.Attempts + 1, turn: l.turn, ctx: it.owner.sendCtx}
}

func (e *Engine) spawn(j job) { e.workers.Go(func() { e.work(j) }) }

// grant hands free sockets to the lanes that wait for them.
func (e *Engine) grant() {
	for l := e.sockets.next(); l != nil; l = e.sockets.next() {
		if !e.mayStart(l) {
			e.sockets.release()
			continue
		}
		e.spawn(e.begin(l))
		if e.mayStart(l) {
			e.sockets.queue(l)
		}
	}
}
