package webhooks

import (
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// The clock is the database's, and a standby that takes over may have another: what
// an engine does every so often, and what it lets an endpoint have in a second, does
// not wait until the clock is where it was.
func TestAClockThatIsSetBackHoldsNothingUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("limited", func(e *delivery.Endpoint) { e.RatePerSec = 10 })
		r.endpoint("slowed")
		r.endpoint("changed")
		var overloaded atomic.Bool
		overloaded.Store(true)
		r.receive = func(q Request) Result {
			if q.URL == "https://slowed.example/hook" && overloaded.Swap(false) {
				return status(429)
			}
			return ok()
		}
		var ahead atomic.Int64
		ahead.Store(int64(time.Hour))
		h := r.start(func(c *Config) {
			c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		defer h.stop()
		requests := func(endpoint string) (n int) {
			for _, q := range r.seen() {
				if q.url == "https://"+endpoint+".example/hook" && q.status == 200 {
					n++
				}
			}
			return n
		}
		r.happen(entities(50)...)
		<-time.After(100 * time.Millisecond) // something is due in a moment, by the clock as it is
		ahead.Store(0)
		pass(20 * time.Second)
		if n := requests("limited"); n != 50 {
			t.Errorf("%d requests to the endpoint with a rate, want 50", n)
		}
		if n := requests("slowed"); n < 49 { // one is retried at a time by the clock as it was
			t.Errorf("%d requests to the endpoint that was overloaded for a moment, want 49 at least", n)
		}
		if next := r.store.Next(dispatch.Partition{Topic: event.Calls}); next != 50 {
			t.Errorf("the checkpoint is %d, want 50", next)
		}
		r.change("changed", func(e *delivery.Endpoint) { e.Enabled = false })
		pass(5 * time.Second)
		before := requests("changed")
		r.happen("later")
		pass(5 * time.Second)
		if n := requests("changed"); n != before {
			t.Error("an endpoint was sent to that is disabled")
		}
	})
}

// What waits for its next attempt, and the rest of a replay at its rate, wait as long as
// they would have by the clock as it was.
func TestAClockThatIsSetBackPutsNothingOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		var failing atomic.Bool
		var ahead atomic.Int64
		ahead.Store(int64(6 * time.Hour))
		now := func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		h := r.start(func(c *Config) { c.Clock = now })
		defer h.stop()
		since := now()
		r.answers(func(Request) Result {
			if failing.Load() {
				return status(500)
			}
			return ok()
		})
		r.happen(entities(40)...)
		pass(5 * time.Second)
		rp := h.begin(since.Add(-12*time.Hour), func(rp *dispatch.Replay) { rp.RatePerSec, rp.Until = 2, now() })
		pass(5 * time.Second)
		failing.Store(true)
		r.happen("late")
		pass(time.Second)
		failing.Store(false)
		ahead.Store(0)
		pass(time.Minute)
		rows := r.store.Rows()
		for _, o := range rows {
			if o.NextAttemptAt.After(now()) {
				t.Errorf("%s waits for %s", o.EntityID, o.NextAttemptAt.Sub(now()))
			}
		}
		if rep := h.report(rp.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] < 40 {
			t.Errorf("%d rows, the report is %+v", len(rows), rep)
		}
	})
}
