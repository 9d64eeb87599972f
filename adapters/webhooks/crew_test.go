package webhooks

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"trunkline.dev/trunkline/domain/delivery"
)

func TestSharesAddUpToTheLimit(t *testing.T) {
	t.Parallel()
	for limit := 1; limit <= 40; limit++ {
		for of := range 9 {
			sum, rate := 0, 0.0
			for rank := range max(1, of) {
				c := crew{rank: rank, of: of}
				sum += c.inFlight(limit)
				rate += c.rate(float64(limit))
			}
			if want := max(limit, of); sum != want {
				t.Errorf("%d processes share %d as %d", of, limit, sum)
			}
			if rate < float64(limit)-1e-9 || rate > float64(limit)+1e-9 {
				t.Errorf("%d processes share %d a second as %f", of, limit, rate)
			}
		}
	}
}

// inCrew makes an engine one of several.
func (r *rig) inCrew(name string) func(*Config) {
	return func(c *Config) { c.Crew, c.Name = c.Store.(deadStore), name }
}

// flyingMost is the most requests that were under way to an endpoint, since the
// last time that it was asked.
func (r *rig) flyingMost(id string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	url := r.endpoints[id].URL
	n := r.most[url]
	r.most[url] = r.flying[url]
	return n
}

// TestLimitsAreSharedByProcesses sends to endpoints with limits from one
// process, then two, then the one that a kill leaves.
func TestLimitsAreSharedByProcesses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("few", func(e *delivery.Endpoint) { e.MaxInFlight, e.Ordering = 5, "none" })
		r.endpoint("slow", func(e *delivery.Endpoint) { e.RatePerSec, e.Ordering = 10, "none" })
		r.receive = func(Request) Result {
			<-time.After(100 * time.Millisecond)
			return ok()
		}
		made := 0
		work := func() {
			made += 200
			r.happen(append(r.in(0, made)[made-200:], r.in(1, made)[made-200:]...)...)
		}
		// rate counts the requests to an endpoint in the seconds to come.
		rate := func(seconds int) int {
			from := len(r.seen())
			pass(time.Duration(seconds) * time.Second)
			n := 0
			for _, s := range r.seen()[from:] {
				if s.url == r.endpoints["slow"].URL {
					n++
				}
			}
			return n
		}
		expect := func(when string, most, perSec int) {
			t.Helper()
			r.flyingMost("few")
			if n := rate(8); n < 8*perSec-1 || n > 8*perSec+1 {
				t.Errorf("%s: %d requests in eight seconds, want %d", when, n, 8*perSec)
			}
			if n := r.flyingMost("few"); n != most {
				t.Errorf("%s: %d requests under way at most, want %d", when, n, most)
			}
		}
		one := r.start(r.inCrew("one"), 0)
		defer one.stop()
		work()
		expect("alone", 5, 10)

		work()
		other := r.start(r.inCrew("other"), 1)
		r.flyingMost("few")
		// While the two get to know one another nothing is overshot but by what the
		// first had begun.
		pass(3 * time.Second)
		if n := r.flyingMost("few"); n > 5 {
			t.Errorf("while the other joined: %d requests under way", n)
		}
		work()
		expect("two", 5, 10)
		one.mu.Lock()
		other.mu.Lock()
		if a, b := one.lanes["few"].limit, other.lanes["few"].limit; a+b != 5 || a < 2 || b < 2 {
			t.Errorf("shares %d and %d of 5", a, b)
		}
		one.mu.Unlock()
		other.mu.Unlock()

		other.strike()
		defer other.stop()
		pass(time.Millisecond) // its requests are broken off
		work()
		expect("after a kill, before it is noticed", 3, 5)
		pass(4 * time.Second)
		work()
		expect("the one that is left", 5, 10)
	})
}

func TestMetricsSayWhatIsSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("good")
		r.endpoint("bad")
		r.endpoint("off", func(e *delivery.Endpoint) { e.Enabled = false })
		r.receive = func(q Request) Result {
			if q.URL == r.endpoints["bad"].URL {
				return status(500)
			}
			return ok()
		}
		h := r.start(r.inCrew("one"))
		defer h.stop()
		r.happen("a", "b", "unrenderable")
		pass(10 * time.Minute)
		// Three endpoints could not be sent the third event.
		want := `
# HELP trunkline_deliveries_ended_total Deliveries that this process brought to an end.
# TYPE trunkline_deliveries_ended_total counter
trunkline_deliveries_ended_total{outcome="delivered"} 2
trunkline_deliveries_ended_total{outcome="dropped"} 3
trunkline_deliveries_ended_total{outcome="exhausted"} 2
# HELP trunkline_delivery_lanes Endpoints that this process sends to, open or shut.
# TYPE trunkline_delivery_lanes gauge
trunkline_delivery_lanes{state="open"} 2
trunkline_delivery_lanes{state="shut"} 1
# HELP trunkline_delivery_processes Processes that share the work, this one included.
# TYPE trunkline_delivery_processes gauge
trunkline_delivery_processes 1
`
		if err := testutil.CollectAndCompare(h.Engine, strings.NewReader(want),
			"trunkline_deliveries_ended_total", "trunkline_delivery_lanes", "trunkline_delivery_processes"); err != nil {
			t.Error(err)
		}
		if n := testutil.CollectAndCount(h.Engine, "trunkline_delivery_attempt_seconds"); n != 2 {
			t.Errorf("%d series of attempts, want delivered and failed", n)
		}
		if problems, err := testutil.CollectAndLint(h.Engine); err != nil || len(problems) > 0 {
			t.Errorf("%v %v", problems, err)
		}
	})
}
