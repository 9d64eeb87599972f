package webhooks

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestGoneDisablesAtOnceAndHoldsTheRest(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		gone := true
		r.receive = func(Request) Result {
			if gone {
				return status(410)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("first")
		pass(time.Second)
		r.happen("second", "third")
		pass(time.Hour)
		if got := len(r.seen()); got != 1 {
			t.Errorf("%d requests after 410, want 1", got)
		}
		if e := r.endpoints["a"]; e.Enabled || e.DisabledReason != "the receiver answered 410 Gone" {
			t.Errorf("endpoint: enabled %v, reason %q", e.Enabled, e.DisabledReason)
		}
		if n := len(factsOf[delivery.Held](r)); n != 3 {
			t.Errorf("%d held, want 3", n)
		}
		gone = false
		r.change("a", func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = true, "" })
		pass(10 * time.Second)
		if got := len(r.seen()); got != 4 {
			t.Errorf("%d requests after enabling, want 4", got)
		}
		r.checkNoRows()
	})
}

// What a receiver said before this process was frozen disables nothing when it wakes.
func TestAnAnswerThatIsReadLateDisablesNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.frozen = time.Hour
		gone := true
		r.receive = func(Request) Result {
			if gone {
				gone = false
				return status(410)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("first")
		pass(2 * time.Hour)
		if e := r.endpoints["a"]; !e.Enabled {
			t.Errorf("it was disabled: %s", e.DisabledReason)
		}
		if got := len(r.seen()); got != 2 {
			t.Errorf("%d requests, want one more", got)
		}
		r.checkNoRows()
	})
}

// overtaken lets people do something while the hub is about to disable a webhook for a
// 410: it stays enabled, and the event is sent once more.
func overtaken(t *testing.T, people func(*rig)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(410) })
		r.disabling = func() {
			r.mu.Lock()
			r.disabling = nil
			r.mu.Unlock()
			r.answers(func(Request) Result { return ok() })
			people(r)
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("first")
		pass(time.Minute)
		if e := r.endpoints["a"]; !e.Enabled {
			t.Errorf("it was disabled: %s", e.DisabledReason)
		}
		if got := len(r.seen()); got != 2 {
			t.Errorf("%d requests, want one more", got)
		}
		r.checkNoRows()
	})
}

// Whoever enables a webhook forgives what failed before, also while the hub is about to
// disable it for that.
func TestADecisionFromBeforeItWasEnabledDisablesNothing(t *testing.T) {
	t.Parallel()
	overtaken(t, func(r *rig) {
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		<-time.After(time.Millisecond)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
	})
}

// What a receiver answered says nothing of the one that took its place, also while the
// hub is about to disable the webhook for it.
func TestADecisionAboutAFormerReceiverDisablesNothing(t *testing.T) {
	t.Parallel()
	for what, change := range map[string]func(*delivery.Endpoint){
		"url":     func(e *delivery.Endpoint) { e.URL = "https://b.example/hook" },
		"headers": func(e *delivery.Endpoint) { e.Headers = map[string]string{"X-Key": "another"} },
		"secret":  func(e *delivery.Endpoint) { e.Secrets = []delivery.Secret{{Value: "whsec_" + strings.Repeat("b", 44)}} },
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			overtaken(t, func(r *rig) { r.change("a", change) })
		})
	}
}

// Failures of the former URL are not counted against the new one, also those of requests
// that were under way; and what it asked for does not keep the new one waiting.
func TestANewURLBeginsWithACleanRecord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.MaxInFlight = 2 })
		const former, latter = "https://a.example/hook", "https://b.example/hook"
		r.answers(func(q Request) Result {
			if q.URL == former && len(r.seen()) == 2 {
				<-time.After(5 * time.Second) // it is answered when the URL is another
				return status(410)
			}
			return status(500)
		})
		h := r.start(func(c *Config) {
			p := plainProfile()
			p.DisableAfterFailures, p.Retries = 3, []time.Duration{time.Hour}
			c.Dialects = []Dialect{plain{p}}
		})
		defer h.stop()
		health := func() delivery.Health {
			all, err := r.store.Health(t.Context(), "a")
			if err != nil {
				t.Fatal(err)
			}
			return all["a"].Since(r.endpoints["a"].CountsFrom())
		}
		r.happen("one", "two")
		pass(time.Second)
		if n := health().ConsecutiveFailures; n != 2 {
			t.Fatalf("%d failures in a row, want 2", n)
		}
		r.happen("three") // it is being sent
		pass(time.Second)
		r.change("a", func(e *delivery.Endpoint) { e.URL = latter })
		r.answers(func(q Request) Result {
			if q.URL == former {
				return status(410)
			}
			return status(500)
		})
		pass(2 * time.Second)
		r.happen("four", "five")
		pass(time.Second)
		if n := health().ConsecutiveFailures; n != 2 {
			t.Errorf("%d failures in a row of the new URL, want 2", n)
		}
		pass(3 * time.Second) // the request that was under way is over
		if e := r.endpoints["a"]; !e.Enabled && e.DisabledReason == delivery.ReasonGone {
			t.Errorf("the answer of the former URL disabled the new one: %s", e.DisabledReason)
		}
	})
}

// A change of something else does not forgive, also while the hub cannot write down yet
// that it disabled the webhook.
func TestAnotherChangeDoesNotForgetADisabling(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(410) })
		r.disablerDown = true
		h := r.start(nil)
		defer h.stop()
		r.happen("first")
		pass(2 * time.Second)
		r.change("a", func(e *delivery.Endpoint) { e.Name = "renamed" })
		pass(2 * time.Second)
		r.mu.Lock()
		r.disablerDown = false
		r.mu.Unlock()
		pass(time.Minute)
		if e := r.endpoints["a"]; e.Enabled {
			t.Error("the disabling was forgotten")
		}
		if got := len(r.seen()); got != 1 {
			t.Errorf("%d requests after 410, want 1", got)
		}
		r.answers(func(Request) Result { return ok() })
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(time.Minute)
		r.checkNoRows()
	})
}

func TestThreeFailuresInARowDisableAndSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		three := func(c *Config) {
			p := plainProfile()
			p.DisableAfterFailures = 3
			c.Dialects = []Dialect{plain{p}}
		}
		h := r.start(three)
		r.happen("one", "two")
		pass(2 * time.Second)
		h.stop()
		if !r.endpoints["a"].Enabled {
			t.Fatal("disabled after two failures")
		}
		h = r.start(three)
		defer h.stop()
		r.happen("three")
		pass(2 * time.Second)
		if r.endpoints["a"].Enabled {
			t.Error("still enabled after three failures in a row")
		}
		pass(time.Hour)
		if got := len(r.seen()); got != 3 {
			t.Errorf("%d requests, want 3", got)
		}
		if rows := r.store.Rows(); len(rows) != 3 {
			t.Errorf("%d held, want 3", len(rows))
		}
	})
}

// TestTheEventDisabledSendsNothing pauses a dialnote webhook as seed 001 does:
// by choosing no event. What waits is held and goes on with the next choice.
func TestTheEventDisabledSendsNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		failing := true
		r.receive = func(Request) Result {
			if failing {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("one", "two")
		pass(time.Second)
		before := len(r.seen())
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{delivery.EventDisabled} })
		r.happen("three")
		pass(time.Hour)
		if got := len(r.seen()); got != before {
			t.Errorf("%d requests while the event was disabled", got-before)
		}
		reasons := make(map[string]bool)
		for _, f := range factsOf[delivery.Held](r) {
			reasons[f.Reason] = true
		}
		if diff := cmp.Diff(map[string]bool{`its event is "disabled": nothing is sent`: true}, reasons); diff != "" {
			t.Errorf("held because (-want +got):\n%s", diff)
		}
		failing = false
		r.change("a", func(e *delivery.Endpoint) { e.Events = []string{"*"} })
		pass(time.Hour)
		var sent []string
		for _, s := range r.seen()[before:] {
			sent = append(sent, s.entity)
		}
		slices.Sort(sent)
		if diff := cmp.Diff([]string{"one", "two"}, sent); diff != "" {
			t.Errorf("sent afterwards (-want +got):\n%s", diff)
		}
	})
}

func TestDeletedEndpointIsAccountedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		h := r.start(nil)
		defer h.stop()
		r.happen("one", "two")
		pass(time.Second)
		r.deleteEndpoint("a")
		pass(time.Minute)
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 2 || dropped[0].Reason != delivery.EndpointDeleted {
			t.Errorf("dropped: %+v", dropped)
		}
		r.checkNoRows()
	})
}

// TestWhatHappenedBeforeTheDeletionIsDropped lets a hub plan late, after the endpoint
// was deleted: what happened before had been owed to it, what came later had not.
func TestWhatHappenedBeforeTheDeletionIsDropped(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.endpoint("b")
		r.happenTo("other org", "foreign")
		r.happen("one", "two")
		pass(time.Second)
		r.deleteEndpoint("a")
		r.happen("three")
		h := r.start(nil)
		defer h.stop()
		pass(time.Minute)
		var dropped []string
		for _, d := range factsOf[delivery.Dropped](r) {
			dropped = append(dropped, d.WebhookID+" "+d.EntityID+" "+d.Reason)
		}
		if diff := cmp.Diff([]string{"a one " + delivery.EndpointDeleted, "a two " + delivery.EndpointDeleted}, dropped); diff != "" {
			t.Errorf("dropped (-want +got):\n%s", diff)
		}
		if n := len(r.seen()); n != 3 {
			t.Errorf("%d requests to the other endpoint, want 3", n)
		}
		r.checkNoRows()
	})
}

// TestDeletedWhileItsHoldIsWrittenIsAccountedFor deletes an endpoint in the moment
// in which a delivery is held but the log has not acknowledged that, so that the
// store hears of the hold after the endpoint is gone.
func TestDeletedWhileItsHoldIsWrittenIsAccountedFor(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled, e.DisabledReason = false, "not yet" })
		h := r.start(nil)
		defer h.stop()
		r.setLog(true)
		r.happen("one", "two")
		pass(5 * time.Second)
		r.deleteEndpoint("a")
		pass(5 * time.Second)
		r.setLog(false)
		pass(time.Minute)
		if dropped := factsOf[delivery.Dropped](r); len(dropped) != 2 {
			t.Errorf("dropped: %+v", dropped)
		}
		r.checkNoRows()
	})
}
