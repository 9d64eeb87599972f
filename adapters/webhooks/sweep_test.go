package webhooks

import (
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
