package webhooks

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// planner turns events into what is owed. It writes nothing, and the same
// events, views and endpoints give the same deliveries.
type planner struct {
	cfg      Config
	dialects map[string]Dialect
	previous *previous
	leads    *leadCache
	leadEnds *sharedEnds
}

func newPlanner(cfg Config, dialects map[string]Dialect) *planner {
	return &planner{
		cfg: cfg, dialects: dialects, previous: newPrevious(),
		leads: &leadCache{}, leadEnds: newSharedEnds(cfg.Ends, event.Leads),
	}
}

// takes reports whether an event is owed to an endpoint, as far as the time and
// the place of the event tell.
type takes func(delivery.Endpoint, event.Recorded) bool

// plan returns what is owed for each event of one partition. What was
// acknowledged before the events can be seen in it (causal reads).
func (p *planner) plan(ctx context.Context, f *projections.Follower, batch []event.Recorded, tick int64, takes takes) ([][]dispatch.Owed, error) {
	endpoints := make(map[string][]delivery.Endpoint)
	wanted := make([]bool, len(batch))
	for i, r := range batch {
		list, ok := endpoints[r.Org]
		if !ok {
			list = p.receivers(r.Org, batch)
			endpoints[r.Org] = list
		}
		wanted[i] = len(list) > 0
	}
	views, err := p.states(ctx, f, batch, wanted, tick)
	if err != nil {
		return nil, err
	}
	plan := make([][]dispatch.Owed, len(batch))
	for i, v := range views {
		if v.Version == 0 || batch[i].Origin == event.OriginBackfill {
			continue
		}
		if v.Version == 1 {
			p.previous.put("", v.Event.Subject, 1)
		}
		if plan[i], err = p.owed(ctx, v, endpoints[v.Event.Org], takes); err != nil {
			return nil, err
		}
	}
	return plan, nil
}

// receivers are the endpoints of an org, and those that were deleted after the
// first event of a batch: a planner that is behind, or begins again after a crash,
// finds events that were owed to them.
func (p *planner) receivers(org string, batch []event.Recorded) []delivery.Endpoint {
	list, deleted := p.cfg.Directory.Endpoints(org), p.cfg.Directory.Deleted(org)
	if len(deleted) == 0 {
		return list
	}
	first := slices.MinFunc(batch, func(a, b event.Recorded) int { return a.RecordedAt.Compare(b.RecordedAt) }).RecordedAt
	list = slices.Clone(list)
	for _, e := range deleted {
		if first.Before(e.DeletedAt) {
			list = append(list, e)
		}
	}
	return list
}

// during reports whether an event came late enough to be owed to an endpoint, and
// before it was deleted.
func during(e delivery.Endpoint, r event.Recorded) bool {
	return since(e, r) && (e.DeletedAt.IsZero() || r.RecordedAt.Before(e.DeletedAt))
}

// since reports whether an event came late enough to be owed to an endpoint.
func since(e delivery.Endpoint, r event.Recorded) bool {
	from := e.StartFrom
	if from.IsZero() {
		from = e.CreatedAt
	}
	return !r.RecordedAt.Before(event.Time(from))
}

// complete adds what only the directory and the hub itself know.
func (p *planner) complete(v *delivery.View) {
	if v.Version == 0 {
		return
	}
	if v.OrgID == "" {
		v.OrgID = v.Event.Org
	}
	if v.OrgName == "" {
		v.OrgName = p.cfg.Directory.OrgName(v.OrgID)
	}
	if id := listOf(*v); id != "" && v.ListName == "" {
		v.ListName = p.cfg.Directory.ListName(v.OrgID, id)
	}
	p.recording(v)
}

// recording fills in where a call's recording can be fetched: from us, else
// from where its source said.
func (p *planner) recording(v *delivery.View) {
	if v.Call == nil || v.Call.Recording == nil || v.RecordingURL != "" {
		return
	}
	if p.cfg.Recording != nil {
		v.RecordingURL, v.RecordingExpires = p.cfg.Recording(*v)
		return
	}
	v.RecordingURL = v.Call.Recording.URL
	if at := v.Call.Recording.ExpiresAt; at != nil {
		v.RecordingExpires = *at
	}
}

// owed returns the deliveries of one event.
func (p *planner) owed(ctx context.Context, v delivery.View, endpoints []delivery.Endpoint, takes takes) ([]dispatch.Owed, error) {
	var (
		all  []dispatch.Owed
		last []byte
		data fields
	)
	for _, e := range endpoints {
		if !takes(e, v.Event) {
			continue
		}
		messages, err := p.render(v, e, &data)
		if err != nil {
			all = append(all, p.unrenderable(v, e, err))
			continue
		}
		if len(messages) == 0 {
			continue
		}
		if !e.DeletedAt.IsZero() {
			all = append(all, p.orphans(v, e, messages)...)
			continue
		}
		before, err := p.before(ctx, v, e)
		if err != nil {
			return nil, err
		}
		for rank, m := range messages {
			if bytes.Equal(m.Body, last) {
				// Endpoints of one dialect get the same bytes: keep them once.
				m.Body = last
			}
			last = m.Body
			o := p.frame(v, e)
			o.ID, o.Rank = delivery.ID(v.Event.ID, e.ID, m.Part), rank
			o.Name, o.Headers, o.Body, o.Previous = m.Name, m.Headers, m.Body, before
			if e.Ordering == "none" {
				o.OrderKey = o.ID
			}
			all = append(all, o)
		}
		p.previous.put(e.ID, v.Event.Subject, v.Version)
	}
	return all, nil
}

// render makes the messages that an event makes for an endpoint: none, unless
// its list and its filter let it through and it subscribed to them.
func (p *planner) render(v delivery.View, e delivery.Endpoint, data *fields) ([]delivery.Message, error) {
	messages, _, err := p.judge(v, e, data)
	return messages, err
}

// judge is render that says why there is no message.
func (p *planner) judge(v delivery.View, e delivery.Endpoint, data *fields) ([]delivery.Message, delivery.Reason, error) {
	d := p.dialects[e.Dialect]
	switch {
	case d == nil:
		return nil, delivery.NothingToSay, nil
	case e.ListID != "" && listOf(v) != e.ListID:
		return nil, delivery.OtherList, nil
	case !concerns(v, e.Number):
		return nil, delivery.OtherNumber, nil
	case !data.match(v.Event.Data, e.Filter):
		return nil, delivery.Unmatched, nil
	}
	messages, err := d.Render(v, e)
	switch {
	case err != nil:
		return nil, "", err
	case len(messages) == 0:
		return nil, delivery.NothingToSay, nil
	}
	kept := messages[:0]
	for _, m := range messages {
		if e.Wants(m.Name) {
			kept = append(kept, m)
		}
	}
	if len(kept) == 0 {
		return nil, delivery.NotSubscribed, nil
	}
	return kept, "", nil
}

// frame is what all deliveries of an event to an endpoint share.
func (p *planner) frame(v delivery.View, e delivery.Endpoint) dispatch.Owed {
	now := event.Time(p.cfg.Clock())
	r := v.Event
	return dispatch.Owed{
		Delivery: delivery.Delivery{
			Org: r.Org, EndpointID: e.ID, EventID: r.ID, EventType: r.Type,
			Topic: r.Position.Topic, Partition: r.Position.Partition, Offset: r.Position.Offset,
			EntityID: r.Subject, EventAt: event.Time(r.RecordedAt), Dialect: e.Dialect, Sequence: v.Version,
			Status: delivery.Pending, NextAttemptAt: now, CreatedAt: now,
		},
		OrderKey: r.Subject, CorrelationID: r.CorrelationID,
	}
}

// unrenderable accounts for an event that a dialect could not express.
func (p *planner) unrenderable(v delivery.View, e delivery.Endpoint, err error) dispatch.Owed {
	o := p.frame(v, e)
	o.ID = delivery.ID(v.Event.ID, e.ID, "")
	o.Status, o.LastError = delivery.IsDropped, delivery.Plain(delivery.Unrenderable+": "+err.Error())
	return o
}

// orphans accounts for what an endpoint was owed that is gone.
func (p *planner) orphans(v delivery.View, e delivery.Endpoint, messages []delivery.Message) []dispatch.Owed {
	all := make([]dispatch.Owed, len(messages))
	for rank, m := range messages {
		o := p.frame(v, e)
		o.ID, o.Rank, o.Name = delivery.ID(v.Event.ID, e.ID, m.Part), rank, m.Name
		o.Status, o.LastError = delivery.IsDropped, delivery.EndpointDeleted
		all[rank] = o
	}
	return all
}

// listOf is the list that an event belongs to: the call's, else its lead's.
func listOf(v delivery.View) string {
	switch {
	case v.Call != nil && v.Call.ListID != "":
		return v.Call.ListID
	case v.Call != nil && v.CallLead != nil && v.CallLead.ListID != nil:
		return *v.CallLead.ListID
	case v.Lead != nil && v.Lead.ListID != nil:
		return *v.Lead.ListID
	}
	return ""
}

// fields are the top-level fields of an event's data, read when first asked.
type fields struct {
	read   bool
	values map[string]json.RawMessage
}

// match reports whether each field has the value: as a string, or as the JSON
// text of anything else.
func (f *fields) match(data []byte, filter map[string]string) bool {
	if len(filter) == 0 {
		return true
	}
	if !f.read {
		f.read = true
		_ = json.Unmarshal(data, &f.values) // what is no object has no fields
	}
	for name, want := range filter {
		raw, ok := f.values[name]
		if !ok {
			return false
		}
		var s string
		if json.Unmarshal(raw, &s) == nil && s == want {
			continue
		}
		if string(raw) != want {
			return false
		}
	}
	return true
}

// before returns the sequence of what was owed to the endpoint last for this
// entity: what we planned, else what the entity's history says.
func (p *planner) before(ctx context.Context, v delivery.View, e delivery.Endpoint) (int64, error) {
	if n, ok := p.previous.get(e.ID, v.Event.Subject); ok && n < v.Version {
		return n, nil
	}
	if v.Version <= 1 || p.cfg.Earlier == nil {
		return 0, nil
	}
	if _, fromBirth := p.previous.get("", v.Event.Subject); fromBirth {
		// We have planned all of its events: none was owed to this endpoint.
		return 0, nil
	}
	for version, few := v.Version, 64; version > 1; version, few = version-int64(few), min(4*few, 1024) {
		events, err := p.earlier(ctx, v.Event, version, few)
		if err != nil {
			return 0, err
		}
		candidates := slices.DeleteFunc(slices.Clone(events), func(r event.Recorded) bool {
			return r.Origin == event.OriginBackfill || !since(e, r)
		})
		found, err := p.lastOwed(ctx, candidates, v.Version, e)
		if found > 0 || err != nil {
			return found, err
		}
		if len(events) == 0 || !since(e, events[0]) {
			break
		}
	}
	return 0, nil
}

// earlier returns a page of the past of an event's entity.
func (p *planner) earlier(ctx context.Context, e event.Recorded, version int64, few int) (events []event.Recorded, err error) {
	below := e.Position
	below.Offset--
	err = projections.Reach(ctx, p.cfg.Progress, []event.Position{below}, func() error {
		events, err = p.cfg.Earlier.Earlier(ctx, e, version, few)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the history of an entity: %w", err)
	}
	return events, nil
}

// lastOwed is the highest version below one that events made and that an
// endpoint gets something for; 0 for none.
func (p *planner) lastOwed(ctx context.Context, events []event.Recorded, below int64, e delivery.Endpoint) (int64, error) {
	if len(events) == 0 {
		return 0, nil
	}
	views, err := p.views(ctx, events)
	if err != nil {
		return 0, err
	}
	for _, v := range slices.Backward(views) {
		if v.Version == 0 || v.Version >= below {
			continue
		}
		if m, err := p.render(v, e, new(fields)); err == nil && len(m) > 0 {
			return v.Version, nil
		}
	}
	return 0, nil
}

// previousSize bounds each of the two halves of the memory of sequences.
const previousSize = 20_000

// previous remembers the last sequence by endpoint and entity, and under no
// endpoint the entities whose first event we planned. It keeps the recent ones
// only: when a half is full it becomes the old half. Names are kept as 64 bits of
// a hash, so that there is nothing in it for the collector of garbage to follow.
type previous struct {
	mu         sync.Mutex
	seed       maphash.Seed
	fresh, old map[uint64]int64
}

func newPrevious() *previous {
	return &previous{seed: maphash.MakeSeed(), fresh: make(map[uint64]int64)}
}

func (p *previous) key(endpointID, entity string) uint64 {
	return maphash.Comparable(p.seed, [2]string{endpointID, entity})
}

func (p *previous) get(endpointID, entity string) (int64, bool) {
	k := p.key(endpointID, entity)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n, ok := p.fresh[k]; ok {
		return n, true
	}
	n, ok := p.old[k]
	return n, ok
}

func (p *previous) put(endpointID, entity string, sequence int64) {
	k := p.key(endpointID, entity)
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.fresh) >= previousSize {
		p.old, p.fresh = p.fresh, make(map[uint64]int64, previousSize)
	}
	p.fresh[k] = sequence
}
