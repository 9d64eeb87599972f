package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

func TestFailingEntityHoldsOnlyItselfAndKeepsItsOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		until := time.Now().Add(20 * time.Second)
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"bad"`) && time.Now().Before(until) {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("bad", "good", "bad", "good", "bad")
		pass(time.Second)
		r.happen("bad", "good")
		pass(5 * time.Minute)
		var order []string
		for _, s := range r.seen() {
			if s.status == 200 {
				order = append(order, fmt.Sprintf("%s %d", s.entity, s.sequence))
			}
		}
		want := []string{"good 1", "good 2", "good 3", "bad 1", "bad 2", "bad 3", "bad 4"}
		if diff := cmp.Diff(want, order); diff != "" {
			t.Error(diff)
		}
	})
}

func TestHeadOfLineLimitLetsLaterOnesPass(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"version":1`) {
				return status(500)
			}
			return ok()
		}
		h := r.start(func(c *Config) { c.HeadOfLine = 10 * time.Second })
		defer h.stop()
		start := time.Now()
		r.happen("call", "call", "call")
		pass(10 * time.Minute)
		var passed []time.Duration
		for _, s := range r.seen() {
			if s.status == 200 {
				passed = append(passed, s.at.Sub(start).Round(time.Second))
			}
		}
		// The second attempt fails after 5 s, and the third would come past the limit.
		if diff := cmp.Diff([]time.Duration{5 * time.Second, 5 * time.Second}, passed); diff != "" {
			t.Error(diff)
		}
		if n := len(factsOf[delivery.Exhausted](r)); n != 1 {
			t.Errorf("%d exhausted, want 1", n)
		}
		var said []int
		for _, a := range factsOf[delivery.Attempted](r) {
			if strings.Contains(a.Error, "waited for no longer") {
				said = append(said, a.Number)
			}
		}
		if diff := cmp.Diff([]int{2}, said); diff != "" {
			t.Errorf("the attempts that say that it is passed (-want +got):\n%s", diff)
		}
	})
}

// TestWhatIsPassedInAReplayIsInNobodysWay: what is live has an order of its own.
func TestWhatIsPassedInAReplayIsInNobodysWay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(func(c *Config) { c.HeadOfLine = 10 * time.Second })
		defer h.stop()
		since := time.Now()
		r.happen("call", "call")
		pass(time.Second)
		r.answers(failing)
		h.begin(since, func(*dispatch.Replay) {})
		pass(time.Minute)
		rows := r.store.Rows()
		for _, o := range rows {
			if o.OrderKey != o.EntityKey() && o.OrderKey != o.Key() {
				t.Errorf("%s is in the order of %s", o.Key(), o.OrderKey)
			}
		}
		if len(rows) != 2 {
			t.Errorf("%d rows, want 2", len(rows))
		}
	})
}

func TestUnorderedEndpointWaitsForNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Ordering = "none" })
		r.receive = func(q Request) Result {
			if strings.Contains(string(q.Body), `"version":1`) {
				return status(500)
			}
			return ok()
		}
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call", "call")
		pass(time.Second)
		if got := len(r.seen()); got != 3 {
			t.Errorf("%d requests, want 3", got)
		}
	})
}
