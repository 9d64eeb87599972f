package webhooks

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// archive is what an accountant reads of a rig: the log's events, the facts of
// deliveries and the store's rows.
type archive struct {
	*rig
	// forgotten facts never came into the delivery log.
	forgotten map[string]bool
	// lag is how many facts the delivery log is behind.
	lag int64
	// page is how many events are read at once, 7 unless set.
	page int
	// read is how many facts are in outcome.
	read    int
	outcome map[string]map[string]projections.DeliveryOutcome
}

func (r *rig) accountant(a *archive) *Accountant {
	a.rig = r
	e, err := New(Config{
		Store: r.store, Directory: &link{rig: r}, Disabler: &link{rig: r}, Log: &link{rig: r}, Views: &link{rig: r}, Progress: &link{rig: r},
		Ends: a, Attempter: &link{rig: r}, Dialects: []Dialect{plain{plainProfile()}, threefold{plain{plainProfile()}, r}},
		StandardSign: func(Signers, string, time.Time, []byte) string { return "" },
		Decode:       decodeNothing,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	acc, err := NewAccountant(e, AccountantConfig{Log: a, Repeated: a, Planned: a, Versions: a, Ends: a, PageEvents: cmp.Or(a.page, 7)})
	if err != nil {
		r.t.Fatal(err)
	}
	return acc
}

// reconcile accounts for all that ever happened.
func (r *rig) reconcile(id string, a *archive) projections.Reconciliation {
	r.t.Helper()
	accountant := r.accountant(a)
	e, ok := r.endpoints[id]
	if !ok {
		var err error
		if e, ok, err = accountant.Former(r.t.Context(), "org", id); err != nil || !ok {
			r.t.Fatalf("no endpoint %s: %v", id, err)
		}
	}
	rec, err := accountant.Reconcile(r.t.Context(), e, time.Time{}, time.Now().Add(time.Hour), projections.EventMark{}, 100)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

func (a *archive) EventsBetween(_ context.Context, org string, topic event.Topic, since, until time.Time, after projections.EventMark, limit int) ([]event.Recorded, error) {
	if topic != event.Calls {
		return nil, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := make(map[string]bool)
	var all []event.Recorded
	for _, partition := range a.log {
		for _, r := range partition {
			if r.Org != org || seen[r.ID] || r.RecordedAt.Before(since) || !r.RecordedAt.Before(until) {
				continue
			}
			seen[r.ID] = true
			if after.Before(projections.MarkOf(r)) {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b event.Recorded) int {
		if projections.MarkOf(a).Before(projections.MarkOf(b)) {
			return -1
		}
		return 1
	})
	return all[:min(limit, len(all))], nil
}

func (a *archive) Repeated(_ context.Context, _ string, topic event.Topic, _, _ time.Time) (int64, error) {
	if topic != event.Calls {
		return 0, nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	seen := make(map[string]bool)
	var n int64
	for _, partition := range a.log {
		for _, r := range partition {
			if seen[r.ID] {
				n++
			}
			seen[r.ID] = true
		}
	}
	return n, nil
}

// outcomes reads the delivery log as its view does.
func (a *archive) outcomes(endpointID string) map[string]projections.DeliveryOutcome {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.outcome == nil {
		a.outcome = make(map[string]map[string]projections.DeliveryOutcome)
	}
	for ; a.read < len(a.order); a.read++ {
		id := a.order[a.read]
		e := a.facts[id]
		if !strings.HasPrefix(string(e.Type), "delivery.") || a.forgotten[id] {
			continue
		}
		if a.outcome[e.Subject] == nil {
			a.outcome[e.Subject] = make(map[string]projections.DeliveryOutcome)
		}
		a.tell(a.outcome[e.Subject], e)
	}
	return maps.Clone(a.outcome[endpointID])
}

func (a *archive) tell(all map[string]projections.DeliveryOutcome, e event.Event) {
	p, err := catalog.Decode(e.Type, e.Data)
	if err != nil {
		a.t.Fatal(err)
	}
	say := func(ref delivery.Ref, s delivery.Status, why string) {
		if ref.ReplayID != "" && s != delivery.Delivered {
			return // what became of the delivery itself counts
		}
		o, known := all[ref.DeliveryID]
		o.Replayed = ref.ReplayID != "" && (o.Replayed || !known)
		ended := o.Status == delivery.IsExhausted || o.Status == delivery.IsDropped
		if o.Status != delivery.Delivered && (!ended || s != delivery.Pending && s != delivery.IsHeld) {
			o.Status, o.Reason = s, why
		}
		all[ref.DeliveryID] = o
	}
	switch f := p.(type) {
	case delivery.Attempted:
		switch known := all[f.DeliveryID].Status; {
		case f.Outcome == delivery.OutcomeDelivered:
			say(f.Ref, delivery.Delivered, "")
		case f.NextAttemptAt != nil || known == "":
			say(f.Ref, delivery.Pending, "")
		}
		if f.ReplayID != "" {
			return
		}
		o := all[f.DeliveryID]
		o.Attempts, o.LastAttemptAt, o.Replayed = o.Attempts+1, f.StartedAt, false
		all[f.DeliveryID] = o
	case delivery.Exhausted:
		say(f.Ref, delivery.IsExhausted, f.LastError)
	case delivery.Held:
		say(f.Ref, delivery.IsHeld, f.Reason)
	case delivery.Dropped:
		say(f.Ref, delivery.IsDropped, f.Reason)
	}
}

func (a *archive) Outcomes(_ context.Context, _, webhookID string, wanted []projections.DeliveryKey) (map[string]projections.DeliveryOutcome, error) {
	all, found := a.outcomes(webhookID), make(map[string]projections.DeliveryOutcome)
	for _, k := range wanted {
		if o, ok := all[k.ID]; ok {
			found[k.ID] = o
		}
	}
	return found, nil
}

func (a *archive) LoggedBetween(_ context.Context, _, webhookID string, _, _ time.Time) (int64, error) {
	var n int64
	for _, o := range a.outcomes(webhookID) {
		if !o.Replayed {
			n++
		}
	}
	return n, nil
}

func (a *archive) Ends(_ context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error) {
	ends := make(map[event.Topic]map[int]int64)
	for _, t := range topics {
		ends[t] = map[int]int64{0: 1000}
	}
	return ends, nil
}

func (a *archive) Checkpoints(_ context.Context, model string) (map[event.Topic]map[int]int64, error) {
	read := make(map[event.Topic]map[int]int64)
	for _, t := range event.Topics() {
		read[t] = map[int]int64{0: 1000}
	}
	if model == projections.DeliveryLogName {
		read[event.Deliveries] = map[int]int64{0: 1000 - a.lag}
	}
	return read, nil
}

func (a *archive) Planned(context.Context) (map[dispatch.Partition]int64, error) {
	all := make(map[dispatch.Partition]int64)
	for p := range a.partitions {
		at := dispatch.Partition{Topic: event.Calls, ID: p}
		all[at] = a.store.Next(at)
	}
	return all, nil
}

func (a *archive) Parts(ctx context.Context, replayID string) ([]dispatch.ReplayPart, error) {
	return a.store.Parts(ctx, replayID)
}

func (a *archive) Rows(_ context.Context, ids []string) (rows, again map[string]delivery.Status, err error) {
	rows, again = make(map[string]delivery.Status), make(map[string]delivery.Status)
	for _, o := range a.store.Rows() {
		switch {
		case !slices.Contains(ids, o.ID):
		case o.ReplayID == "":
			rows[o.ID] = o.Status
		default:
			again[o.ID] = o.Status
		}
	}
	return rows, again, nil
}

func (a *archive) Versions(_ context.Context, id string) ([]delivery.Endpoint, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.settings[id]), nil
}
