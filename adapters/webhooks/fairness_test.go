package webhooks

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// turns has four sockets, receivers that take a second, and a backlog of
// thousands of deliveries; then ten times four deliveries for one more endpoint.
func turns(t *testing.T, endpoints int, late func(*delivery.Endpoint)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		for i := range endpoints {
			r.endpoint(fmt.Sprintf("early-%d", i))
		}
		r.answers(func(Request) Result {
			<-time.After(time.Second)
			return ok()
		})
		h := r.start(func(c *Config) { c.MaxSockets = 4 })
		defer h.stop()
		r.happen(entities(500)...)
		pass(10 * time.Second)
		got := r.taken()
		for i := range endpoints {
			id := fmt.Sprintf("early-%d", i)
			if n, share := got["https://"+id+".example/hook"], 4*10/endpoints; n < share-4 || n > share+4 {
				t.Errorf("%s got %d, its share is %d", id, n, share)
			}
		}
		e := r.endpoint("late", late)
		all := entities(40)
		for i := range all {
			all[i] = "late-" + all[i]
		}
		r.happenTo(e.Org, all...)
		// Every second of the four is its own: 20 s, and a turn to begin with.
		pass(22 * time.Second)
		if n := r.taken()[e.URL]; n != 40 {
			t.Errorf("beside a backlog of %d the late one got %d of 40 within its turns", 500*endpoints, n)
		}
	})
}

// taken counts what each receiver took.
func (r *rig) taken() map[string]int {
	n := make(map[string]int)
	for _, s := range r.seen() {
		if s.status == 200 {
			n[s.url]++
		}
	}
	return n
}

// TestOrgsTakeTurns: one org's thousands of deliveries to nine endpoints do not
// make another's forty wait behind them.
func TestOrgsTakeTurns(t *testing.T) {
	t.Parallel()
	turns(t, 9, func(e *delivery.Endpoint) { e.Org = "other" })
}

// TestEndpointsOfAnOrgTakeTurns: nor one endpoint's those of another.
func TestEndpointsOfAnOrgTakeTurns(t *testing.T) {
	t.Parallel()
	turns(t, 1, func(*delivery.Endpoint) {})
}

// TestMemoryThatOthersTakeStopsNobody: receivers that hang fill the memory with what
// waits for them, and another's deliveries go on.
func TestMemoryThatOthersTakeStopsNobody(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("hangs")
		r.endpoint("well")
		r.receive = func(q Request) Result {
			if strings.Contains(q.URL, "hangs") {
				<-time.After(20 * time.Second)
			}
			return ok()
		}
		h := r.start(func(c *Config) { c.MemoryBytes = 50_000 })
		defer func() {
			h.stop()
			pass(time.Minute)
		}()
		r.happen(entities(300)...)
		pass(9 * time.Second) // before the first request to the one that hangs is given up
		if n := r.taken()["https://well.example/hook"]; n != 300 {
			t.Errorf("%d of 300 arrived", n)
		}
	})
}

// TestMemoryIsBoundedWhateverTheBacklog: what does not fit waits in the store,
// and is delivered in order when there is room.
func TestMemoryIsBoundedWhateverTheBacklog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const limit = 64 << 10
		r := newRig(t, 2)
		for i := range 5 {
			r.endpoint(fmt.Sprint("down-", i))
		}
		down := time.Now().Add(time.Minute)
		r.answers(func(Request) Result {
			if time.Now().Before(down) {
				<-time.After(time.Until(down))
				return status(503)
			}
			return ok()
		})
		h := r.start(func(c *Config) { c.MemoryBytes = limit })
		defer h.stop()
		most, largest := int64(0), int64(0)
		for range 40 {
			r.happen(entities(100)...)
			pass(100 * time.Millisecond)
			h.mu.Lock()
			most = max(most, h.bytes)
			for _, l := range h.lanes {
				for s := range l.streams {
					for _, it := range s.items {
						largest = max(largest, it.size)
					}
				}
			}
			h.mu.Unlock()
		}
		if rows := len(r.store.Rows()); rows < 19_000 {
			t.Errorf("%d of 20,000 deliveries wait in the store", rows)
		}
		if largest == 0 || most > limit+5*laneLeast*largest {
			t.Errorf("%d bytes of deliveries were in memory, want at most %d and %d of %d for each lane", most, limit, laneLeast, largest)
		}
		pass(3 * time.Hour)
		if n := len(r.store.Rows()); n > 0 {
			t.Errorf("%d deliveries are left", n)
		}
		got := make(map[string]int64)
		for _, s := range r.seen() {
			if key := s.url + s.entity; s.status == 200 {
				if got[key]++; got[key] != s.sequence {
					t.Fatalf("%s: event %d of %s came as number %d", s.url, s.sequence, s.entity, got[key])
				}
			}
		}
		if len(got) != 5*100 {
			t.Errorf("%d of 500 entities were told of", len(got))
		}
	})
}

// TestBytesBelowTheCheckpointAreGivenBack: a finished item has let go of its body
// before its entry goes below the checkpoint. What it took must be given back all
// the same, or a partition that is never idle ends up planning nothing.
func TestBytesBelowTheCheckpointAreGivenBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result {
			<-time.After(30 * time.Millisecond)
			return ok()
		})
		h := r.start(nil)
		defer h.stop()
		busy := 0
		for range 400 {
			r.happen(entities(3)...)
			pass(5 * time.Millisecond)
			h.mu.Lock()
			for _, o := range h.owners {
				var want int64
				for _, n := range o.entries {
					for _, it := range n.items {
						want += it.bodyBytes()
					}
				}
				if o.bytes != want {
					t.Errorf("%d bytes are counted, the entries have %d", o.bytes, want)
				}
				if len(o.entries) > 0 && o.next > 0 {
					busy++
				}
			}
			h.mu.Unlock()
			if t.Failed() {
				return
			}
		}
		if busy < 300 {
			t.Errorf("only %d times was something planned above a checkpoint", busy)
		}
	})
}
