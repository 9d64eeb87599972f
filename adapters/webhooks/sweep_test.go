package webhooks

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// backlog puts deliveries of as many entities into the store that are due in a day.
func (r *rig) backlog(id string, n int) {
	r.t.Helper()
	var rows []dispatch.Owed
	for i := range n {
		entity := fmt.Sprintf("waits-%d", i)
		rows = append(rows, dispatch.Owed{Delivery: delivery.Delivery{
			ID: delivery.ID(entity, id, ""), Org: "org", EndpointID: id, EventID: entity, EventType: "call.note_added.v1", EntityID: entity,
			Topic: event.Calls, Dialect: "plain", Status: delivery.Pending, CreatedAt: time.Now(), NextAttemptAt: time.Now().Add(24 * time.Hour), Sequence: 1,
		}, OrderKey: entity})
	}
	if err := r.store.Offer(r.t.Context(), rows); err != nil {
		r.t.Fatal(err)
	}
}

// A large backlog that is to be held must say so in the log. While the log is away
// it stays in the store.
func TestASweepWaitsForTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const rows = 2 * maxFacts
		r := newRig(t, 1)
		r.endpoint("a")
		r.backlog("a", rows)
		h := r.start(nil)
		defer h.stop()
		pass(time.Second)
		r.setLog(true)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		pass(time.Minute)
		h.mu.Lock()
		waits := h.recorder.queue.len() + h.recorder.flying
		h.mu.Unlock()
		if waits < maxFacts || waits > maxFacts+pageRows {
			t.Errorf("%d facts wait, want %d and no more than a page beyond", waits, maxFacts)
		}
		r.setLog(false)
		pass(time.Minute)
		held := slices.DeleteFunc(r.store.Rows(), func(o dispatch.Owed) bool { return o.Status != delivery.IsHeld })
		if facts := factsOf[delivery.Held](r); len(held) != rows || len(facts) != rows {
			t.Errorf("a minute after the log is back %d rows are held and %d facts say so, want %d", len(held), len(facts), rows)
		}
	})
}

// A hold that waits for the log when its endpoint is enabled becomes a row behind the
// sweep's back. While that row is let go, the next of its entity must not pass it.
func TestAHoldOnItsWayKeepsItsPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		followed := false
		h := r.start(meddled(func(ctx context.Context, b dispatch.Batch, commit committer) ([]dispatch.Partition, map[string]delivery.Health, error) {
			for _, p := range b.Parts {
				for _, o := range p.Update {
					if o.EntityID == "call" && o.Status == delivery.Pending && !followed {
						followed = true
						r.happen("call")
						<-time.After(100 * time.Millisecond)
					}
				}
			}
			return commit(ctx, b)
		}))
		defer h.stop()
		r.happen("other")
		pass(2 * time.Second) // that one is a held row
		r.setLog(true)
		r.happen("call")
		pass(200 * time.Millisecond) // this one's hold waits for the log
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(3 * time.Second) // the row is loaded, and memory knows the order again
		r.setLog(false)
		pass(10 * time.Second)
		var got []int64
		for _, s := range r.seen() {
			if s.entity == "call" {
				got = append(got, s.sequence)
			}
		}
		if !followed || !slices.Equal(got, []int64{1, 2}) {
			t.Errorf("sent in the order %v, want 1 and 2", got)
		}
	})
}
