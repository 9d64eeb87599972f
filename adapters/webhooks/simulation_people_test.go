package webhooks

import (
	"sync"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

const (
	cancelledByHand = "not wanted"
	droppedByHand   = "given up"
)

// people ask for things in the middle of whatever happens, and are told verdicts.
type people struct {
	busy sync.WaitGroup

	mu sync.Mutex
	// asked counts the cancels of each delivery, tooLate those that were too late;
	// cancelled is when somebody was told that it was.
	asked, tooLate map[string]int
	cancelled      map[string]time.Time
}

// ask lets people do something within the next seconds: send a delivery again,
// cancel one, drop what is held, turn a webhook off or on for a moment.
func (w *world) ask() {
	h := w.last()
	for range w.rnd.IntN(5) {
		do := [...]func(*hub, int){w.resend, w.resend, w.cancel, w.cancel, w.drop, w.toggle, w.toggle}[w.rnd.IntN(7)]
		at, which := time.Duration(w.rnd.IntN(10_000))*time.Millisecond, w.rnd.Int()
		w.people.busy.Go(func() {
			<-time.After(at)
			do(h, which)
		})
	}
}

// waits is an unfinished delivery.
func (w *world) waits(which int) (id string, ok bool) {
	rows := w.store.Rows()
	if len(rows) == 0 {
		return "", false
	}
	return rows[which%len(rows)].ID, true
}

// resend sends one again that waits or, half of the time, any that was sent.
func (w *world) resend(h *hub, which int) {
	id, ok := w.waits(which)
	if sent := w.seen(); which%2 == 0 && len(sent) > 0 {
		id, ok = sent[which%len(sent)].id, true
	}
	if ok {
		_ = h.service().Resend(w.t.Context(), "org", id) // it may be gone, or the store away
	}
}

func (w *world) cancel(h *hub, which int) {
	id, ok := w.waits(which)
	if !ok {
		return
	}
	p := &w.people
	p.mu.Lock()
	p.asked[id]++
	p.mu.Unlock()
	verdict, err := h.service().Cancel(w.t.Context(), "org", id, cancelledByHand)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err != nil:
	case verdict == dispatch.TooLate:
		p.tooLate[id]++
	case verdict == dispatch.Cancelled && p.cancelled[id].IsZero():
		p.cancelled[id] = time.Now()
	}
}

// someones is an endpoint that there still is.
func (w *world) someones(which int) (delivery.Endpoint, bool) {
	all := (&link{rig: w.rig}).Endpoints("org")
	if len(all) == 0 {
		return delivery.Endpoint{}, false
	}
	return all[which%len(all)], true
}

func (w *world) drop(h *hub, which int) {
	if ep, ok := w.someones(which); ok {
		_ = h.service().Drop(w.t.Context(), ep, droppedByHand)
	}
}

// toggle turns a webhook off, or on, for a moment.
func (w *world) toggle(_ *hub, which int) {
	ep, ok := w.someones(which)
	if !ok {
		return
	}
	for range 2 {
		w.change(ep.ID, func(e *delivery.Endpoint) { e.Enabled = !e.Enabled })
		<-time.After(time.Duration(which%3000) * time.Millisecond)
	}
}

// byHand reports whether people gave a delivery up.
func byHand(d delivery.Dropped) bool {
	return d.ReplayID == "" && (d.Reason == cancelledByHand || d.Reason == droppedByHand)
}

// checkPeople: what they were told is so.
func (w *world) checkPeople() {
	p := &w.people
	cancelled := make(map[string]bool)
	for _, d := range factsOf[delivery.Dropped](w.rig) {
		if d.Reason != cancelledByHand || d.ReplayID != "" {
			continue
		}
		cancelled[d.DeliveryID] = true
		// A verdict may be lost with the database's last commits, and be another then.
		if p.asked[d.DeliveryID] == p.tooLate[d.DeliveryID] && !w.crashed {
			w.t.Errorf("%s to %s was dropped as asked, and said to be too late for that", d.EventID, d.WebhookID)
		}
	}
	for _, s := range w.seen() {
		// A former owner that does not know yet sends what it has in memory.
		if at, ok := p.cancelled[s.id]; ok && cancelled[s.id] && s.replay == "" && s.at.After(at) && !w.replaced {
			w.t.Errorf("%s of %s was sent at %s, and cancelled by %s", s.id, s.entity, s.at, at)
		}
	}
}
