package webhooks

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// books are the work on one account.
type books struct {
	*Accountant
	org, id string
	// catchesUp: a replay plans for the endpoint up to where the owners take over.
	catchesUp bool
	// gone: the endpoint was deleted. What nothing has planned yet will be dropped, or
	// will never be planned, when it was catching up.
	gone         bool
	versions     []delivery.Endpoint
	since, until time.Time
	after        projections.EventMark
	limit        int
	// patience is what is left of it.
	patience time.Duration
	// logged counts the deliveries that were found in the delivery log.
	logged int64
	// last is the mark of the last difference listed.
	last projections.EventMark
	out  projections.Reconciliation
}

func (b *books) run(ctx context.Context) error {
	analytics, err := b.catchUp(ctx, projections.AnalyticsName, event.PublicTopics()...)
	if err != nil {
		return err
	}
	known, err := b.cfg.Log.LoggedBetween(ctx, b.org, b.id, b.since, b.until)
	if err != nil {
		return fmt.Errorf("counting what the delivery log knows: %w", err)
	}
	for _, topic := range event.PublicTopics() {
		n, err := b.cfg.Repeated.Repeated(ctx, b.org, topic, b.since, b.until)
		if err != nil {
			return fmt.Errorf("counting repeats in %s: %w", topic, err)
		}
		if n > 0 {
			b.out.Filter(delivery.Duplicate, n)
		}
		mark := projections.EventMark{Topic: topic}
		for {
			events, err := b.cfg.Log.EventsBetween(ctx, b.org, topic, b.since, b.until, mark, b.cfg.PageEvents)
			if err != nil {
				return fmt.Errorf("reading the events of %s: %w", topic, err)
			}
			if len(events) > 0 {
				if err := b.page(ctx, events); err != nil {
					return err
				}
				mark = projections.MarkOf(events[len(events)-1])
			}
			if len(events) < b.cfg.PageEvents {
				break
			}
		}
	}
	if analytics == 0 { // else its event may only be missing
		b.out.Unplanned = max(0, known-b.logged)
	}
	deliveries, err := b.catchUp(ctx, projections.DeliveryLogName, event.Deliveries)
	if err != nil {
		return err
	}
	b.out.ReadModels = []projections.Lag{
		{Name: projections.AnalyticsName, Events: analytics}, {Name: projections.DeliveryLogName, Events: deliveries},
	}
	return nil
}

// catchUp waits until a read model has what the log has now, as long as there
// is patience, and returns how many events it is behind.
func (b *books) catchUp(ctx context.Context, model string, topics ...event.Topic) (int64, error) {
	began := time.Now()
	behind, err := projections.CatchUp(ctx, b.patience, b.cfg.Ends, b.cfg.Log, model, topics...)
	b.patience -= time.Since(began)
	return behind, err
}

// owedPair is an event with the deliveries that it should have made.
type owedPair struct {
	event.Recorded
	ids []string
	// whole is the delivery that stands for all of them if none could be rendered.
	whole string
	// excuse is why it may not have been owed when it was planned; empty if there
	// is none. It counts only where there is no trace of a delivery.
	excuse delivery.Reason
}

// pageTime bounds a page: the planner waits for read models, which may stand
// still.
const pageTime = time.Minute

// page accounts for a page of events of one topic.
func (b *books) page(ctx context.Context, events []event.Recorded) error {
	ctx, cancel := context.WithTimeout(ctx, pageTime)
	defer cancel()
	views, err := b.planner.views(ctx, events)
	if err != nil {
		return err
	}
	var pairs []owedPair
	for _, v := range views {
		ids, why := b.owed(v)
		if len(ids) == 0 {
			b.out.Filter(why, 1)
			continue
		}
		pairs = append(pairs, owedPair{v.Event, ids, delivery.ID(v.Event.ID, b.id, ""), why})
	}
	if len(pairs) == 0 {
		return nil
	}
	found, err := b.look(ctx, pairs)
	if err != nil {
		return err
	}
	var missing []owedPair
	for _, p := range pairs {
		if s, _ := p.stands(found); s == delivery.IsLost {
			missing = append(missing, p)
		}
	}
	if len(missing) > 0 {
		if err := b.lookAgain(ctx, missing, found); err != nil {
			return err
		}
	}
	for _, p := range pairs {
		b.count(p, found)
	}
	return nil
}

// settingsSlack is how long after a change of an endpoint's settings an event
// may be planned by either, since events are planned after they are recorded;
// newSlack is how long a new endpoint may not be known to every hub, which is
// how long a change waits for them.
const (
	settingsSlack = time.Minute
	newSlack      = 2 * time.Second
)

// owed plans an event anew, as the endpoint was set when it was recorded. It
// returns the deliveries that it makes, and why it makes none, or may have made
// none: the settings had just been changed, or were about to be.
func (b *books) owed(v delivery.View) (ids []string, why delivery.Reason) {
	for _, e := range b.valid(v.Event.RecordedAt) {
		made, reason := b.owedAs(v, e)
		if len(made) > 0 {
			ids = made
		}
		if reason != "" {
			why = reason
		}
	}
	if first := b.versions[0]; first.StartFrom.IsZero() && v.Event.RecordedAt.Before(first.CreatedAt.Add(newSlack)) {
		why = cmp.Or(why, delivery.TooEarly)
	}
	return ids, why
}

// valid are the settings by which an event may have been planned.
func (b *books) valid(at time.Time) []delivery.Endpoint {
	first, last := 0, 0
	for i, e := range b.versions {
		if !e.UpdatedAt.After(at.Add(-settingsSlack)) {
			first = i
		}
		if !e.UpdatedAt.After(at.Add(settingsSlack)) {
			last = i
		}
	}
	return b.versions[first : last+1]
}

func (b *books) owedAs(v delivery.View, e delivery.Endpoint) ([]string, delivery.Reason) {
	switch {
	case v.Event.Origin == event.OriginBackfill:
		return nil, delivery.Backfilled
	case !since(e, v.Event):
		return nil, delivery.TooEarly
	case !during(e, v.Event):
		return nil, delivery.TooLate
	case v.Version == 0:
		return nil, delivery.SetAside
	}
	messages, why, err := b.planner.judge(v, e, new(fields))
	if err != nil {
		return []string{delivery.ID(v.Event.ID, b.id, "")}, "" // it was dropped for that
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = delivery.ID(v.Event.ID, b.id, m.Part)
	}
	return ids, why
}

// found is what was found of a delivery.
type found struct {
	// status is where it stands, IsLost if nothing says where.
	status delivery.Status
	// why is the reason of a dropped one; known says what there is of a lost one.
	why, known string
	// logged: the delivery log knows it; own: not by replays only, so it counts among
	// what LoggedBetween counts.
	logged, own bool
}

// look finds deliveries. What is planned is read before what is unfinished, and
// that before the delivery log: a delivery that leaves the one is in the next.
func (b *books) look(ctx context.Context, pairs []owedPair) (map[string]found, error) {
	planned, err := b.planned(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading what is planned: %w", err)
	}
	var ids []string
	var keys []projections.DeliveryKey
	for _, p := range pairs {
		for _, id := range p.all() {
			ids = append(ids, id)
			keys = append(keys, projections.DeliveryKey{ID: id, EventAt: p.RecordedAt})
		}
	}
	rows, again, err := b.cfg.Planned.Rows(ctx, ids)
	if err != nil {
		return nil, fmt.Errorf("reading what is unfinished: %w", err)
	}
	logged, err := b.cfg.Log.Outcomes(ctx, b.org, b.id, keys)
	if err != nil {
		return nil, fmt.Errorf("reading the delivery log: %w", err)
	}
	all := make(map[string]found, len(ids))
	for _, p := range pairs {
		next, ok := planned[dispatch.Partition{Topic: p.Position.Topic, ID: p.Position.Partition}]
		waits := !ok || p.Position.Offset >= next
		for _, id := range p.all() {
			f := stand(logged, rows, again, id, waits)
			if _, unfinished := rows[id]; f.status == delivery.Pending && b.gone && !unfinished {
				f = found{status: delivery.IsDropped, why: delivery.EndpointDeleted}
			}
			var o projections.DeliveryOutcome
			o, f.logged = logged[id]
			f.own = f.logged && !o.Replayed
			all[id] = f
		}
		p.shareDrop(all)
	}
	return all, nil
}

// all are the deliveries that a pair may have made.
func (p owedPair) all() []string {
	if slices.Contains(p.ids, p.whole) {
		return p.ids
	}
	return append(slices.Clone(p.ids), p.whole)
}

// droppedWhole reports whether no message could be made of the event when it was
// planned, though they can by now.
func (p owedPair) droppedWhole(all map[string]found) bool {
	f := all[p.whole]
	return f.status == delivery.IsDropped && strings.HasPrefix(f.why, delivery.Unrenderable)
}

// shareDrop lets what is known of nothing else stand where the whole event does.
func (p owedPair) shareDrop(all map[string]found) {
	if !p.droppedWhole(all) {
		return
	}
	for _, id := range p.ids {
		if f := all[id]; f.status == delivery.IsLost && !f.logged {
			all[id] = found{status: delivery.IsDropped, why: all[p.whole].why}
		}
	}
}

// planned is up to where each partition is planned for the endpoint.
func (b *books) planned(ctx context.Context) (map[dispatch.Partition]int64, error) {
	planned, err := b.cfg.Planned.Planned(ctx)
	if err != nil || !b.catchesUp {
		return planned, err
	}
	parts, err := b.cfg.Planned.Parts(ctx, dispatch.StartID(b.id))
	if err != nil {
		return nil, err
	}
	come := make(map[dispatch.Partition]int64)
	for p, next := range planned {
		i := slices.IndexFunc(parts, func(part dispatch.ReplayPart) bool { return part.Partition == p })
		switch {
		case i < 0: // it has not begun
		case parts[i].State == dispatch.PartDone:
			come[p] = next
		default:
			come[p] = min(next, parts[i].Next)
		}
	}
	return come, nil
}

// stand says where a delivery stands. unplanned says that its event is not
// planned yet; again has what only a replay owes, which counts where there is nothing
// else: of what could not be rendered a recovery may make several.
func stand(logged map[string]projections.DeliveryOutcome, rows, again map[string]delivery.Status, id string, unplanned bool) found {
	o, inLog := logged[id]
	row, waits := rows[id]
	replayed, waitsAgain := again[id]
	switch {
	case inLog && o.Status == delivery.Delivered:
		return found{status: delivery.Delivered}
	case waits:
		return found{status: row}
	case inLog && (o.Status == delivery.IsExhausted || o.Status == delivery.IsDropped):
		return found{status: o.Status, why: o.Reason}
	case unplanned:
		return found{status: delivery.Pending}
	case waitsAgain:
		return found{status: replayed}
	case !inLog:
		return found{status: delivery.IsLost, known: "the event is planned, the delivery is not among the unfinished ones, and the delivery log has nothing of it"}
	case o.Status == delivery.IsHeld:
		return found{status: delivery.IsLost, known: "the delivery log says that it is held, and it is not among the unfinished ones"}
	}
	return found{status: delivery.IsLost, known: fmt.Sprintf("the delivery log has %d attempts, the last at %s, and it is not among the unfinished ones",
		o.Attempts, o.LastAttemptAt.UTC().Format(time.RFC3339))}
}

// lookAgain tells what is lost from what the delivery log has not read yet.
func (b *books) lookAgain(ctx context.Context, missing []owedPair, all map[string]found) error {
	lag, err := b.catchUp(ctx, projections.DeliveryLogName, event.Deliveries)
	if err != nil {
		return err
	}
	again, err := b.look(ctx, missing)
	if err != nil {
		return err
	}
	for id, f := range again {
		if f.status == delivery.IsLost && lag > 0 {
			f.status = delivery.Unknown
		}
		all[id] = f
	}
	return nil
}

// stands is where the pair stands, and the delivery that says so.
func (p owedPair) stands(all map[string]found) (delivery.Status, string) {
	statuses := make([]delivery.Status, len(p.ids))
	for i, id := range p.ids {
		statuses[i] = all[id].status
	}
	worst := delivery.Worst(statuses...)
	for _, id := range p.ids {
		if all[id].status == worst {
			return worst, id
		}
	}
	return worst, ""
}

// traced reports whether the delivery log knows anything of the pair.
func (p owedPair) traced(all map[string]found) bool {
	return slices.ContainsFunc(p.ids, func(id string) bool { return all[id].logged })
}

func (b *books) count(p owedPair, all map[string]found) {
	status, id := p.stands(all)
	if status == delivery.IsLost && p.excuse != "" && !p.traced(all) {
		b.out.Filter(p.excuse, 1)
		return
	}
	b.out.Owe(status, all[id].why)
	for _, id := range p.all() {
		if all[id].own && (id != p.whole || slices.Contains(p.ids, id) || p.droppedWhole(all)) {
			b.logged++
		}
	}
	mark := projections.MarkOf(p.Recorded)
	if status != delivery.IsLost || !b.after.Before(mark) {
		return
	}
	if len(b.out.Differences) == b.limit {
		b.out.Next = b.last
		return
	}
	b.last = mark
	b.out.Differences = append(b.out.Differences, projections.Difference{
		EventID: p.ID, EventType: p.Type, EntityID: p.Subject, RecordedAt: p.RecordedAt, Position: p.Position, DeliveryID: id, Known: all[id].known,
	})
}
