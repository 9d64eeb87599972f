package webhooks

import (
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func wishing(res Result, wish string) Result {
	res.Headers = append(res.Headers, delivery.Header{Name: "Webhook-Delivery", Value: wish})
	return res
}

func TestReceiverAsksToBeDisabled(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]func() Result{"with a success": ok, "with a failure": func() Result { return status(500) }} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a")
				r.receive = func(Request) Result { return wishing(answer(), "disable") }
				h := r.start(nil)
				defer h.stop()
				r.happen("one")
				pass(time.Second)
				r.happen("two")
				pass(time.Hour)
				if n := len(r.seen()); n != 1 {
					t.Errorf("%d requests, want 1", n)
				}
				if e := r.endpoints["a"]; e.Enabled || e.DisabledReason != reasonDisable {
					t.Errorf("endpoint: enabled %v, reason %q", e.Enabled, e.DisabledReason)
				}
				want := 1 // the one that came later
				if name == "with a failure" {
					want = 2
				}
				if n := len(factsOf[delivery.Held](r)); n != want {
					t.Errorf("%d held, want %d", n, want)
				}
			})
		})
	}
}

func TestReceiverAbortsAMessage(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		first := true
		r.receive = func(Request) Result {
			if first {
				first = false
				return wishing(status(422), "Abort-Message")
			}
			return wishing(ok(), "abort-message") // says nothing about a success
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Hour)
		if n := len(r.seen()); n != 2 {
			t.Errorf("%d requests, want 2: the aborted one is not tried again and holds nobody back", n)
		}
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 1 || dropped[0].Sequence != 1 || dropped[0].Reason != reasonAbort {
			t.Errorf("dropped: %+v", dropped)
		}
		if a := factsOf[delivery.Attempted](r); len(a) != 2 || a[0].NextAttemptAt != nil {
			t.Errorf("attempts: %+v", a)
		}
		r.checkNoRows()
		next := r.store.Next(dispatch.Partition{Topic: event.Calls, ID: 0})
		if next != 2 {
			t.Errorf("the checkpoint is at %d, want 2", next)
		}
	})
}

// TestARestThatTheReceiverAskedForIsKept: no request before the time that an
// overloaded receiver named, to the lane as a whole, and none of the backlog in
// memory meanwhile.
func TestARestThatTheReceiverAskedForIsKept(t *testing.T) {
	t.Parallel()
	for _, code := range []int{429, 503} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, 1)
			r.endpoint("a", func(e *delivery.Endpoint) { e.MaxInFlight = 1 })
			r.endpoint("b")
			var until time.Time
			r.receive = func(q Request) Result {
				if strings.Contains(q.URL, "//b.") || !until.IsZero() && !time.Now().Before(until) {
					return ok()
				}
				until = time.Now().Add(2 * time.Hour)
				res := status(code)
				res.RetryAfter = until
				return res
			}
			h := r.start(nil)
			defer h.stop()
			r.happen(entities(500)...)
			pass(time.Minute)
			r.happen(entities(500)...)
			pass(time.Minute)
			h.mu.Lock()
			resident := h.lanes["a"].resident
			h.mu.Unlock()
			if resident > 0 {
				t.Errorf("%d: %d deliveries wait in memory for two hours", code, resident)
			}
			pass(3 * time.Hour)
			calls := map[string]int{}
			for _, s := range r.seen() {
				to := s.url[8:9]
				calls[to]++
				if calls[to] > 1 && to == "a" && s.at.Before(until) {
					t.Fatalf("%d: a request at %s, asked to rest until %s", code, s.at, until)
				}
			}
			if calls["a"] != 1001 || calls["b"] != 1000 {
				t.Errorf("%d: requests %v, want 1001 to a and 1000 to b", code, calls)
			}
			if rows := r.store.Rows(); len(rows) != 0 {
				t.Errorf("%d: %d rows left", code, len(rows))
			}
		})
	}
}

func TestConsentIsCarriedAndItsRateIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.Handshake = true
			e.Consent = delivery.Consent{State: delivery.ConsentGranted, URL: e.URL, Origin: "hub.example.com", RatePerMin: 6}
			e.Headers = map[string]string{"WebHook-Request-Origin": "forged.example.com"}
		})
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(10)...)
		pass(5 * time.Minute)
		got := r.seen()
		if len(got) != 10 {
			t.Fatalf("%d requests, want 10", len(got))
		}
		for i, q := range got {
			if strings.Count(q.headerText, "WebHook-Request-Origin: hub.example.com\n") != 1 || strings.Contains(q.headerText, "forged") {
				t.Errorf("request %d was sent\n%s", i, q.headerText)
			}
			if i > 0 && q.at.Sub(got[i-1].at) < 10*time.Second-time.Millisecond {
				t.Errorf("request %d came %s after the one before, at 6 a minute", i, q.at.Sub(got[i-1].at))
			}
		}
		r.change("a", func(e *delivery.Endpoint) { e.Consent.RatePerMin = 0 })
		pass(2 * time.Second)
		r.happen(entities(50)...)
		pass(time.Second)
		if n := len(r.seen()); n != 60 {
			t.Errorf("without a bound %d of 60 requests were made in a second", n)
		}
	})
}

func TestOwnHeaderCannotGrantConsent(t *testing.T) {
	t.Parallel()
	for _, name := range []string{HeaderRequestOrigin, HeaderRequestCallback, http.CanonicalHeaderKey(HeaderRequestRate)} {
		if CheckHeader(name, "x") == nil {
			t.Errorf("%s is accepted", name)
		}
	}
}
