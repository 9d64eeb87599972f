package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
)

const (
	// stallAfter: a lane that has requests under way and ends none for so long
	// stands still.
	stallAfter = 100 * time.Millisecond
	// flowWindow is what a lane's speed is measured over.
	flowWindow = 100 * time.Millisecond
	// flowPoll is how often a planner that waits looks at the lanes, and flowLate
	// by how much a poll comes too late when this machine is what is slow.
	flowPoll = 3 * time.Millisecond
	flowLate = 1500 * time.Microsecond
	// flowWait bounds how long a plan is kept back.
	flowWait = time.Second
)

// flow measures how fast a lane ends deliveries.
type flow struct {
	// perSec is the speed, smoothed; 0 before anything ended.
	perSec float64
	count  int
	since  time.Time
	// lastEnd is when something last ended, or when the lane began to be busy.
	lastEnd time.Time
}

// began notes that a request is under way; busy tells whether others were.
func (f *flow) began(now time.Time, busy bool) {
	if !busy {
		f.lastEnd, f.since, f.count = now, now, 0
	}
}

// ended notes that a request has ended.
func (f *flow) ended(now time.Time) {
	f.count++
	f.lastEnd = now
	d := now.Sub(f.since)
	if d < flowWindow {
		return
	}
	speed := float64(f.count) / d.Seconds()
	if f.perSec == 0 {
		f.perSec = speed
	}
	f.perSec = (f.perSec + speed) / 2
	f.count, f.since = 0, now
}

// soon returns how long the deliveries in a lane's memory will take, and false
// when nobody can tell, because the lane stands still.
func (e *Engine) soon(l *lane, now time.Time) (time.Duration, bool) {
	f := &l.flow
	if !l.open || now.Before(l.pausedUntil) || (l.inFlight > 0 && now.Sub(f.lastEnd) > stallAfter) {
		return 0, false
	}
	if f.perSec == 0 {
		return 0, true
	}
	return time.Duration(float64(l.resident) / f.perSec * float64(time.Second)), true
}

// awaitFlow lets planning go at the speed of sending when it is this machine
// that cannot send faster. What is not planned yet waits in the log for
// nothing; what is planned faster than it is sent must be written to the store,
// read again and deleted, and that would make a machine slower that is at its
// end. It waits while every lane that the plan feeds has work for a while and
// timers come late, which they do when there are more goroutines to run than
// time to run them. A receiver that is slow makes no timer late, and lanes that
// stand still have no say: nobody is held up for their sake.
func (e *Engine) awaitFlow(ctx context.Context, plan [][]dispatch.Owed) {
	ctx, cancel := context.WithTimeout(ctx, flowWait)
	defer cancel()
	for e.fed(plan) {
		before := e.cfg.Clock()
		if !sleep(ctx, flowPoll) || !e.saturated(e.cfg.Clock().Sub(before)-flowPoll) {
			return
		}
	}
}

// saturated takes note of how late a poll came and reports whether this machine
// is at its end.
func (e *Engine) saturated(late time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.late = max(late, e.late*9/10)
	return e.late > flowLate
}

// fed reports whether every lane that flows has enough to do.
func (e *Engine) fed(plan [][]dispatch.Owed) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := e.cfg.Clock()
	flowing := false
	for _, owed := range plan {
		for i := range owed {
			l := e.lanes[owed[i].EndpointID]
			if l == nil {
				return false
			}
			d, flows := e.soon(l, now)
			if !flows {
				continue
			}
			if d < e.cfg.CheckpointGrace/4 {
				return false
			}
			flowing = true
		}
	}
	return flowing
}

// worthWaiting reports whether the checkpoint should wait for an entry a little
// longer, because it will be finished without a row.
func (e *Engine) worthWaiting(n *entry, now time.Time) bool {
	if now.Sub(n.at) >= e.cfg.CheckpointGrace {
		return false
	}
	for _, it := range n.items {
		if it.phase != queued && it.phase != sending {
			continue
		}
		if d, flows := e.soon(it.stream.lane, now); flows && d <= e.cfg.CheckpointGrace {
			return true
		}
	}
	return false
}
