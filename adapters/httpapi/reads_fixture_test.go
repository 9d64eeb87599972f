package httpapi_test

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// newReading is an API whose reads fold the log anew each time.
func newReading(t testing.TB, change func(*httpapi.Config)) *api {
	t.Helper()
	return newAPI(t, func(a *api, cfg *httpapi.Config) {
		cfg.Reads, cfg.Feed, cfg.Phones = logReads{a.log}, logFeed{a.log}, phone.Numbers{}
		if change != nil {
			change(cfg)
		}
	})
}

// record appends a fact of an org, n seconds after noon.
func (a *api) record(org, subject string, n int, p event.Payload) event.Position {
	a.t.Helper()
	at := noon.Add(time.Duration(n) * time.Second)
	e, err := event.New(event.Envelope{
		ID: fmt.Sprintf("e-%s-%s-%d", org, subject, n), Org: org, Subject: subject, Source: "api", Actor: "key/1",
		OccurredAt: at.Add(-time.Minute), RecordedAt: at,
	}, p)
	if err != nil {
		a.t.Fatal(err)
	}
	positions, err := a.log.Append(context.Background(), e)
	if err != nil {
		a.t.Fatal(err)
	}
	return positions[0]
}

// logReads answers by folding the log.
type logReads struct{ log *memory.Log }

// fold folds the events of an org that include lets through, by entity, in the
// order in which they were seen first.
func fold[S any, P interface {
	*S
	event.Entity
}](log *memory.Log, topic event.Topic, org string, include func(httpapi.Past) bool) ([]httpapi.Item[S], error) {
	var items []*httpapi.Item[S]
	byID := map[string]*httpapi.Item[S]{}
	seen := map[string]int64{}
	events := log.Events(topic)
	slices.SortStableFunc(events, func(a, b event.Recorded) int { return a.RecordedAt.Compare(b.RecordedAt) })
	for _, e := range events {
		if e.Org != org {
			continue
		}
		seen[e.Subject]++
		if include != nil && !include(httpapi.Past{Recorded: e, Version: seen[e.Subject]}) {
			continue
		}
		item, ok := byID[e.Subject]
		if !ok {
			item = new(httpapi.Item[S])
			byID[e.Subject] = item
			items = append(items, item)
		}
		if err := catalog.Apply(P(&item.State), e); err != nil {
			return nil, err
		}
		item.Version, item.Position = seen[e.Subject], e.Position
	}
	out := make([]httpapi.Item[S], 0, len(items))
	for _, i := range items {
		out = append(out, *i)
	}
	return out, nil
}

// one is the only item that is wanted.
func one[S any](items []httpapi.Item[S], err error, wanted func(S) bool) (httpapi.Item[S], error) {
	i := slices.IndexFunc(items, func(i httpapi.Item[S]) bool { return wanted(i.State) })
	if err != nil || i < 0 {
		return httpapi.Item[S]{}, cmp.Or(err, error(projections.ErrNotFound))
	}
	return items[i], nil
}

// cut is a page of what is wanted, the newest first.
func cut[T any](items []T, err error, p httpapi.Page, wanted func(T) bool) (httpapi.List[T], error) {
	if err != nil {
		return httpapi.List[T]{}, err
	}
	items = slices.DeleteFunc(slices.Clone(items), func(t T) bool { return !wanted(t) })
	slices.Reverse(items)
	return pageOf(items, p)
}

func pageOf[T any](items []T, p httpapi.Page) (httpapi.List[T], error) {
	from := 0
	if p.Cursor != "" {
		n, err := strconv.Atoi(strings.TrimPrefix(p.Cursor, "c"))
		if err != nil || n > len(items) || n < 0 {
			return httpapi.List[T]{}, projections.ErrCursor
		}
		from = n
	}
	to := min(from+p.Limit, len(items))
	l := httpapi.List[T]{Items: items[from:to]}
	if to < len(items) {
		l.Next = "c" + strconv.Itoa(to)
	}
	return l, nil
}

func matches2(have, want string) bool { return want == "" || have == want }

func text(p *string) string {
	if p == nil {
		return ""
	}
	return *p
}

func (l logReads) Lead(_ context.Context, org, id string) (httpapi.Item[lead.Lead], error) {
	items, err := fold[lead.Lead](l.log, event.Leads, org, nil)
	return one(items, err, func(s lead.Lead) bool { return s.ID == id })
}

func (l logReads) Leads(_ context.Context, org string, f httpapi.LeadFilter, p httpapi.Page) (httpapi.List[httpapi.Item[lead.Lead]], error) {
	items, err := fold[lead.Lead](l.log, event.Leads, org, nil)
	return cut(items, err, p, func(i httpapi.Item[lead.Lead]) bool {
		return matches2(i.State.Phone, f.Phone) && matches2(text(i.State.ListID), f.ListID) && strings.HasPrefix(text(i.State.Name), f.Query)
	})
}

func (l logReads) call(org, id string, include func(httpapi.Past) bool) (httpapi.Item[call.Call], error) {
	items, err := fold[call.Call](l.log, event.Calls, org, include)
	return one(items, err, func(s call.Call) bool { return s.ID == id })
}

func (l logReads) Call(_ context.Context, org, id string) (httpapi.Item[call.Call], error) {
	return l.call(org, id, nil)
}

func (l logReads) Calls(_ context.Context, org string, f httpapi.CallFilter, p httpapi.Page) (httpapi.List[httpapi.Item[call.Call]], error) {
	items, err := fold[call.Call](l.log, event.Calls, org, nil)
	return cut(items, err, p, func(i httpapi.Item[call.Call]) bool {
		c := i.State
		id := ""
		if c.Agent != nil {
			id = c.Agent.ID
		}
		began := time.Time{}
		if c.StartedAt != nil {
			began = *c.StartedAt
		}
		return matches2(c.From, f.From) && matches2(c.To, f.To) && (f.Phone == "" || c.From == f.Phone || c.To == f.Phone) &&
			matches2(id, f.Agent) && matches2(c.Disposition, f.Disposition) && matches2(c.Campaign, f.Campaign) &&
			!began.Before(f.Since) && (f.Until.IsZero() || began.Before(f.Until))
	})
}

func (l logReads) CallAsOf(_ context.Context, org, id string, at time.Time, b httpapi.Basis) (httpapi.Item[call.Call], error) {
	return l.call(org, id, func(p httpapi.Past) bool {
		if b == projections.ByOccurred {
			return !p.OccurredAt.After(at)
		}
		return !p.RecordedAt.After(at)
	})
}

func (l logReads) CallVersion(_ context.Context, org, id string, n int64) (httpapi.Item[call.Call], error) {
	item, err := l.call(org, id, func(p httpapi.Past) bool { return p.Version <= n })
	if err == nil && item.Version != n {
		return item, projections.ErrNotFound
	}
	return item, err
}

func (l logReads) History(_ context.Context, org string, topic event.Topic, id string, p httpapi.Page) (httpapi.List[httpapi.Past], error) {
	var past []httpapi.Past
	for _, e := range l.log.Events(topic) {
		if e.Org == org && e.Subject == id {
			past = append(past, httpapi.Past{Recorded: e, Version: int64(len(past) + 1)})
		}
	}
	if past == nil {
		return httpapi.List[httpapi.Past]{}, projections.ErrNotFound
	}
	return pageOf(past, p)
}

func (l logReads) Agent(_ context.Context, org, id string) (httpapi.Item[agent.Agent], error) {
	items, err := fold[agent.Agent](l.log, event.Agents, org, nil)
	return one(items, err, func(s agent.Agent) bool { return s.ID == id })
}

func (l logReads) Agents(_ context.Context, org string, p httpapi.Page) (httpapi.List[httpapi.Item[agent.Agent]], error) {
	items, err := fold[agent.Agent](l.log, event.Agents, org, nil)
	return cut(items, err, p, func(httpapi.Item[agent.Agent]) bool { return true })
}

func (l logReads) AgentStates(_ context.Context, org, id string, p httpapi.Page) (httpapi.List[httpapi.AgentState], error) {
	var states []httpapi.AgentState
	var a agent.Agent
	for _, e := range l.log.Events(event.Agents) {
		if e.Org != org || e.Subject != id {
			continue
		}
		before := a.Seq
		if err := catalog.Apply(&a, e); err != nil {
			return httpapi.List[httpapi.AgentState]{}, err
		}
		if a.Seq == before {
			continue
		}
		if v := a.Previous; v != nil {
			states[len(states)-1].To, states[len(states)-1].Seconds = &v.To, v.Seconds
		}
		states = append(states, httpapi.AgentState{Seq: a.Seq, State: a.State, Reason: a.Reason, Campaign: a.Campaign, From: a.Since})
	}
	if states == nil {
		return httpapi.List[httpapi.AgentState]{}, projections.ErrNotFound
	}
	slices.Reverse(states)
	return pageOf(states, p)
}

func (l logReads) Alert(_ context.Context, org, id string) (httpapi.Item[alert.Alert], error) {
	items, err := fold[alert.Alert](l.log, event.Alerts, org, nil)
	return one(items, err, func(s alert.Alert) bool { return s.ID == id })
}

func (l logReads) Alerts(_ context.Context, org string, f httpapi.AlertFilter, p httpapi.Page) (httpapi.List[httpapi.Item[alert.Alert]], error) {
	items, err := fold[alert.Alert](l.log, event.Alerts, org, nil)
	return cut(items, err, p, func(i httpapi.Item[alert.Alert]) bool {
		return matches2(i.State.Status, f.Status) && matches2(i.State.Rule, f.Rule) && matches2(i.State.Severity, f.Severity) && matches2(i.State.Campaign, f.Campaign)
	})
}

func (l logReads) Message(_ context.Context, org, id string) (httpapi.Item[message.Message], error) {
	items, err := fold[message.Message](l.log, event.Messages, org, nil)
	return one(items, err, func(s message.Message) bool { return s.ID == id })
}

func (l logReads) Messages(_ context.Context, org string, f httpapi.MessageFilter, p httpapi.Page) (httpapi.List[httpapi.Item[message.Message]], error) {
	items, err := fold[message.Message](l.log, event.Messages, org, nil)
	return cut(items, err, p, func(i httpapi.Item[message.Message]) bool {
		m := i.State
		return matches2(m.Direction, f.Direction) && matches2(m.From, f.From) && matches2(m.To, f.To) &&
			(f.Phone == "" || m.From == f.Phone || m.To == f.Phone) && !m.SentAt.Before(f.Since) && (f.Until.IsZero() || m.SentAt.Before(f.Until))
	})
}

func (l logReads) Contact(_ context.Context, org, id string) (httpapi.Item[contact.Contact], error) {
	items, err := fold[contact.Contact](l.log, event.Contacts, org, nil)
	return one(items, err, func(s contact.Contact) bool { return s.ID == id })
}

func (l logReads) Contacts(_ context.Context, org string, f httpapi.ContactFilter, p httpapi.Page) (httpapi.List[httpapi.Item[contact.Contact]], error) {
	items, err := fold[contact.Contact](l.log, event.Contacts, org, nil)
	return cut(items, err, p, func(i httpapi.Item[contact.Contact]) bool {
		return matches2(i.State.ExternalID.Value, f.ExternalID) && strings.HasPrefix(i.State.LastName.Value, f.Query) &&
			(f.Phone == "" || slices.ContainsFunc(i.State.Phones.Value, func(n contact.Phone) bool { return n.Number == f.Phone }))
	})
}

// logFeed gives the facts in the order of their recorded times. Its cursor
// counts those of all orgs.
type logFeed struct{ log *memory.Log }

func (f logFeed) facts() []event.Recorded {
	facts := f.log.Events(event.PublicTopics()...)
	slices.SortStableFunc(facts, func(a, b event.Recorded) int { return a.RecordedAt.Compare(b.RecordedAt) })
	return facts
}

// End lies behind all that is there, whatever the org.
func (f logFeed) End(context.Context) (string, error) {
	return strconv.Itoa(len(f.log.Events(event.PublicTopics()...))), nil
}

func (f logFeed) Read(ctx context.Context, org, after string, types []string, limit int) ([]event.Recorded, string, error) {
	n := 0
	if after != "" {
		var err error
		if n, err = strconv.Atoi(after); err != nil {
			return nil, "", projections.ErrCursor
		}
	}
	var found []event.Recorded
	facts := f.facts()
	for ; n < len(facts) && len(found) < limit; n++ {
		if facts[n].Org == org && (len(types) == 0 || slices.Contains(types, string(facts[n].Type))) {
			found = append(found, facts[n])
		}
	}
	return found, strconv.Itoa(n), ctx.Err()
}

func (f logFeed) Follow(ctx context.Context, org, after string, types []string, each func(event.Recorded, string) error) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		found, next, err := f.Read(ctx, org, after, types, 1)
		if err != nil {
			return err
		}
		after = next
		for _, e := range found {
			if err := each(e, after); err != nil {
				return err
			}
		}
		if len(found) > 0 {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
