package webhooks

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// finished fails the test for replays that have not ended with so many delivered.
func (h *hub) finished(n int64, ids ...string) {
	h.link.t.Helper()
	for _, id := range ids {
		if rep := h.report(id); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != n || rep.Deliveries != n || rep.Events != n {
			h.link.t.Errorf("%s is %+v", id, rep)
		}
	}
}

// Replays to a webhook that is disabled wait for people, perhaps for days. They
// hold back nobody else's replay, and no webhook that begins in the past.
func TestReplaysThatWaitHoldNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.endpoint("b")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(several(5, 2)...)
		pass(time.Second)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		var waiting []string
		for i := range 2 * jobsAtOnce {
			// Half of them have offered all they will, half as much as they may.
			waiting = append(waiting, h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = []float64{2, 1000}[i%2] }).ID)
		}
		pass(10 * time.Second)
		other := h.begin(since, func(rp *dispatch.Replay) { rp.EndpointID = "b" })
		r.late("late", since)
		pass(10 * time.Second)
		h.finished(10, other.ID)
		r.checkArrived("late", fromTheFirst)
		r.happen(several(5, 1)...)
		pass(time.Second)
		r.checkArrived("late", fromTheFirst)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(time.Minute)
		h.finished(10, waiting...)
		r.checkNoRows()
	})
}

// A replay that has offered everything and waits for an attempt that is due in
// hours ends when that does.
func TestAReplayThatWaitsEndsWithItsLastDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(10)...)
		pass(time.Second)
		failed := make(map[string]bool)
		r.answers(func(q Request) Result {
			r.mu.Lock()
			again := failed[string(q.Body)]
			failed[string(q.Body)] = true
			r.mu.Unlock()
			if !again {
				return status(500)
			}
			<-time.After(waitForRows / 2)
			return ok()
		})
		rp := h.begin(since)
		pass(time.Minute)
		rep, last := h.report(rp.ID), r.replayed(rp.ID)[9].end
		if rep.State != dispatch.ReplayFinished || rep.EndedAt.Sub(last) > time.Second {
			t.Errorf("the last delivery ended at %s, the replay is %+v", last, rep)
		}
	})
}

// Many replays that go slowly take turns and each goes at its own rate, no faster
// and no slower, whoever moves it on: rests, kills and other processes do not show.
func TestReplaysTakeTurnsAtTheirRates(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const many, n, rate = 5 * jobsAtOnce, 120, 6.0
		r := newRig(t, 4)
		for i := range many {
			r.endpoint(fmt.Sprint("to", i))
		}
		a, b := r.start(nil, 0, 1), r.start(nil, 2, 3)
		since := time.Now()
		r.happen(entities(n)...)
		pass(time.Minute)
		var ids []string
		for i := range many {
			ids = append(ids, a.begin(since, func(rp *dispatch.Replay) { rp.EndpointID, rp.RatePerSec = fmt.Sprint("to", i), rate }).ID)
		}
		pass(7 * time.Second)
		a.stop()
		a = r.start(nil, 0, 1)
		pass(16 * time.Second)
		a.finished(n, ids...)
		a.stop()
		b.stop()
		for _, id := range ids {
			sent := r.replayed(id)
			for i := range sent {
				// What is due within a window of two seconds may go at once.
				if j := i + 4*rate; j < len(sent) && sent[j].at.Sub(sent[i].at) < 1900*time.Millisecond {
					t.Fatalf("%d requests of a replay within %s", int(4*rate), sent[j].at.Sub(sent[i].at))
				}
			}
			if took := sent[len(sent)-1].at.Sub(sent[0].at); took < 19*time.Second {
				t.Fatalf("%d at %v a second took %s", n, rate, took)
			}
		}
	})
}

// Those that read without a pause give their places back in time, first to an org
// that has none.
func TestReplaysThatReadForLongLetOthersRead(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happenTo("stranger", "call-of-another")
		r.happen(entities(30_000)...)
		pass(time.Second)
		r.endpoint("a")
		r.endpoint("b", func(e *delivery.Endpoint) { e.Org = "stranger" })
		r.mu.Lock()
		r.forget = func(call string) bool {
			if call == "step" {
				r.mu.Unlock()
				<-time.After(time.Second) // reading takes its time
				r.mu.Lock()
			}
			return false
		}
		r.mu.Unlock()
		for range 3 * jobsAtOnce {
			h.begin(since, func(rp *dispatch.Replay) { rp.RatePerSec = 0 })
		}
		pass(time.Second)
		other := h.begin(since, func(rp *dispatch.Replay) { rp.Org, rp.EndpointID = "stranger", "b" })
		pass(turn + 5*time.Second)
		if len(r.replayed(other.ID)) != 1 {
			rp, err := h.replays.Get(t.Context(), "stranger", other.ID)
			t.Errorf("another org's replay waits: %+v, %v", rp, err)
		}
	})
}

// Recoveries need the delivery log; while it is away they hold nobody back.
func TestReplaysThatFailHoldNoOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen(entities(10)...)
		pass(time.Second)
		r.mu.Lock()
		r.forget = func(call string) bool { return call == "unsuccessful" }
		r.mu.Unlock()
		for i := range 2 * jobsAtOnce {
			if _, err := h.replays.Recover(t.Context(), ep, since.Add(time.Duration(-i)*time.Second), time.Now(), "key/1"); err != nil {
				t.Fatal(err)
			}
		}
		pass(5 * time.Second)
		rp := h.begin(since)
		pass(10 * time.Second)
		h.finished(10, rp.ID)
	})
}
