package webhooks

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// late adds an endpoint that is owed what was recorded from a time on.
func (r *rig) late(id string, from time.Time, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	return r.endpoint(id, append(change, func(e *delivery.Endpoint) { e.StartFrom, e.CatchesUp = from, true })...)
}

// arrived are the sequences that an endpoint took of each entity, repeats of a
// crash left out.
func (r *rig) arrived(id string) map[string][]int64 {
	r.t.Helper()
	got := make(map[string][]int64)
	for _, s := range r.seen() {
		if s.url != "https://"+id+".example/hook" || s.status != 200 {
			continue
		}
		if s.replay != "" {
			r.t.Errorf("catching up sent a delivery of replay %s", s.replay)
		}
		if !slices.Contains(got[s.entity], s.sequence) {
			got[s.entity] = append(got[s.entity], s.sequence)
		}
	}
	return got
}

// checkArrived: each entity's events from one to its last arrived, in order.
func (r *rig) checkArrived(id string, first func(entity string) int64) {
	r.t.Helper()
	got := r.arrived(id)
	for entity, last := range r.versions {
		n := first(entity)
		for _, sequence := range got[entity] {
			if sequence != n {
				r.t.Errorf("%s of %s: %v arrived", id, entity, got[entity])
				break
			}
			n++
		}
		if n <= last {
			r.t.Errorf("%s of %s: %v arrived, the last is %d", id, entity, got[entity], last)
		}
	}
}

// checkAccount: at no moment is anything unaccounted for.
func (r *rig) checkAccount(id string) {
	r.t.Helper()
	if rec := r.reconcile(id, &archive{}); rec.Difference() != 0 || rec.Unplanned != 0 {
		r.t.Errorf("the account of %s is %+v", id, rec)
	}
}

func fromTheFirst(string) int64 { return 1 }

func TestAWebhookThatStartsInThePastGetsAllInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 3)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		r.happen(several(30, 2)...)
		pass(time.Minute)
		from := time.Now()
		r.happen(several(40, 5)...)
		pass(time.Minute)
		// The receiver is slow, so that live events come while it catches up.
		r.answers(func(Request) Result { <-time.After(300 * time.Millisecond); return ok() })
		r.late("late", from)
		for i := range 100 {
			r.happen(several(5, 1)...)
			pass(100 * time.Millisecond)
			if i%10 == 0 {
				r.checkAccount("late")
			}
		}
		pass(3 * time.Minute)
		r.checkAccount("late")
		r.checkArrived("late", func(entity string) int64 {
			for _, e := range several(30, 1) {
				if e == entity {
					return 3
				}
			}
			return 1
		})
		rep := h.report(dispatch.StartID("late"))
		if rep.State != dispatch.ReplayFinished || rep.Deliveries == 0 {
			t.Errorf("the start is %+v", rep)
		}
		if n := len(r.seen()); n != 2*(60+200+500)-60 {
			t.Errorf("%d requests, want %d: each once", n, 2*(60+200+500)-60)
		}
		r.answers(func(Request) Result { return ok() })
		before := r.store.Inserted()
		r.happen(entities(50)...)
		pass(time.Minute)
		if after := r.store.Inserted(); after != before {
			t.Errorf("after it has caught up %d of 50 deliveries went by way of the store", after-before)
		}
		for _, s := range r.seen() {
			if s.url == "https://late.example/hook" && s.previous != 0 && s.previous != s.sequence-1 {
				t.Errorf("%s %d says that %d was the one before", s.entity, s.sequence, s.previous)
			}
		}
	})
}

func TestCatchingUpWhileNothingHappens(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		h := r.start(nil)
		defer h.stop()
		from := time.Now()
		r.happen(several(3, 4)...)
		r.happenTo("stranger", "call-of-another", "call-of-another")
		pass(time.Minute)
		r.late("late", from)
		r.late("empty", time.Now().Add(-time.Second))
		pass(time.Minute)
		if got := r.arrived("late")["call-of-another"]; len(got) > 0 {
			t.Errorf("another org's events arrived: %v", got)
		}
		delete(r.versions, "call-of-another")
		r.checkArrived("late", fromTheFirst)
		for _, id := range []string{"late", "empty"} {
			if rep := h.report(dispatch.StartID(id)); rep.State != dispatch.ReplayFinished {
				t.Errorf("the start of %s is %+v", id, rep)
			}
		}
		r.happen(several(3, 1)...)
		pass(time.Minute)
		r.checkArrived("late", fromTheFirst)
	})
}

// Whatever is killed while an endpoint catches up, it gets all, in order.
func TestCatchingUpSurvivesKills(t *testing.T) {
	t.Parallel()
	for offset := range 12 {
		t.Run(fmt.Sprint(offset), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 2)
				h := r.start(nil)
				from := time.Now()
				r.happen(several(60, 4)...)
				pass(time.Minute)
				r.answers(func(Request) Result { <-time.After(20 * time.Millisecond); return ok() })
				r.late("late", from)
				for i := range 5 {
					for range 3 {
						r.happen(several(20, 1)...)
						pass(time.Duration(60+37*offset) * time.Millisecond)
					}
					if (i+offset)%2 == 0 {
						h.kill()
					} else {
						h.stop()
					}
					h = r.start(nil)
				}
				pass(time.Minute)
				r.checkArrived("late", fromTheFirst)
				if rep := h.report(dispatch.StartID("late")); rep.State != dispatch.ReplayFinished {
					t.Errorf("the start is %+v", rep)
				}
				r.checkNoRows()
				h.stop()
			})
		})
	}
}

func TestCatchingUpWhileDisabledWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		h := r.start(nil)
		defer h.stop()
		from := time.Now()
		r.happen(entities(5000)...)
		pass(time.Minute)
		r.late("late", from, func(e *delivery.Endpoint) { e.Enabled = false })
		pass(time.Minute)
		rep := h.report(dispatch.StartID("late"))
		if rep.State != dispatch.ReplayRunning || rep.Standing.Held < 1000 {
			t.Errorf("while it is disabled: %+v", rep)
		}
		r.change("late", func(e *delivery.Endpoint) { e.Enabled = true })
		r.happen(entities(10)...)
		pass(5 * time.Minute)
		r.checkArrived("late", fromTheFirst)
	})
}

func TestAWebhookIsDeletedWhileItCatchesUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		from := time.Now()
		r.happen(entities(3000)...)
		pass(time.Minute)
		r.late("late", from, func(e *delivery.Endpoint) { e.RatePerSec = 10 })
		pass(5 * time.Second)
		r.deleteEndpoint("late")
		pass(5 * time.Minute)
		if rep := h.report(dispatch.StartID("late")); rep.State != dispatch.ReplayAborted {
			t.Errorf("the start is %+v", rep)
		}
		r.checkNoRows()
	})
}

// What cannot be rendered is accounted for, also by who catches up.
func TestCatchingUpAccountsForWhatCannotBeRendered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		from := time.Now()
		r.happen("unrenderable", "call")
		pass(time.Minute)
		r.late("late", from)
		pass(time.Minute)
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 1 || dropped[0].WebhookID != "late" || dropped[0].EntityID != "unrenderable" {
			t.Errorf("dropped: %+v", dropped)
		}
	})
}

// forgetful is a directory that does not know of one endpoint until a time.
type forgetful struct {
	dispatch.Directory
	id    string
	until time.Time
}

func (f forgetful) Endpoints(org string) []delivery.Endpoint {
	return slices.DeleteFunc(f.Directory.Endpoints(org), func(e delivery.Endpoint) bool { return e.ID == f.id && time.Now().Before(f.until) })
}

func (f forgetful) Endpoint(id string) (delivery.Endpoint, bool) {
	if id == f.id && time.Now().Before(f.until) {
		return delivery.Endpoint{}, false
	}
	return f.Directory.Endpoint(id)
}

// An owner that hears of a new webhook later than the process that catches it
// up takes over when it knows it, and no event falls in between.
func TestAnOwnerThatDoesNotKnowTheWebhookYetDoesNotTakeOver(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		b := r.start(nil, 1)
		defer b.stop()
		from := time.Now()
		r.happen(entities(40)...)
		pass(time.Second)
		r.late("late", from)
		pass(2 * time.Second) // its start is b's job
		a := r.start(func(c *Config) {
			// What this process does not know yet is not gone: it holds nothing of it.
			c.Directory = forgetful{c.Directory, "late", time.Now().Add(10 * time.Second)}
		}, 0)
		defer a.stop()
		for range 20 {
			r.happen(entities(40)...)
			pass(time.Second)
		}
		pass(time.Minute)
		r.checkArrived("late", fromTheFirst)
		if rep := a.report(dispatch.StartID("late")); rep.State != dispatch.ReplayFinished {
			t.Errorf("the start is %+v", rep)
		}
	})
}
