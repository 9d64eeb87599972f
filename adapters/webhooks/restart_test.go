package webhooks

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func TestRestartSendsWhatWasUnfinished(t *testing.T) {
	t.Parallel()
	for _, end := range []struct {
		name string
		how  func(*hub)
	}{{"stopped", (*hub).stop}, {"killed", (*hub).kill}} {
		t.Run(end.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				r.endpoint("a")
				r.receive = func(Request) Result {
					<-time.After(200 * time.Millisecond)
					return ok()
				}
				h := r.start(nil)
				r.happen(entities(300)...)
				pass(300 * time.Millisecond)
				end.how(h)
				h = r.start(nil)
				pass(10 * time.Second)
				h.stop()
				if missing := r.missing(); len(missing) > 0 {
					t.Errorf("lost: %v", missing)
				}
				r.checkNoRows()
			})
		})
	}
}

// missing lists what is owed by the log and was neither delivered, according
// to a receiver, nor accounted for by a fact or a row.
func (r *rig) missing() []string {
	accounted := make(map[string]bool)
	for _, s := range r.seen() {
		if s.status == 200 {
			accounted[s.id] = true
		}
	}
	for _, f := range factsOf[delivery.Exhausted](r) {
		accounted[f.DeliveryID] = true
	}
	for _, f := range factsOf[delivery.Dropped](r) {
		accounted[f.DeliveryID] = true
	}
	for _, row := range r.store.Rows() {
		accounted[row.ID] = true
	}
	var missing []string
	for _, p := range r.log {
		for _, rec := range p {
			for name, e := range r.endpoints {
				for rank, id := range idsOf(rec.ID, e) {
					if !accounted[id] {
						missing = append(missing, fmt.Sprint(name, " ", rec.ID, " ", rank))
					}
				}
			}
		}
	}
	slices.Sort(missing)
	return missing
}

func TestLogOutageDelaysTheCheckpointOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.setLog(true)
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		part := dispatch.Partition{Topic: event.Calls}
		if len(r.seen()) != 1 || r.store.Next(part) != 0 {
			t.Errorf("%d requests, checkpoint %d; want 1 and 0", len(r.seen()), r.store.Next(part))
		}
		r.setLog(false)
		pass(5 * time.Second)
		if next, rows := r.store.Next(part), r.store.Inserted(); next != 1 || rows != 0 {
			t.Errorf("checkpoint %d, rows %d; want 1 and 0", next, rows)
		}
	})
}

// TestALostCommitIsMadeAgain: a Postgres that is killed loses the commits that it
// confirmed last. No other owner will come, and maybe no other event.
func TestALostCommitIsMadeAgain(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		later time.Duration
		after int
	}{
		"more events come": {0, 30},
		"nothing comes":    {0, 0},
		"a replica that was behind takes over later": {90 * time.Second, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { loseCommits(t, tc.later, tc.after) })
		})
	}
}

func loseCommits(t *testing.T, later time.Duration, after int) {
	r := newRig(t, 2)
	r.endpoint("a")
	h := r.start(nil)
	defer h.stop()
	r.happen(entities(10)...)
	pass(10 * time.Second)
	crash := r.store.Snapshot()
	// What fails is a row of the store that is lost with it.
	r.answers(failing)
	r.happen(entities(20)...)
	pass(300*time.Millisecond + later)
	r.store.Fail(errors.New("the database is down"))
	if rows := len(r.store.Rows()); rows == 0 || !crash() {
		t.Fatalf("the store has %d rows and cannot lose what it has", rows)
	}
	pass(time.Second)
	r.answers(func(Request) Result { return ok() })
	r.store.Fail(nil)
	r.happen(entities(after)...)
	pass(time.Minute)
	if missing := r.missing(); len(missing) > 0 {
		t.Errorf("lost: %v", missing)
	}
	for p := range r.partitions {
		part := dispatch.Partition{Topic: event.Calls, ID: p}
		if got, want := r.store.Next(part), int64(len(r.log[p])); got != want {
			t.Errorf("the checkpoint of %d is %d, want %d", p, got, want)
		}
	}
	delivered := make(map[string]int)
	for _, s := range r.seen() {
		if s.status == 200 {
			delivered[s.id]++
		}
	}
	again := 0
	for _, n := range delivered {
		again += n - 1
	}
	// What came after the crash was on its way when the next commit found it out.
	if want := 30 + after; len(delivered) != want || again > after {
		t.Errorf("%d events delivered, %d of them again; want %d, and again at most %d", len(delivered), again, want, after)
	}
}

func TestSecondOwnerFencesTheFirst(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		first := r.start(nil)
		r.happen(entities(10)...)
		pass(time.Second)
		first.loses(0)
		second := r.start(nil)
		pass(time.Second)
		r.happen(entities(20)...)
		pass(5 * time.Second)
		first.mu.Lock()
		owned := len(first.owners)
		first.mu.Unlock()
		if owned != 0 {
			t.Error("the first owner did not resign")
		}
		first.stop()
		second.stop()
		if missing := r.missing(); len(missing) > 0 {
			t.Errorf("lost: %v", missing)
		}
	})
}

// A partition that is given up is waited for by the next owner: what is under way is
// finished, and nothing new is begun.
func TestNothingIsBegunInAPartitionThatIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result {
			<-time.After(time.Second)
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call", "call", "call", "call", "call", "call", "call")
		pass(500 * time.Millisecond)
		h.loses(0)
		h.Release(t.Context(), event.Calls, 0)
		if n := len(r.seen()); n != 1 {
			t.Errorf("%d requests, want only the one that was under way", n)
		}
		second := r.start(nil)
		defer second.stop()
		pass(time.Minute)
		if missing := r.missing(); len(missing) > 0 {
			t.Errorf("lost: %v", missing)
		}
		r.checkNoRows()
	})
}
