package webhooks

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func decodeNothing(*message.Message) (Incoming, error) { return Incoming{}, errDead }

// day plays a day with every fate: it ends with the engine stopped.
func (r *rig) day() {
	r.endpoint("good")
	r.endpoint("failing")
	r.endpoint("off", func(e *delivery.Endpoint) { e.Enabled = false })
	r.endpoint("listed", func(e *delivery.Endpoint) { e.ListID = "another" })
	r.endpoint("filtered", func(e *delivery.Endpoint) { e.Filter = map[string]string{"note": "call-1"} })
	r.endpoint("deaf", func(e *delivery.Endpoint) { e.Events = []string{"never"} })
	r.endpoint("later", func(e *delivery.Endpoint) { e.StartFrom = time.Now().Add(time.Minute) })
	r.receive = func(q Request) Result {
		if strings.Contains(q.URL, "//failing") {
			return status(500)
		}
		return ok()
	}
	h := r.start(nil)
	pass(5 * time.Second) // they are known everywhere
	r.happen(entities(20)...)
	r.happen("unrenderable")
	r.mu.Lock()
	r.log[0] = append(r.log[0], event.Recorded{Event: r.log[0][0].Event, Position: event.Position{Topic: event.Calls, Offset: int64(len(r.log[0]))}})
	close(r.grown)
	r.grown = make(chan struct{})
	r.mu.Unlock()
	pass(2 * time.Minute)
	r.happen(entities(5)...)
	pass(30 * time.Second)
	h.stop()
}

func TestEveryPairIsAccountedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.day()
		dropped := map[string]int64{"the dialect could not render it: no such thing in this format": 1}
		repeat := map[delivery.Reason]int64{delivery.Duplicate: 1}
		with := func(reason delivery.Reason, n int64) map[delivery.Reason]int64 {
			return map[delivery.Reason]int64{delivery.Duplicate: 1, reason: n}
		}
		for id, want := range map[string]delivery.Account{
			"good":     {Appended: 27, Delivered: 25, Filtered: repeat, Dropped: dropped},
			"failing":  {Appended: 27, Pending: 25, Filtered: repeat, Dropped: dropped},
			"off":      {Appended: 27, Held: 25, Filtered: repeat, Dropped: dropped},
			"listed":   {Appended: 27, Filtered: with(delivery.OtherList, 26)},
			"filtered": {Appended: 27, Filtered: with(delivery.Unmatched, 24), Delivered: 2},
			"deaf":     {Appended: 27, Filtered: with(delivery.NotSubscribed, 25), Dropped: dropped},
			"later":    {Appended: 27, Filtered: with(delivery.TooEarly, 21), Delivered: 5},
		} {
			rec := r.reconcile(id, &archive{})
			if diff := cmp.Diff(want, rec.Account); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
			if rec.Difference() != 0 || len(rec.Differences) != 0 || !rec.Complete() {
				t.Errorf("%s: %+v", id, rec)
			}
		}
	})
}

// TestADeletedEndpointHasItsAccount reconciles endpoints that were deleted before and
// after what they are owed was planned.
func TestADeletedEndpointHasItsAccount(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("planned")
		r.endpoint("unplanned")
		r.endpoint("off", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(nil)
		pass(5 * time.Second) // they are known everywhere
		r.happen(entities(20)...)
		pass(2 * time.Minute)
		h.stop()
		r.happen(entities(3)...)
		pass(2 * time.Minute)
		for _, id := range []string{"planned", "unplanned", "off"} {
			r.deleteEndpoint(id)
		}
		gone := func(n int64) map[string]int64 { return map[string]int64{delivery.EndpointDeleted: n} }
		check := func(id string, want delivery.Account) {
			t.Helper()
			rec := r.reconcile(id, &archive{})
			if diff := cmp.Diff(want, rec.Account); diff != "" {
				t.Errorf("%s (-want +got):\n%s", id, diff)
			}
		}
		check("unplanned", delivery.Account{Appended: 23, Delivered: 20, Dropped: gone(3)})
		check("off", delivery.Account{Appended: 23, Held: 20, Dropped: gone(3)})
		pass(2 * time.Minute)
		r.happen(entities(5)...)
		h = r.start(nil)
		pass(2 * time.Minute)
		h.stop()
		late := map[delivery.Reason]int64{delivery.TooLate: 5}
		check("planned", delivery.Account{Appended: 28, Delivered: 20, Dropped: gone(3), Filtered: late})
		check("off", delivery.Account{Appended: 28, Dropped: gone(23), Filtered: late})
		for org, id := range map[string]string{"org": "nobody", "another org": "planned"} {
			if _, ok, err := r.accountant(&archive{}).Former(t.Context(), org, id); ok || err != nil {
				t.Errorf("%s has a %s: %v", org, id, err)
			}
		}
	})
}

// TestAPlantedLossIsFound takes away what accounts for a delivery, each in
// another way, and tells it from a delivery log that is behind.
func TestAPlantedLossIsFound(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.day()
		forget := func(entity, endpoint string, types ...event.Type) map[string]bool {
			forgotten := make(map[string]bool)
			id := delivery.ID(entity+"#1", endpoint, "")
			for _, e := range r.facts {
				var ref delivery.Ref
				r.decode(e.Data, &ref)
				if ref.DeliveryID == id {
					forgotten[e.ID] = true
				}
			}
			if len(forgotten) == 0 {
				t.Fatal("nothing to forget")
			}
			return forgotten
		}
		lost := func(endpoint, entity, known string, a *archive) {
			t.Helper()
			rec := r.reconcile(endpoint, a)
			if rec.Difference() != 1 || len(rec.Differences) != 1 {
				t.Fatalf("difference %d, listed %+v", rec.Difference(), rec.Differences)
			}
			d := rec.Differences[0]
			if d.EventID != entity+"#1" || d.EntityID != entity || d.Position.Topic != event.Calls || d.DeliveryID != delivery.ID(d.EventID, endpoint, "") || !strings.Contains(d.Known, known) {
				t.Errorf("%+v", d)
			}
		}
		never := forget("call-3", "good")
		lost("good", "call-3", "has nothing of it", &archive{forgotten: never})

		behind := r.reconcile("good", &archive{forgotten: never, lag: 4})
		if behind.Difference() != 0 || behind.Behind != 1 || behind.Complete() {
			t.Errorf("a delivery log that is behind: %+v", behind)
		}
		if diff := cmp.Diff([]projections.Lag{{Name: projections.AnalyticsName}, {Name: projections.DeliveryLogName, Events: 4}}, behind.ReadModels); diff != "" {
			t.Error(diff)
		}

		for id, known := range map[string]string{"failing": "attempts", "off": "is held"} {
			r.store.Lose(delivery.ID("call-3#1", id, ""))
			lost(id, "call-3", known, &archive{})
		}
	})
}

// TestDifferencesArePaged lists many, a few at a time, with the same account on
// each page.
func TestDifferencesArePaged(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.day()
		forgotten := make(map[string]bool)
		for id, e := range r.facts {
			forgotten[id] = e.Subject == "good"
		}
		acc := r.accountant(&archive{forgotten: forgotten})
		seen := make(map[string]bool)
		pages := 0
		for mark := (projections.EventMark{}); ; {
			rec, err := acc.Reconcile(t.Context(), r.endpoints["good"], time.Time{}, time.Now(), mark, 4)
			if err != nil {
				t.Fatal(err)
			}
			if rec.Difference() != 26 {
				t.Fatalf("difference %d, want all 26", rec.Difference())
			}
			for _, d := range rec.Differences {
				if seen[d.EventID] {
					t.Errorf("%s is listed twice", d.EventID)
				}
				seen[d.EventID] = true
			}
			pages++
			if rec.Next == (projections.EventMark{}) {
				break
			}
			mark = rec.Next
		}
		if len(seen) != 26 || pages != 7 {
			t.Errorf("%d differences on %d pages", len(seen), pages)
		}
	})
}

// TestSettingsOfTheTimeDecide changes what an endpoint wants in the middle of
// the day: each event is judged by what was asked for when it happened.
func TestSettingsOfTheTimeDecide(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Events = []string{"never"} })
		h := r.start(nil)
		defer h.stop()
		r.happen("one", "two")
		pass(2 * time.Minute)
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{"*"} })
		pass(2 * time.Minute)
		r.happen("one", "two", "three")
		pass(2 * time.Minute)
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{"never"} })
		pass(time.Minute)
		r.happen("in", "between") // by either of the settings
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{"*"} })
		pass(time.Minute)
		rec := r.reconcile("a", &archive{})
		want := delivery.Account{Appended: 7, Delivered: 5, Filtered: map[delivery.Reason]int64{delivery.NotSubscribed: 2}}
		if diff := cmp.Diff(want, rec.Account); diff != "" {
			t.Error(diff)
		}
		r.settings["a"] = r.settings["a"][2:3]
		if rec = r.reconcile("a", &archive{}); rec.Unplanned != 5 || rec.Difference() != 0 {
			t.Errorf("by the settings of now: %+v", rec.Account)
		}
	})
}

// TestWhatAReplaySentHidesNothingUnplanned: it was not owed by that, and so does not stand
// for another delivery that no event made.
func TestWhatAReplaySentHidesNothingUnplanned(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen("one", "two")
		pass(time.Minute)
		first := make(map[string]bool)
		for id, e := range r.facts {
			var ref delivery.Ref
			r.decode(e.Data, &ref)
			first[id] = ref.DeliveryID == delivery.ID("one#1", "a", "")
		}
		rp := h.begin(since)
		pass(time.Minute)
		if n := h.report(rp.ID).Counts[delivery.Delivered]; n != 2 {
			t.Fatalf("%d were sent again, want 2", n)
		}
		h.stop()
		r.log[0] = r.log[0][:1] // the second event is gone
		rec := r.reconcile("a", &archive{forgotten: first})
		if rec.Delivered != 1 || rec.Unplanned != 1 {
			t.Errorf("%d delivered, %d unplanned, want one each: %+v", rec.Delivered, rec.Unplanned, rec)
		}
	})
}

// TestANewEndpointMayBeLate excuses a hub that did not know of an endpoint yet,
// for a moment, and only where there is no trace of a delivery.
func TestANewEndpointMayBeLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		h := r.start(nil)
		defer h.stop()
		pass(time.Minute)
		r.happen("one", "two")
		pass(time.Second) // planned by a hub that knows nothing of it
		r.endpoint("a", func(e *delivery.Endpoint) { e.CreatedAt = time.Now().Add(-2 * time.Second); e.UpdatedAt = e.CreatedAt })
		r.happen("three")
		pass(time.Minute)
		rec := r.reconcile("a", &archive{})
		want := delivery.Account{Appended: 3, Delivered: 1, Filtered: map[delivery.Reason]int64{delivery.TooEarly: 2}}
		if diff := cmp.Diff(want, rec.Account); diff != "" {
			t.Error(diff)
		}
		e := r.settings["a"][0]
		e.CreatedAt = e.CreatedAt.Add(-time.Minute)
		r.settings["a"][0] = e
		if rec := r.reconcile("a", &archive{}); rec.Difference() != 2 {
			t.Errorf("a hub that did not know for a minute: %+v", rec.Account)
		}
	})
}

func TestEventsThatAreNotPlannedYetArePending(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.happen("one", "two")
		if rec := r.reconcile("a", &archive{}); rec.Pending != 2 || rec.Difference() != 0 {
			t.Errorf("%+v", rec.Account)
		}
		if n := r.store.Next(dispatch.Partition{Topic: event.Calls}); n != 0 {
			t.Errorf("planned up to %d", n)
		}
	})
}
