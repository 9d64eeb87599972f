package webhooks

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

func entities(n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = fmt.Sprintf("call-%d", i)
	}
	return all
}

func TestFastLaneWritesNoRow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 4)
		r.endpoint("a")
		r.endpoint("b")
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(500)...)
		pass(time.Second)
		if got := len(r.seen()); got != 1000 {
			t.Errorf("%d requests, want 1000", got)
		}
		if n := r.store.Inserted(); n != 0 {
			t.Errorf("%d rows were written, want none", n)
		}
		delivered := factsOf[delivery.Attempted](r)
		if len(delivered) != 1000 {
			t.Errorf("%d attempts in the log, want 1000", len(delivered))
		}
		var next int64
		for p := range 4 {
			next += r.store.Next(dispatch.Partition{Topic: event.Calls, ID: p})
		}
		if next != 500 {
			t.Errorf("checkpoints cover %d events, want 500", next)
		}
	})
}

func TestRequestCarriesTheContract(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) {
			e.Headers = map[string]string{"X-Own": "yes", "Webhook-Id": "forged", "X-Plain-Event": "forged"}
			e.Secrets = []delivery.Secret{{Value: "new"}, {Value: "old", ExpiresAt: time.Now().Add(time.Hour)}, {Value: "gone", ExpiresAt: time.Now()}}
		})
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		got := r.seen()
		if len(got) != 2 {
			t.Fatalf("%d requests, want 2", len(got))
		}
		id := delivery.ID("call#2", "a", "")
		want := strings.Join([]string{
			"Content-Type: application/json",
			"User-Agent: Trunkline/test",
			"webhook-id: " + id,
			"trunkline-event-type: call.note_added.v1",
			"trunkline-sequence: 2",
			"trunkline-previous-sequence: 1",
			"X-Plain-Event: note",
			fmt.Sprintf("webhook-timestamp: %d", got[1].at.Unix()),
			"webhook-signature: v1,new" + id + " v1,old" + id,
			"X-Plain-Signature: signed",
			"X-Own: yes",
		}, "\n") + "\n"
		if diff := cmp.Diff(want, got[1].headerText); diff != "" {
			t.Error(diff)
		}
	})
}

// seldom makes a webhook of an entity's seventh version and of those from the
// 300th on.
type seldom struct{ plain }

func (d seldom) Render(v delivery.View, e delivery.Endpoint) ([]delivery.Message, error) {
	if v.Version != 7 && v.Version < 300 {
		return nil, nil
	}
	return d.plain.Render(v, e)
}

// A process that has just begun knows nothing of an entity's past, and asks for
// it page by page.
func TestThePreviousSequenceIsFoundFarBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		picky := func(c *Config) { c.Dialects = []Dialect{seldom{plain{plainProfile()}}} }
		h := r.start(picky)
		r.happen(slices.Repeat([]string{"call"}, 299)...)
		pass(time.Second)
		h.stop()
		h = r.start(picky)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		var got [][2]int64
		for _, s := range r.seen() {
			got = append(got, [2]int64{s.previous, s.sequence})
		}
		if diff := cmp.Diff([][2]int64{{0, 7}, {7, 300}, {300, 301}}, got); diff != "" {
			t.Errorf("previous and own sequences (-want +got):\n%s", diff)
		}
	})
}

func TestRetriesFollowTheScheduleExactlyThenExhaust(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(Request) Result { return status(500) }
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(10 * time.Minute)
		got := r.seen()
		var waits []time.Duration
		for i := 1; i < len(got); i++ {
			waits = append(waits, got[i].at.Sub(got[i-1].at).Round(time.Millisecond))
		}
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 30 * time.Second, 120 * time.Second}, waits); diff != "" {
			t.Error(diff)
		}
		exhausted := factsOf[delivery.Exhausted](r)
		if len(exhausted) != 1 || exhausted[0].Attempts != 4 || exhausted[0].LastError != "answered 500" {
			t.Errorf("exhausted: %+v", exhausted)
		}
		r.checkNoRows()
		attempts := factsOf[delivery.Attempted](r)
		if attempts[0].NextAttemptAt == nil || attempts[3].NextAttemptAt != nil {
			t.Error("next_attempt_at must be set while another attempt follows, and only then")
		}
	})
}

func TestRetryAfterIsObeyed(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		n := 0
		r.receive = func(Request) Result {
			if n++; n == 1 {
				res := status(503)
				res.RetryAfter = time.Now().Add(17 * time.Second)
				return res
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Minute)
		got := r.seen()
		if len(got) != 2 || got[1].at.Sub(got[0].at).Round(time.Millisecond) != 17*time.Second {
			t.Errorf("requests: %+v", got)
		}
	})
}

func TestHangingEndpointHoldsNeitherTheCheckpointNorTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		hanging := r.endpoint("hanging")
		r.endpoint("well")
		r.receive = func(q Request) Result {
			if q.URL == hanging.URL {
				<-time.After(time.Hour)
			}
			return ok()
		}
		h := r.start(func(c *Config) { c.MaxSockets = 64; c.LaneDepth = 50 })
		r.happen(entities(2000)...)
		pass(2 * time.Second)
		well := 0
		for _, s := range r.seen() {
			if s.url != hanging.URL {
				well++
			}
		}
		if well != 2000 {
			t.Errorf("the other endpoint got %d of 2000", well)
		}
		if most := r.mostAtOnce(hanging.URL); most != DefaultMaxInFlight {
			t.Errorf("%d requests hung at once, want %d", most, DefaultMaxInFlight)
		}
		var next int64
		for p := range 2 {
			next += r.store.Next(dispatch.Partition{Topic: event.Calls, ID: p})
		}
		if next != 2000 {
			t.Errorf("checkpoints cover %d events, want 2000", next)
		}
		if rows := len(r.store.Rows()); rows != 2000 {
			t.Errorf("%d rows wait for the hanging endpoint, want 2000", rows)
		}
		h.mu.Lock()
		if n := h.lanes["hanging"].resident; n > 50+DefaultMaxInFlight {
			t.Errorf("%d deliveries in memory, want at most %d", n, 50)
		}
		h.mu.Unlock()
		h.stop()
		pass(2 * time.Hour)
	})
}

func TestUnrenderableEventIsDroppedWithItsReason(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		r.happen("unrenderable-1", "call")
		pass(time.Second)
		dropped := factsOf[delivery.Dropped](r)
		if len(dropped) != 1 || dropped[0].Reason != "the dialect could not render it: no such thing in this format" {
			t.Errorf("dropped: %+v", dropped)
		}
		if got := len(r.seen()); got != 1 {
			t.Errorf("%d requests, want 1", got)
		}
	})
}

func TestRateLimitIsKept(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.RatePerSec = 10 })
		h := r.start(func(c *Config) { c.LaneDepth = 20 })
		defer h.stop()
		r.happen(entities(200)...)
		start := time.Now()
		pass(time.Minute)
		got := r.seen()
		if len(got) != 200 {
			t.Fatalf("%d requests, want 200", len(got))
		}
		took := got[199].at.Sub(start)
		if took < 18*time.Second || took > 25*time.Second {
			t.Errorf("200 at 10/s took %s", took)
		}
		for i := 11; i < len(got); i++ {
			if d := got[i].at.Sub(got[i-11].at); d < 900*time.Millisecond {
				t.Fatalf("12 requests within %s at 10/s", d)
			}
		}
	})
}

func TestOverloadedReceiverIsSlowedDown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a")
		busy := time.Now().Add(30 * time.Second)
		r.receive = func(Request) Result {
			<-time.After(10 * time.Millisecond)
			if time.Now().Before(busy) {
				return status(503)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(400)...)
		pass(29 * time.Second)
		during := len(r.seen())
		if during > 120 {
			t.Errorf("%d requests to an overloaded receiver in 29 s", during)
		}
		pass(10 * time.Minute)
		if n := len(factsOf[delivery.Exhausted](r)); n > 0 {
			t.Errorf("%d exhausted", n)
		}
		delivered := 0
		for _, s := range r.seen() {
			if s.status == 200 {
				delivered++
			}
		}
		if delivered != 400 {
			t.Errorf("%d delivered, want 400", delivered)
		}
		if n := r.mostAtOnce(ep.URL); n > DefaultMaxInFlight {
			t.Errorf("%d in flight", n)
		}
	})
}
