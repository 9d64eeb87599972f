package webhooks

import (
	"cmp"
	"context"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
)

const (
	// stallAfter: a lane that has requests under way and ends none for so long
	// stands still.
	stallAfter = 100 * time.Millisecond
	// firstGuess is what an attempt takes before anything was measured.
	firstGuess = 20 * time.Millisecond
	// flowPoll is how often a planner that waits looks at the lanes, and flowLate
	// by how much a poll comes too late when this machine is what is slow.
	flowPoll = 3 * time.Millisecond
	flowLate = 1500 * time.Microsecond
	// flowWait bounds how long a plan is kept back.
	flowWait = time.Second
)

// flow measures how fast a lane ends deliveries. What counts is how long an
// attempt takes, not how many end in a second: a lane with little to do ends few,
// and that says nothing of how many it could.
type flow struct {
	// attempt is how long one takes, smoothed; 0 before any ended.
	attempt time.Duration
	// lastEnd is when something last ended, or when the lane began to be busy.
	lastEnd time.Time
}

// began notes that a request is under way; busy tells whether others were.
func (f *flow) began(now time.Time, busy bool) {
	if !busy {
		f.lastEnd = now
	}
}

// ended notes that a request has ended.
func (f *flow) ended(now time.Time, took time.Duration) {
	f.lastEnd = now
	if f.attempt == 0 {
		f.attempt = took
	}
	f.attempt += (took - f.attempt) / 16
}

// soon returns how long the deliveries in a lane's memory will take, and false
// when nobody can tell, because the lane stands still.
func (e *Engine) soon(l *lane, now time.Time) (time.Duration, bool) {
	f := &l.flow
	if !l.open || now.Before(l.pausedUntil) || (l.inFlight > 0 && now.Sub(f.lastEnd) > stallAfter) {
		return 0, false
	}
	each := cmp.Or(f.attempt, firstGuess) / time.Duration(max(l.limit, 1))
	if l.bucket.rate > 0 {
		each = max(each, time.Duration(float64(time.Second)/l.bucket.rate))
	}
	return time.Duration(l.resident) * each, true
}

// awaitFlow lets planning go at the speed of sending when it is this machine
// that cannot send faster. What is not planned yet waits in the log for
// nothing; what is planned faster than it is sent must be written to the store,
// read again and deleted, and that would make a machine slower that is at its
// end. It waits while every lane that the plan feeds has work for a while and
// timers come late, which they do when there are more goroutines to run than
// time to run them, or its processors have no idle time, or the log does not take
// the facts as fast as they come, which is the disk. A receiver that is slow
// does none of this, and lanes that stand still have no say: nobody is held up for
// their sake.
func (e *Engine) awaitFlow(ctx context.Context, plan [][]dispatch.Owed) {
	ctx, cancel := context.WithTimeout(ctx, flowWait)
	defer cancel()
	for e.fed(plan) {
		before := e.cfg.Clock()
		if !background.Rest(ctx, flowPoll) || !e.saturated(e.cfg.Clock().Sub(before)-flowPoll) {
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
	return e.late > flowLate || e.recorder.full() || e.cfg.Busy != nil && e.cfg.Busy()
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
