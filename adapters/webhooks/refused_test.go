package webhooks

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// One receiver has a certificate with a NUL in a name, and what it gets wrong is the
// reason of a failure. Nobody else may notice.
func TestOneReceiverHoldsNobodyElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		odd := r.endpoint("odd")
		r.endpoint("well")
		failed := false
		r.receive = func(q Request) Result {
			switch {
			case q.URL == odd.URL:
				return Result{Error: "the certificate is not valid: x509: certificate is valid for a\x00b.example, not odd.example"}
			case !failed:
				failed = true
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen(r.in(0, 1)...)
		pass(time.Hour)
		r.happen(r.in(1, 1)...)
		pass(time.Hour)
		r.change("well", func(e *delivery.Endpoint) { e.Enabled = false })
		pass(time.Hour)
		for p := range 2 {
			if got := r.store.Next(dispatch.Partition{Topic: event.Calls, ID: p}); got != 1 {
				t.Errorf("partition %d: the checkpoint is %d after an hour, want 1", p, got)
			}
		}
		delivered := 0
		for _, s := range r.seen() {
			if s.url != odd.URL && s.status == 200 {
				delivered++
			}
		}
		h.mu.Lock()
		open := h.lanes["well"] != nil && h.lanes["well"].open
		h.mu.Unlock()
		if delivered != 2 || open {
			t.Errorf("the other got %d of 2; its lane is open an hour after it was disabled: %v", delivered, open)
		}
		if n := len(factsOf[delivery.Exhausted](r)); n != 2 {
			t.Errorf("%d deliveries to the odd one are exhausted, want 2", n)
		}
	})
}

// refusing refuses rows and health as a database does, for a reason of the test's.
func refusing(row func(dispatch.Owed) bool, health func(dispatch.HealthChange) bool) func(*Config) {
	return meddled(func(ctx context.Context, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
		refused := &dispatch.RefusedError{Err: errors.New("there is no place for it")}
		for _, p := range b.Parts {
			for _, rows := range [][]dispatch.Owed{p.Insert, p.Update} {
				for _, o := range rows {
					if row(o) {
						refused.Rows = append(refused.Rows, o.Key())
					}
				}
			}
		}
		for _, c := range b.Health {
			if health(c) {
				refused.Endpoints = append(refused.Endpoints, c.EndpointID)
			}
		}
		if len(refused.Rows)+len(refused.Endpoints) > 0 {
			return nil, nil, refused
		}
		return commit(ctx, b)
	})
}

func TestAReasonThatIsRefusedIsLeftOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.endpoint("b")
		r.receive = func(q Request) Result {
			if q.URL == r.endpoints["a"].URL {
				return status(555)
			}
			return status(500)
		}
		h := r.start(refusing(
			func(o dispatch.Owed) bool { return o.LastError == "answered 555" },
			func(c dispatch.HealthChange) bool { return c.LastError == "answered 555" },
		))
		defer h.stop()
		r.happen("call")
		pass(20 * time.Second)
		reasons := make(map[string]string)
		for _, o := range r.store.Rows() {
			reasons["row of "+o.EndpointID] = o.LastError
		}
		known, err := r.store.Health(t.Context(), "a", "b")
		if err != nil {
			t.Fatal(err)
		}
		for id, k := range known {
			reasons["health of "+id] = k.LastError
		}
		want := map[string]string{"row of a": unstorable, "row of b": "answered 500", "health of a": unstorable, "health of b": "answered 500"}
		if diff := cmp.Diff(want, reasons); diff != "" {
			t.Errorf("what is stored (-want +got):\n%s", diff)
		}
		if n := known["a"].ConsecutiveFailures; n != 2 {
			t.Errorf("%d failures were counted, want 2", n)
		}
		pass(time.Hour)
		r.checkNoRows()
	})
}

// What is refused whatever its reason is dropped, in whichever state it is: new,
// while it is being sent, in the store, or held.
func TestADeliveryThatIsRefusedIsDropped(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		receive func() Result
		change  func(*delivery.Endpoint)
		// since is how many attempts there are before it is refused.
		since  int
		reason string
	}{
		{name: "after it failed", receive: func() Result { return status(500) }, reason: reasonUnstorable},
		{name: "after it failed again", receive: func() Result { return status(500) }, since: 2, reason: reasonUnstorable},
		{name: "as it is to be held", change: func(e *delivery.Endpoint) { e.Enabled = false }, reason: reasonUnstorable},
		{name: "while it is being sent, and fails", receive: func() Result { <-time.After(5 * time.Second); return status(500) }, reason: reasonUnstorable},
		{name: "while it is being sent, and succeeds", receive: func() Result { <-time.After(5 * time.Second); return ok() }},
		{name: "while it waits for a request", receive: func() Result { <-time.After(5 * time.Second); return ok() }, change: func(e *delivery.Endpoint) { e.MaxInFlight = 1 }, reason: reasonUnstorable},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a", func(e *delivery.Endpoint) {
					if c.change != nil {
						c.change(e)
					}
				})
				r.endpoint("b")
				r.receive = func(q Request) Result {
					if q.URL == r.endpoints["a"].URL {
						return c.receive()
					}
					return ok()
				}
				h := r.start(refusing(
					func(o dispatch.Owed) bool {
						return o.EndpointID == "a" && o.EntityID == "odd" && o.Attempts >= c.since
					},
					func(dispatch.HealthChange) bool { return false },
				))
				defer h.stop()
				r.happen("before", "odd", "after")
				pass(time.Hour)
				if got := r.store.Next(dispatch.Partition{Topic: event.Calls}); got != 3 {
					t.Errorf("the checkpoint is %d, want 3", got)
				}
				var reasons []string
				for _, d := range factsOf[delivery.Dropped](r) {
					reasons = append(reasons, d.EntityID+" "+d.Reason)
				}
				var want []string
				if c.reason != "" {
					want = []string{"odd " + c.reason}
				}
				if diff := cmp.Diff(want, reasons); diff != "" {
					t.Errorf("dropped (-want +got):\n%s", diff)
				}
				for _, o := range r.store.Rows() {
					if o.EntityID == "odd" || o.Status != delivery.IsHeld {
						t.Errorf("a row is left: %+v", o.Delivery)
					}
				}
				h.mu.Lock()
				defer h.mu.Unlock()
				for _, o := range h.owners {
					if n := len(o.entries) + len(o.dirty); n > 0 {
						t.Errorf("%d entries and items are not committed", n)
					}
				}
			})
		})
	}
}

// An event that the database has no place for holds up neither a replay nor a webhook
// that catches up: it is dropped, and the rest goes on.
func TestAReplayGoesOnPastWhatIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		r.happen("one", "a\x00b", "two", "one")
		pass(time.Minute)
		r.late("late", since)
		rp := h.begin(since)
		pass(time.Minute)
		if rep := h.report(rp.ID); rep.State != dispatch.ReplayFinished || rep.Counts[delivery.Delivered] != 3 || rep.Counts[delivery.IsDropped] != 1 ||
			len(rep.Failures) != 1 || rep.Failures[0].Reason != reasonUnstorable {
			t.Errorf("the replay is %+v", rep)
		}
		if diff := cmp.Diff(map[string][]int64{"one": {1, 2}, "two": {1}}, r.arrived("late")); diff != "" {
			t.Errorf("what arrived at the late one (-want +got):\n%s", diff)
		}
		var dropped []string
		for _, d := range factsOf[delivery.Dropped](r) {
			dropped = append(dropped, d.WebhookID+": "+d.Reason)
		}
		if diff := cmp.Diff([]string{"late: " + reasonUnstorable}, dropped); diff != "" {
			t.Errorf("dropped (-want +got):\n%s", diff)
		}
		if err := h.service().Resend(t.Context(), "org", delivery.ID("a\x00b#1", "a", "")); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("sending it again: %v", err)
		}
		r.checkNoRows()
	})
}
