package webhooks

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Two processes begin replays and recoveries of the same entities over one another's
// partitions: each replay ends, what it offered ended once, and the report says so.
func TestReplaysOfTwoProcessesEnd(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { replaysOfTwoProcesses(t, rand.New(rand.NewPCG(seed, 3))) })
		})
	}
}

func replaysOfTwoProcesses(t *testing.T, rnd *rand.Rand) {
	r := newRig(t, 3)
	for _, id := range []string{"a", "b", "c"} {
		r.endpoint(id)
	}
	fate := rand.New(rand.NewPCG(rnd.Uint64(), 5))
	roll := func(n int) bool {
		r.mu.Lock()
		defer r.mu.Unlock()
		return fate.IntN(n) == 0
	}
	r.answers(func(Request) Result {
		if roll(3) {
			<-time.After(300 * time.Millisecond)
		}
		if roll(6) {
			return status(500)
		}
		return ok()
	})
	hubs := []*hub{r.start(nil, 0, 1), r.start(nil, 2)}
	since := time.Now()
	r.happen(several(60, 4)...)
	pass(time.Hour)
	var ids []string
	for range 30 {
		h := hubs[rnd.IntN(2)]
		rp, err := dispatch.Replay{}, error(nil)
		if rnd.IntN(4) == 0 {
			rp, err = h.replays.Recover(t.Context(), r.endpoints["a"], since, time.Now(), "key/1")
		} else {
			rp, err = h.replays.Begin(t.Context(), dispatch.Replay{
				Org: "org", EndpointID: []string{"a", "b", "c", dispatch.EveryEndpoint}[rnd.IntN(4)], RatePerSec: float64(rnd.IntN(3) * 20),
				Scope: delivery.Scope{From: since, Until: time.Now()},
			})
		}
		if err == nil { // at most so many of an endpoint go on at once
			ids = append(ids, rp.ID)
		}
		pass(time.Duration(rnd.IntN(1500)) * time.Millisecond)
	}
	pass(time.Hour)
	for _, id := range ids {
		rep := hubs[0].report(id)
		ended := int64(0)
		for _, n := range rep.Counts {
			ended += n
		}
		took := make(map[string]bool)
		for _, s := range r.replayed(id) {
			took[s.url+s.id] = true
		}
		if rep.State != dispatch.ReplayFinished || ended != rep.Deliveries || int64(len(took)) != rep.Counts[delivery.Delivered] || rep.Scanned != rep.Total {
			t.Errorf("after an hour: %s, %d offered, ended %v, %d taken, standing %+v", rep.State, rep.Deliveries, rep.Counts, len(took), rep.Standing)
		}
	}
	r.checkNoRows()
	for _, h := range hubs {
		h.stop()
	}
}
