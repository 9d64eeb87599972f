package webhooks

import (
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
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
// overs, outages of log and store, and receivers that fail, hang, refuse, ask
// for less or are gone. A seed that fails prints itself; -seed runs it again.
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
	luck      map[string]luck
	bad       bool
	engines   int
	archive   archive
	began     time.Time
}

// luck is how a receiver behaves, as probabilities.
type luck struct {
	fail, hang, overloaded, gone float64
	slow                         time.Duration
}

func newWorld(t *testing.T, rnd *rand.Rand) *world {
	w := &world{rig: newRig(t, 1+rnd.IntN(4)), rnd: rnd, fate: rand.New(rand.NewPCG(rnd.Uint64(), 11)), bad: true, luck: make(map[string]luck), began: time.Now()}
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
		c.Dialects = []Dialect{plain{delivery.Profile{
			Timeout: 5 * time.Second, Retries: []time.Duration{time.Second, 2 * time.Second, 10 * time.Second, 30 * time.Second}, Jitter: 0.2,
		}}}
	}, partitions...))
	w.engines++
}

// step lets something happen and time go by.
func (w *world) step() {
	for range w.rnd.IntN(4) {
		var burst []string
		for range 1 + w.rnd.IntN(60) {
			burst = append(burst, fmt.Sprintf("call-%d", w.rnd.IntN(25)))
		}
		w.happen(burst...)
		pass(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
	}
	switch w.rnd.IntN(12) {
	case 0:
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
			crash()
			pass(time.Duration(w.rnd.IntN(2000)) * time.Millisecond)
			w.store.Fail(nil)
		}
	case 7: // a webhook that is owed all that ever happened
		if id := fmt.Sprintf("late%d", len(w.endpoints)); len(w.endpoints) < 8 {
			w.endpoints = append(w.endpoints, id)
			ep := w.late(id, w.began)
			w.mu.Lock()
			w.luck[ep.URL] = luck{fail: 0.3 * w.rnd.Float64(), slow: time.Duration(w.rnd.IntN(100)) * time.Millisecond}
			w.mu.Unlock()
		}
	case 8: // what was sent is sent again, beside all the rest
		_, _ = w.last().replays.Begin(w.t.Context(), dispatch.Replay{
			Org: "org", EndpointID: w.endpoints[w.rnd.IntN(len(w.endpoints))], RatePerSec: float64(w.rnd.IntN(50)),
			Scope: delivery.Scope{From: w.began, Until: time.Now()},
		})
	case 5:
		id := w.endpoints[w.rnd.IntN(len(w.endpoints))]
		w.change(id, func(e *delivery.Endpoint) { e.Enabled = !e.Enabled })
	}
	pass(time.Duration(w.rnd.IntN(20_000)) * time.Millisecond)
	w.checkAccounts()
}

func (w *world) last() *hub { return w.hubs[len(w.hubs)-1] }

func (w *world) setLog(down bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logDown = down
}

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
	pass(30 * time.Minute)
	w.last().stop()
}

// check states the laws.
func (w *world) check() {
	if missing := w.missing(); len(missing) > 0 {
		w.t.Errorf("%d lost: %s", len(missing), strings.Join(missing[:min(5, len(missing))], ", "))
	}
	if rows := w.store.Rows(); len(rows) > 0 {
		w.t.Errorf("%d rows left, the first: %+v", len(rows), rows[0].Delivery)
	}
	w.checkOrder()
	w.checkFacts()
	for _, a := range w.checkAccounts() {
		if a.Pending+a.Held+a.Behind > 0 || a.FilteredTotal() > 0 {
			w.t.Errorf("after the day: %+v", a)
		}
	}
	for id := range w.rig.endpoints {
		ep := w.rig.endpoints[id]
		limit := ep.MaxInFlight
		if limit == 0 {
			limit = DefaultMaxInFlight
		}
		if most := w.most[ep.URL]; most > limit*w.engines {
			w.t.Errorf("%s: %d in flight, want at most %d", id, most, limit*w.engines)
		}
	}
}

// checkAccounts: at any moment every pair is in exactly one state.
func (w *world) checkAccounts() []delivery.Account {
	var all []delivery.Account
	for _, id := range w.endpoints {
		w.archive.page = 500
		rec := w.reconcile(id, &w.archive)
		if rec.Difference() != 0 || rec.Unplanned != 0 {
			w.t.Fatalf("%s: %+v", id, rec)
		}
		all = append(all, rec.Account)
	}
	return all
}

// checkOrder: no event of an entity arrives before the earlier ones arrived or
// were accounted for.
func (w *world) checkOrder() {
	type pair struct{ url, entity string }
	ended := make(map[pair]map[int64]time.Time) // when each sequence was first delivered or accounted for
	end := func(url, entity string, sequence int64, at time.Time) {
		p := pair{url, entity}
		if ended[p] == nil {
			ended[p] = make(map[int64]time.Time)
		}
		if before, ok := ended[p][sequence]; !ok || at.Before(before) {
			ended[p][sequence] = at
		}
	}
	for _, s := range w.seen() {
		if s.status == 200 && s.replay == "" {
			end(s.url, s.entity, s.sequence, s.end)
		}
	}
	for id, at := range w.factAt {
		f := w.facts[id]
		if f.Type == (delivery.Exhausted{}).EventType() || f.Type == (delivery.Dropped{}).EventType() {
			var ref delivery.Ref
			if w.decode(f.Data, &ref); ref.ReplayID != "" {
				continue
			}
			end(w.rig.endpoints[ref.WebhookID].URL, ref.EntityID, ref.Sequence, at)
		}
	}
	w.checkReplayOrder()
	for _, s := range w.seen() {
		if s.replay != "" {
			continue
		}
		for n := int64(1); n < s.sequence; n++ {
			if at, ok := ended[pair{s.url, s.entity}][n]; !ok || at.After(s.at) {
				w.t.Fatalf("%s: event %d of %s was sent at %s, before event %d ended (%s)", s.url, s.sequence, s.entity, s.at, n, at)
			}
		}
	}
}

// checkReplayOrder: within a replay no event of an entity is sent after a later
// one had arrived by it, but for those that were under way when it died.
func (w *world) checkReplayOrder() {
	arrived := make(map[string]int64)
	sent := make(map[string]bool)
	for _, s := range w.seen() {
		if s.replay == "" {
			continue
		}
		key := s.replay + s.url + s.entity
		if !sent[key+s.id] && s.sequence < arrived[key] {
			w.t.Fatalf("%s: replay %s sent event %d of %s for the first time after event %d", s.url, s.replay, s.sequence, s.entity, arrived[key])
		}
		sent[key+s.id] = true
		if s.status == 200 {
			arrived[key] = max(arrived[key], s.sequence)
		}
	}
	replays, err := w.store.Replays(w.t.Context(), "org", "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, rp := range replays {
		if rp.State != dispatch.ReplayFinished {
			w.t.Errorf("replay %s of %s is %s: %s", rp.ID, rp.EndpointID, rp.State, rp.Detail)
		}
		ends, err := w.store.Ends(w.t.Context(), rp.ID)
		if err != nil {
			w.t.Fatal(err)
		}
		n := int64(0)
		for _, e := range ends {
			n += e.Count
		}
		if rp.Kind == dispatch.OfScope && n != rp.Deliveries {
			w.t.Errorf("replay %s offered %d deliveries, %d ended", rp.ID, rp.Deliveries, n)
		}
	}
}

// checkFacts: what a receiver took is a fact, and every delivery has one end.
func (w *world) checkFacts() {
	ends := make(map[string][]string)
	for _, a := range factsOf[delivery.Attempted](w.rig) {
		if a.Outcome == delivery.OutcomeDelivered && a.ReplayID == "" && !slices.Contains(ends[a.DeliveryID], "delivered") {
			ends[a.DeliveryID] = append(ends[a.DeliveryID], "delivered")
		}
	}
	for _, x := range factsOf[delivery.Exhausted](w.rig) {
		if x.ReplayID != "" {
			continue
		}
		ends[x.DeliveryID] = append(ends[x.DeliveryID], "exhausted")
	}
	owed := 0
	for _, p := range w.log {
		for _, rec := range p {
			for id := range w.rig.endpoints {
				owed++
				if len(ends[delivery.ID(rec.ID, id, "")]) == 0 {
					w.t.Errorf("%s to %s has no end in the log", rec.ID, id)
					return
				}
			}
		}
	}
	if len(ends) != owed {
		w.t.Errorf("%d deliveries ended, %d were owed", len(ends), owed)
	}
}
