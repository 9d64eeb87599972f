package webhooks

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

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
	w.checkPeople()
	for _, a := range w.checkAccounts() {
		if a.Pending+a.Held+a.Behind > 0 || a.FilteredTotal() > a.Filtered[delivery.TooLate] {
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
	for _, id := range slices.Concat(w.endpoints, slices.Sorted(maps.Keys(w.deleted))) {
		w.archive.page = 500
		rec := w.reconcile(id, &w.archive)
		if rec.Difference() != 0 || rec.Unplanned != 0 {
			for _, d := range rec.Differences {
				w.t.Errorf("%s: of %s the log has:\n%s", d.EventID, d.DeliveryID, w.history(d.EventID, id))
			}
			w.t.Fatalf("%s: %+v", id, rec)
		}
		all = append(all, rec.Account)
	}
	return all
}

// history are the facts of what an event owes to a webhook, in the order of the log.
func (w *world) history(eventID, webhookID string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	var b strings.Builder
	for _, id := range w.order {
		if f := w.facts[id]; f.CausationID == eventID && f.Subject == webhookID {
			fmt.Fprintf(&b, "%s %s %s\n", w.factAt[id].Format(time.StampMilli), f.Type, f.Data)
		}
	}
	return b.String()
}

// place is that of a message in the order of its entity.
type place struct {
	sequence int64
	rank     int
}

func (a place) before(b place) bool {
	return a.sequence < b.sequence || a.sequence == b.sequence && a.rank < b.rank
}

// earlier are the places before one at a receiver.
func (w *world) earlier(url string, t place) []place {
	var all []place
	each := len(idsOf("", w.receiver(url)))
	for n := int64(1); n <= t.sequence; n++ {
		for rank := range each {
			if o := (place{n, rank}); o.before(t) {
				all = append(all, o)
			}
		}
	}
	return all
}

// receiver is the endpoint that had an address, as it was made.
func (w *world) receiver(url string) delivery.Endpoint {
	return w.settings[strings.TrimSuffix(strings.TrimPrefix(url, "https://"), ".example/hook")][0]
}

// checkOrder: no message of an entity arrives before the earlier ones arrived, were
// accounted for or were no longer waited for.
func (w *world) checkOrder() {
	type pair struct{ url, entity string }
	ended := make(map[pair]map[place]time.Time) // when each was first delivered or accounted for
	end := func(url, entity string, t place, at time.Time) {
		p := pair{url, entity}
		if ended[p] == nil {
			ended[p] = make(map[place]time.Time)
		}
		if before, ok := ended[p][t]; !ok || at.Before(before) {
			ended[p][t] = at
		}
	}
	for _, s := range w.seen() {
		ends := s.status == 200 && (s.replay == "" || strings.HasPrefix(s.replay, resendPrefix))
		if w.headOfLine > 0 && (w.crashed || w.replaced || w.killed) && s.replay == "" && s.status != 200 {
			ends = true // the fact that it is no longer waited for may be lost
		}
		if ends {
			end(s.url, s.entity, place{s.sequence, s.rank}, s.end)
		}
	}
	for id, at := range w.factAt {
		f := w.facts[id]
		if !strings.HasPrefix(string(f.Type), "delivery.") {
			continue
		}
		var a delivery.Attempted
		if w.decode(f.Data, &a); a.ReplayID != "" {
			continue
		}
		switch f.Type {
		case (delivery.Exhausted{}).EventType():
		case (delivery.Dropped{}).EventType():
			at = f.OccurredAt // what somebody cancels lets the next one go at once
		case (delivery.Attempted{}).EventType():
			if !strings.HasSuffix(a.Error, passedNote) {
				continue
			}
			at = a.StartedAt.Add(time.Duration(a.DurationMS * float64(time.Millisecond)))
		default:
			continue
		}
		end(w.settings[a.WebhookID][0].URL, a.EntityID, place{a.Sequence, a.Rank}, at)
	}
	w.checkReplayOrder()
	for _, s := range w.seen() {
		if s.replay != "" || w.unordered(s.url) {
			continue
		}
		for _, o := range w.earlier(s.url, place{s.sequence, s.rank}) {
			if at, ok := ended[pair{s.url, s.entity}][o]; !ok || at.After(s.at) {
				for i := o.sequence; i <= s.sequence; i++ {
					w.t.Logf("event %d:\n%s", i, w.history(fmt.Sprintf("%s#%d", s.entity, i), w.receiver(s.url).ID))
				}
				w.t.Fatalf("%s: message %d of event %d of %s was sent at %s, before %v ended (%s)", s.url, s.rank, s.sequence, s.entity, s.at, o, at)
			}
		}
	}
}

// unordered reports whether the order of entities was once given up for a receiver.
func (w *world) unordered(url string) bool {
	for _, all := range w.settings {
		if all[0].URL == url {
			return slices.ContainsFunc(all, func(e delivery.Endpoint) bool { return e.Ordering == "none" })
		}
	}
	return false
}

// checkReplayOrder: within a replay no message of an entity is sent after a later
// one had arrived by it, but for those that were under way when it died or that it
// no longer waits for.
func (w *world) checkReplayOrder() {
	arrived := make(map[string]place)
	sent := make(map[string]bool)
	for _, s := range w.seen() {
		if s.replay == "" || w.unordered(s.url) {
			continue
		}
		key := s.replay + s.url + s.entity
		at := place{s.sequence, s.rank}
		if !sent[key+s.id] && at.before(arrived[key]) {
			w.t.Fatalf("%s: replay %s sent %v of %s for the first time after %v", s.url, s.replay, at, s.entity, arrived[key])
		}
		sent[key+s.id] = true
		if s.status == 200 && arrived[key].before(at) {
			arrived[key] = at
		}
	}
	replays, err := w.store.Replays(w.t.Context(), "org", "", 1000)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, rp := range replays {
		if rp.State != dispatch.ReplayFinished && (!w.deleted[rp.EndpointID] || !rp.State.Ended()) {
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

// checkFacts: what a receiver took is a fact, and every delivery has an end: its own,
// or that somebody sent it again or gave it up.
func (w *world) checkFacts() {
	ends := make(map[string][]string)
	end := func(r delivery.Ref, how string) {
		if (r.ReplayID == "" || how == "delivered" && strings.HasPrefix(r.ReplayID, resendPrefix)) && !w.deleted[r.WebhookID] {
			ends[r.DeliveryID] = append(ends[r.DeliveryID], how)
		}
	}
	for _, a := range factsOf[delivery.Attempted](w.rig) {
		if a.Outcome == delivery.OutcomeDelivered && !slices.Contains(ends[a.DeliveryID], "delivered") {
			end(a.Ref, "delivered")
		}
	}
	for _, x := range factsOf[delivery.Exhausted](w.rig) {
		end(x.Ref, "exhausted")
	}
	for _, d := range factsOf[delivery.Dropped](w.rig) {
		if byHand(d) {
			end(d.Ref, "dropped")
		}
	}
	owed := 0
	for _, p := range w.log {
		for _, rec := range p {
			for name, e := range w.rig.endpoints {
				for rank, id := range idsOf(rec.ID, e) {
					owed++
					if len(ends[id]) == 0 {
						w.t.Errorf("message %d of %s to %s has no end in the log", rank, rec.ID, name)
						return
					}
				}
			}
		}
	}
	if len(ends) != owed {
		w.t.Errorf("%d deliveries ended, %d were owed", len(ends), owed)
	}
	w.checkDeleted()
}

// checkDeleted: what was begun for a webhook that was deleted has an end too.
func (w *world) checkDeleted() {
	ended := make(map[string]bool)
	for _, x := range factsOf[delivery.Exhausted](w.rig) {
		ended[x.DeliveryID] = true
	}
	for _, d := range factsOf[delivery.Dropped](w.rig) {
		ended[d.DeliveryID] = true
	}
	begun := make(map[string]delivery.Ref)
	for _, h := range factsOf[delivery.Held](w.rig) {
		begun[h.DeliveryID] = h.Ref
	}
	for _, a := range factsOf[delivery.Attempted](w.rig) {
		begun[a.DeliveryID] = a.Ref
		ended[a.DeliveryID] = ended[a.DeliveryID] || a.Outcome == delivery.OutcomeDelivered
	}
	for id, ref := range begun {
		if w.deleted[ref.WebhookID] && !ended[id] {
			w.t.Errorf("%s to %s, which was deleted, has no end in the log", ref.EventID, ref.WebhookID)
		}
	}
}
