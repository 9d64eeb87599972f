package webhooks

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

var (
	seeds = flag.Int("seeds", 25, "how many simulations to run")
	seed  = flag.Uint64("seed", 0, "run this simulation only")
)

// TestSimulation runs engines through seeded days of bad luck: crashes, hand-
// overs, outages of log and store, receivers that fail, hang, refuse, ask for less
// or are gone, and people who send again, cancel, drop and turn off. A seed that
// fails prints itself; -seed runs it again.
func TestSimulation(t *testing.T) {
	t.Parallel()
	first, n := uint64(1), *seeds
	if *seed > 0 {
		first, n = *seed, 1
	}
	for s := first; s < first+uint64(n); s++ {
		ok := t.Run(fmt.Sprintf("seed %d", s), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { simulate(t, s) })
		})
		if !ok {
			t.Fatalf("run again with: go test ./adapters/webhooks -run TestSimulation -seed %d", s)
		}
	}
}

func simulate(t *testing.T, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 7))
	w := newWorld(t, rnd)
	for range 8 + rnd.IntN(12) {
		w.step()
	}
	w.calm()
	w.check()
}

// world is a simulation: a rig, its engines and the luck of its receivers.
type world struct {
	*rig
	// rnd is what happens, fate how stores, logs and receivers take it; fate is
	// drawn by many goroutines, under mu.
	rnd, fate *rand.Rand
	hubs      []*hub
	endpoints []string
	// deleted are endpoints that there were.
	deleted map[string]bool
	luck    map[string]luck
	bad     bool
	engines int
	archive archive
	began   time.Time
	people  people
	// crashed: the database lost commits; replaced: an owner was, without notice;
	// killed: a process was.
	crashed, replaced, killed bool
	// headOfLine is for how long what fails holds back what follows; 0 until it ends.
	headOfLine time.Duration
}

// luck is how a receiver behaves, as probabilities.
type luck struct {
	fail, hang, overloaded, gone float64
	slow                         time.Duration
}

func newWorld(t *testing.T, rnd *rand.Rand) *world {
	w := &world{rig: newRig(t, 1+rnd.IntN(4)), rnd: rnd, fate: rand.New(rand.NewPCG(rnd.Uint64(), 11)), bad: true, luck: make(map[string]luck), deleted: make(map[string]bool), began: time.Now()}
	w.people = people{asked: make(map[string]int), tooLate: make(map[string]int), cancelled: make(map[string]time.Time)}
	if rnd.IntN(3) == 0 {
		w.headOfLine = time.Duration(1+rnd.IntN(20)) * time.Second
	}
	for i := range 2 + rnd.IntN(4) {
		id := fmt.Sprintf("ep%d", i)
		w.endpoints = append(w.endpoints, id)
		ep := w.endpoint(id, func(e *delivery.Endpoint) {
			if rnd.IntN(3) == 0 {
				e.MaxInFlight = 1 + rnd.IntN(4)
			}
			if rnd.IntN(5) == 0 {
				e.RatePerSec = 5 + 50*rnd.Float64()
			}
			if rnd.IntN(6) == 0 {
				e.Ordering = "none"
			}
			if rnd.IntN(3) == 0 {
				threefoldly(e)
			}
		})
		l := luck{slow: time.Duration(rnd.IntN(300)) * time.Millisecond}
		switch rnd.IntN(4) {
		case 0:
			l.fail = 0.6 * rnd.Float64()
		case 1:
			l.hang = 0.2 * rnd.Float64()
		case 2:
			l.overloaded = 0.3 * rnd.Float64()
		}
		if rnd.IntN(8) == 0 {
			l.gone = 0.02
		}
		w.luck[ep.URL] = l
	}
	w.receive = w.answer
	w.trouble = func() (before, after time.Duration, lost bool) {
		w.mu.Lock()
		defer w.mu.Unlock()
		return time.Duration(w.fate.IntN(20)) * time.Millisecond, time.Duration(w.fate.IntN(20)) * time.Millisecond, w.bad && w.fate.IntN(50) == 0
	}
	w.begin()
	return w
}

func (w *world) answer(q Request) Result {
	w.mu.Lock()
	l, bad := w.luck[q.URL], w.bad
	roll, pause := w.fate.Float64(), time.Duration(w.fate.Int64N(int64(l.slow)+1))
	w.mu.Unlock()
	<-time.After(pause)
	switch {
	case !bad:
		return ok()
	case roll < l.hang:
		<-time.After(time.Minute)
		return ok()
	case roll < l.hang+l.fail:
		return status(500)
	case roll < l.hang+l.fail+l.overloaded:
		res := status([]int{429, 503}[int(roll*1e6)%2])
		if int(roll*1e7)%2 == 0 {
			res.RetryAfter = time.Now().Add(3 * time.Second)
		}
		return res
	case roll > 1-l.gone:
		return status(410)
	}
	return ok()
}

// begin starts an engine over some of the partitions, or all.
func (w *world) begin(partitions ...int) {
	depth := 4 + w.rnd.IntN(100)
	memory := int64(20_000 + w.rnd.IntN(1_000_000))
	parkedKeys := 2 + w.rnd.IntN(50)
	w.hubs = append(w.hubs, w.start(func(c *Config) {
		c.LaneDepth, c.MemoryBytes, c.ParkedKeys = depth, memory, parkedKeys
		c.MaxSockets = 8 + depth
		c.Drain = 2 * time.Second
		c.HeadOfLine = w.headOfLine
		format := plain{delivery.Profile{
			Timeout: 5 * time.Second, Retries: []time.Duration{time.Second, 2 * time.Second, 10 * time.Second, 30 * time.Second}, Jitter: 0.2,
		}}
		c.Dialects = []Dialect{format, threefold{format, w.rig}}
	}, partitions...))
	w.engines++
}

// step lets something happen and time go by.
func (w *world) step() {
	w.ask()
	for range w.rnd.IntN(4) {
		var burst []string
		for range 1 + w.rnd.IntN(60) {
			burst = append(burst, fmt.Sprintf("call-%d", w.rnd.IntN(25)))
		}
		w.happen(burst...)
		pass(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	}
	switch w.rnd.IntN(13) {
	case 0:
		w.killed = true
		w.last().kill()
		w.begin()
	case 1:
		w.last().stop()
		w.begin()
	case 2: // another engine takes some partitions, and the first does not know
		var some []int
		for p := range w.partitions {
			if w.rnd.IntN(2) == 0 {
				some = append(some, p)
			}
		}
		if len(some) > 0 {
			// Until the group has told it, the first claims what it lost again.
			w.replaced = true
			first := w.last()
			time.AfterFunc(time.Duration(w.rnd.IntN(5000))*time.Millisecond, func() { first.loses(some...) })
			w.begin(some...)
		}
	case 3:
		w.setLog(true)
		pass(time.Duration(w.rnd.IntN(5000)) * time.Millisecond)
		w.setLog(false)
	case 6: // the log goes away, and then the process
		w.setLog(true)
		w.happen("call-1", "call-2", "call-3")
		pass(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
		w.killed = true
		w.last().kill()
		w.setLog(false)
		w.begin()
	case 4:
		w.store.Fail(errors.New("the database is down"))
		pass(time.Duration(w.rnd.IntN(5000)) * time.Millisecond)
		w.store.Fail(nil)
	case 9: // the database is killed, and loses what it confirmed last
		for range 1 + w.rnd.IntN(3) {
			crash := w.store.Snapshot()
			w.happen("call-1", "call-2", "call-3", "call-4")
			pass(time.Duration(w.rnd.IntN(600)) * time.Millisecond)
			w.store.Fail(errors.New("the database is down"))
			w.crashed = crash() || w.crashed
			pass(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
			w.store.Fail(nil)
		}
	case 7: // a webhook that is owed all that ever happened
		if id := fmt.Sprintf("late%d", len(w.endpoints)+len(w.deleted)); len(w.endpoints) < 8 {
			w.endpoints = append(w.endpoints, id)
			ep := w.late(id, w.began, []func(*delivery.Endpoint){func(*delivery.Endpoint) {}, threefoldly}[w.rnd.IntN(2)])
			w.mu.Lock()
			w.luck[ep.URL] = luck{fail: 0.3 * w.rnd.Float64(), slow: time.Duration(w.rnd.IntN(100)) * time.Millisecond}
			w.mu.Unlock()
		}
	case 8: // what was sent is sent again, beside all the rest
		_, _ = w.last().replays.Begin(w.t.Context(), dispatch.Replay{
			Org: "org", EndpointID: w.endpoints[w.rnd.IntN(len(w.endpoints))], RatePerSec: float64(w.rnd.IntN(50)),
			Scope: delivery.Scope{From: w.began, Until: time.Now()},
		})
	case 12: // what ended without success is sent again
		if ep, ok := w.someones(w.rnd.Int()); ok {
			_, _ = w.last().replays.Recover(w.t.Context(), ep, w.began, time.Now(), "key/1")
		}
	case 10:
		w.delete()
	case 11: // somebody changes how a webhook is sent to
		ordering, rate := []string{"none", "entity"}[w.rnd.IntN(2)], float64(w.rnd.IntN(60))
		w.change(w.endpoints[w.rnd.IntN(len(w.endpoints))], func(e *delivery.Endpoint) {
			if e.Ordering == "none" || rate < 10 {
				e.Ordering = ordering
			}
			e.RatePerSec = rate // 0 is none
		})
	case 5:
		id := w.endpoints[w.rnd.IntN(len(w.endpoints))]
		w.change(id, func(e *delivery.Endpoint) { e.Enabled = !e.Enabled })
	}
	pass(time.Duration(w.rnd.IntN(20_000)) * time.Millisecond)
	w.people.busy.Wait()
	w.checkAccounts()
}

// delete ends an endpoint with all that it is owed, often just after it was
// disabled, while the log and the store hear of that.
func (w *world) delete() {
	if len(w.endpoints) < 3 {
		return
	}
	id := w.endpoints[w.rnd.IntN(len(w.endpoints))]
	if w.rnd.IntN(2) == 0 {
		w.change(id, func(e *delivery.Endpoint) { e.Enabled = false })
		w.happen("call-1", "call-2")
		pass(time.Duration(w.rnd.IntN(300)) * time.Millisecond)
	}
	w.endpoints = slices.DeleteFunc(w.endpoints, func(e string) bool { return e == id })
	w.deleted[id] = true
	w.deleteEndpoint(id)
}

func (w *world) last() *hub { return w.hubs[len(w.hubs)-1] }

// calm ends the bad luck and lets one engine finish.
func (w *world) calm() {
	w.mu.Lock()
	w.bad = false
	w.mu.Unlock()
	for _, h := range w.hubs {
		h.stop()
	}
	w.begin()
	pass(5 * time.Second)
	for _, id := range w.endpoints {
		w.change(id, func(e *delivery.Endpoint) { e.Enabled = true })
	}
	// Slow receivers, so that deliveries end while their rows are being written.
	for url, l := range w.luck {
		w.mu.Lock()
		l.slow = time.Second
		w.luck[url] = l
		w.mu.Unlock()
	}
	for i := range 40 {
		w.happen(fmt.Sprintf("late-%d", i), fmt.Sprintf("late-%d", i%7))
		pass(100 * time.Millisecond)
	}
	w.delete() // no later start of an engine puts right what this one forgets
	w.delete()
	pass(30 * time.Minute)
	w.last().stop()
}
