package webhooks

import (
	"context"
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// TestADropWaitsForTheOwner: while nobody owns the partition nothing is dropped, and
// the next owner drops what was asked for.
func TestADropWaitsForTheOwner(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(nil)
		r.happen(entities(20)...)
		pass(time.Second)
		h.stop()
		if err := h.service().Drop(t.Context(), ep, "not wanted"); !errors.Is(err, ErrUndecided) {
			t.Errorf("without an owner: %v", err)
		}
		if n := len(factsOf[delivery.Dropped](r)); n != 0 {
			t.Errorf("%d dropped without an owner", n)
		}
		h = r.start(nil)
		defer h.stop()
		pass(5 * time.Second)
		if n := len(factsOf[delivery.Dropped](r)); n != 20 {
			t.Errorf("the next owner dropped %d of 20", n)
		}
		if err := h.service().Drop(t.Context(), ep, "not wanted"); err != nil {
			t.Error(err)
		}
		r.checkNoRows()
	})
}

func TestDropGivesUpWhatIsHeld(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(20)...)
		pass(time.Second)
		for range 2 {
			if err := h.service().Drop(t.Context(), ep, "not wanted"); err != nil {
				t.Fatal(err)
			}
		}
		if n := len(factsOf[delivery.Dropped](r)); n != 20 {
			t.Errorf("%d dropped, want 20", n)
		}
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		r.happen("call-3")
		pass(5 * time.Second)
		if got := r.seen(); len(got) != 1 || got[0].sequence != 2 {
			t.Errorf("%+v", got)
		}
	})
}

// The backlog of a webhook that was disabled is given up whether or not its owner has
// come to hold it.
func TestADropRightAfterDisablingGivesUpWhatWaits(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(failing)
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(20)...)
		pass(time.Second)
		before := len(r.seen())
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = false })
		if err := h.service().Drop(t.Context(), r.endpoints["a"], "not wanted"); err != nil {
			t.Fatal(err)
		}
		if n := len(factsOf[delivery.Dropped](r)); n != 20 {
			t.Errorf("%d dropped, want 20", n)
		}
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(time.Hour)
		if n := len(r.seen()) - before; n != 0 {
			t.Errorf("%d requests for what was dropped", n)
		}
		// Of a webhook that is enabled only what is held is backlog.
		r.happen("call-3")
		pass(time.Second)
		if err := h.service().Drop(t.Context(), r.endpoints["a"], "not wanted"); err != nil {
			t.Fatal(err)
		}
		if n := len(factsOf[delivery.Dropped](r)); n != 20 {
			t.Errorf("%d dropped, want what waits for a retry to be kept", n)
		}
	})
}

// onDrops is a log in which something happens once it has the first facts of drops.
type onDrops struct {
	commands.Log
	happens func()
}

func (l *onDrops) Append(ctx context.Context, events ...event.Event) ([]event.Position, error) {
	if l.happens != nil && slices.ContainsFunc(events, func(e event.Event) bool { return e.Type == (delivery.Dropped{}).EventType() }) {
		defer l.happens()
		l.happens = nil
	}
	return l.Log.Append(ctx, events...)
}

// TestADropHasTheLastWord turns the webhook on and off while what is held is given up:
// the log must not end with a hold of what is gone.
func TestADropHasTheLastWord(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		ep := r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		r.receive = failing
		log := &onDrops{happens: func() {
			for range 2 {
				r.change("a", func(e *delivery.Endpoint) { e.Enabled = !e.Enabled })
				pass(2 * time.Second)
			}
		}}
		h := r.start(func(c *Config) { c.Log, log.Log = log, c.Log })
		defer h.stop()
		r.happen(entities(20)...)
		pass(time.Second)
		if err := h.service().Drop(t.Context(), ep, "not wanted"); err != nil {
			t.Fatal(err)
		}
		pass(5 * time.Second)
		last := make(map[string]event.Type)
		for _, id := range r.order {
			last[r.facts[id].CausationID] = r.facts[id].Type
		}
		for _, o := range r.store.Rows() {
			delete(last, o.EventID)
		}
		for id, typ := range last {
			if typ != (delivery.Dropped{}).EventType() {
				t.Errorf("%s is among the unfinished no more, and the log ends with %s", id, typ)
			}
		}
		if len(last) != 20 {
			t.Errorf("%d of 20 were given up", len(last))
		}
	})
}
