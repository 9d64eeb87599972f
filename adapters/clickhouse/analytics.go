package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// NewAnalytics makes the sink of the public topics: events, calls, agent_states.
// It stays behind the Postgres projector of each topic (progress), which finds
// the events that stand twice in the log (duplicates), and leaves those out.
func NewAnalytics(store *Store, cfg SinkConfig, progress projections.Progress, duplicates projections.Duplicates) (*Sink, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if progress == nil || duplicates == nil {
		return nil, errors.New("clickhouse: analytics needs the Postgres projector's progress and duplicates")
	}
	cfg = cfg.withDefaults()
	s := &Sink{
		store: store, model: projections.AnalyticsName, topics: event.PublicTopics(),
		tables:   []logicalTable{{"events", true}, {"calls", false}, {"agent_states", false}},
		skips:    cfg.Skips,
		appliers: make(map[int]projections.Applier),
	}
	s.make = func(generation int) projections.Applier {
		a := &applier[analyticsRows]{
			store: store, model: s.model, generation: generation, cfg: cfg, appendOnly: []string{"events"},
		}
		a.ids.process = random64()
		a.mapper = func(_ context.Context, o owner, next int64, server time.Time) (mapper[analyticsRows], error) {
			return &analyticsMapper{
				owner: o, generation: generation, progress: progress, duplicates: duplicates,
				calls:  newCallStates(store, generation, next, server),
				agents: newAgentStates(store, generation, next, server),
			}, nil
		}
		a.insert = func(ctx context.Context, works []*work[analyticsRows]) error {
			return insertAnalytics(ctx, a, works)
		}
		a.groups = newGroups(cfg, a.flush)
		return a
	}
	return s, nil
}

// analyticsRows are the rows of one batch of one partition.
type analyticsRows struct {
	events []eventRow
	calls  []callRow
	agents []agentRow
	parked []parkedRow
}

// insertAnalytics writes the tables side by side. Their order does not matter:
// a state carries the offset that it is valid for, so one that is ahead of
// events after a crash is not folded twice.
func insertAnalytics(ctx context.Context, a *applier[analyticsRows], works []*work[analyticsRows]) error {
	var all struct {
		events [][]eventRow
		calls  [][]callRow
		agents [][]agentRow
		parked [][]parkedRow
	}
	for _, w := range works {
		all.events = append(all.events, w.rows.events)
		all.calls = append(all.calls, w.rows.calls)
		all.agents = append(all.agents, w.rows.agents)
		all.parked = append(all.parked, w.rows.parked)
	}
	g := suffix(a.generation)
	var eg errgroup.Group
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, eventTable, g, all.events) })
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, callTable, g, all.calls) })
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, agentTable, g, all.agents) })
	eg.Go(func() error { return insertBulk(a.named(ctx), a.store, parkedTable, "", all.parked) })
	return eg.Wait()
}

// analyticsMapper maps the events of one partition.
type analyticsMapper struct {
	owner      owner
	generation int
	progress   projections.Progress
	duplicates projections.Duplicates
	calls      *states[projections.AnalyticsCall]
	agents     *states[projections.AnalyticsAgent]
}

func (m *analyticsMapper) rows(ctx context.Context, events []event.Recorded, have offsets) (analyticsRows, int, error) {
	var r analyticsRows
	first, last := events[0].Position, events[len(events)-1].Position
	var twice map[int64]struct{}
	err := projections.Reach(ctx, m.progress, []event.Position{last}, func() (err error) {
		twice, err = m.duplicates.Duplicates(ctx, m.owner.topic, m.owner.partition, first.Offset, last.Offset+1)
		return err
	})
	if err != nil {
		return r, 0, fmt.Errorf("reading the duplicates: %w", err)
	}
	r.events = make([]eventRow, 0, len(events))
	fold := make([]*event.Recorded, 0, len(events))
	for i := range events {
		e := &events[i]
		if _, ok := twice[e.Position.Offset]; ok {
			continue
		}
		if e.Fault != nil {
			r.parked = append(r.parked, park(projections.AnalyticsName, m.generation, *e, e.Fault))
			continue
		}
		fold = append(fold, e)
		if !have.has(e.Position.Offset) {
			r.events = append(r.events, eventRow{e, m.owner.epoch})
		}
	}
	switch m.owner.topic {
	case event.Calls:
		err = m.foldCalls(ctx, fold, &r)
	case event.Agents:
		err = m.foldAgents(ctx, fold, &r)
	}
	return r, len(r.events) + len(r.calls) + len(r.agents) + len(r.parked), err
}

func (m *analyticsMapper) foldCalls(ctx context.Context, events []*event.Recorded, r *analyticsRows) error {
	if err := m.calls.load(ctx, events); err != nil {
		return err
	}
	var touched []entityKey
	seen := make(map[entityKey]struct{}, len(events))
	for _, e := range events {
		key := keyOf(e)
		if err := m.calls.get(key).Fold(*e); err != nil {
			r.parked = append(r.parked, park(projections.AnalyticsName, m.generation, *e, err))
			continue
		}
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			touched = append(touched, key)
		}
	}
	r.calls = make([]callRow, 0, len(touched))
	for _, key := range touched {
		row, err := m.calls.get(key).Row()
		if err == nil {
			r.calls = append(r.calls, row)
		} else if err := m.refoldCall(ctx, key, events, r); err != nil {
			return err
		}
	}
	m.calls.trim(events)
	return nil
}

func (m *analyticsMapper) foldAgents(ctx context.Context, events []*event.Recorded, r *analyticsRows) error {
	if err := m.agents.load(ctx, events); err != nil {
		return err
	}
	var touched []entityKey
	seen := make(map[entityKey]struct{})
	for _, e := range events {
		key := keyOf(e)
		ended, err := m.agents.get(key).Fold(*e)
		if err != nil {
			r.parked = append(r.parked, park(projections.AnalyticsName, m.generation, *e, err))
			continue
		}
		if ended != nil {
			r.agents = append(r.agents, *ended)
		}
		if _, ok := seen[key]; !ok {
			seen[key] = struct{}{}
			touched = append(touched, key)
		}
	}
	for _, key := range touched {
		row, err := m.agents.get(key).Row()
		if err == nil {
			r.agents = append(r.agents, row)
		} else if err := m.refoldAgent(ctx, key, events, r); err != nil {
			return err
		}
	}
	m.agents.trim(events)
	return nil
}
