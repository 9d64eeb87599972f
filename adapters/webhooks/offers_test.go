package webhooks

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// deaf does not hear the first answers that tell of offers and of cancels.
type deaf struct {
	deadStore
	offers, cancels *int
}

func deafen(c *Config) {
	c.Store = deaf{deadStore: c.Store.(deadStore), offers: new(int), cancels: new(int)}
}

func (d deaf) Offered(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Backlog, error) {
	all, err := d.deadStore.Offered(ctx, owned, again)
	if len(all) > 0 {
		if *d.offers++; *d.offers == 1 {
			return nil, errLost
		}
	}
	return all, err
}

func (d deaf) Cancels(ctx context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Cancel, error) {
	all, err := d.deadStore.Cancels(ctx, owned, again)
	if len(all) > 0 {
		if *d.cancels++; *d.cancels == 1 {
			return nil, errLost
		}
	}
	return all, err
}

// another starts a process that owns everything, while the former owner is not told.
func (h *hub) another() *hub {
	next := h.link.start(nil)
	for p := range h.link.partitions {
		h.loses(p)
	}
	return next
}

func TestALostAnswerLosesNoOffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(deafen)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		if err := h.service().Resend(t.Context(), "org", r.seen()[0].id); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		if n := len(r.seen()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		r.checkNoRows()
	})
}

func TestALostAnswerLosesNoCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(deafen)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		h.cancelled(delivery.ID("call#1", "a", ""), dispatch.Cancelled)
		r.checkDropped(1)
		if rows := r.store.Rows(); len(rows) != 1 {
			t.Errorf("%d rows left, want 1", len(rows))
		}
	})
}

// An aborted replay ends although the answer that told of its cancels was lost.
func TestALostAnswerDoesNotHoldUpAnAbort(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(deafen)
		defer h.stop()
		r.happen("c1", "c2", "c3")
		pass(time.Second)
		r.answers(func(Request) Result { return status(500) })
		rp, err := h.replays.Begin(t.Context(), dispatch.Replay{
			Org: "org", EndpointID: "a", Scope: delivery.Scope{From: time.Now().Add(-time.Hour), Until: time.Now()},
		})
		if err != nil {
			t.Fatal(err)
		}
		pass(8 * time.Second)
		if _, err := h.replays.Abort(t.Context(), "org", rp.ID, "enough"); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Second)
		if rp, err = h.replays.Get(t.Context(), "org", rp.ID); err != nil || rp.State != dispatch.ReplayAborted {
			t.Errorf("the replay is %s, %v", rp.State, err)
		}
		r.checkNoRows()
	})
}

func TestAFormerOwnerTakesNoOffer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		former := r.start(nil)
		defer former.stop()
		r.happen("call")
		pass(30 * time.Second)
		next := former.another()
		defer next.stop()
		pass(1500 * time.Millisecond)
		if err := former.service().Resend(t.Context(), "org", r.seen()[0].id); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		if n := len(r.seen()); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		r.checkNoRows()
	})
}

// A former owner that took a cancel would tell the log of its drop, and the owner
// would send it.
func TestAFormerOwnerTakesNoCancel(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		former := r.start(nil)
		defer former.stop()
		r.happen("call")
		pass(20 * time.Second) // it failed twice, the next attempt is at 35 s
		next := former.another()
		defer next.stop()
		pass(300 * time.Millisecond)
		r.answers(func(Request) Result { return ok() })
		former.cancelled(delivery.ID("call#1", "a", ""), dispatch.Cancelled)
		pass(time.Hour)
		if sent := r.sentSequences(); len(sent) > 0 {
			t.Errorf("sent after the cancel: %v", sent)
		}
		r.checkDropped(1)
	})
}
