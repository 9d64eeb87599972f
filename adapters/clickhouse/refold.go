package clickhouse

import (
	"context"
	"fmt"
	"slices"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// What cannot be encoded is refused when it is decoded, so the state that a batch
// comes to has a row. Should one have none all the same, its partition must not
// stand still for it: the batch's events of that one entity are folded again from
// what is stored, one by one, and those are parked that leave a state without a
// row.

// refoldCall appends the row of a call whose state has none.
func (m *analyticsMapper) refoldCall(ctx context.Context, key entityKey, events []*event.Recorded, r *analyticsRows) error {
	var last callRow
	err := refold(ctx, m, m.calls, key, events, r, func(s *projections.AnalyticsCall, e *event.Recorded) error {
		if err := s.Fold(*e); err != nil {
			return err
		}
		row, err := s.Row()
		if err == nil {
			last = row
		}
		return err
	})
	if err == nil && last.Version > 0 {
		r.calls = append(r.calls, last)
	}
	return err
}

// refoldAgent appends the rows of an agent whose state has none.
func (m *analyticsMapper) refoldAgent(ctx context.Context, key entityKey, events []*event.Recorded, r *analyticsRows) error {
	r.agents = slices.DeleteFunc(r.agents, func(a agentRow) bool { return entityKey{a.Org, a.AgentID} == key })
	var last agentRow
	err := refold(ctx, m, m.agents, key, events, r, func(s *projections.AnalyticsAgent, e *event.Recorded) error {
		ended, err := s.Fold(*e)
		if err != nil {
			return err
		}
		row, err := s.Row()
		if err != nil {
			return err
		}
		last = row
		if ended != nil {
			r.agents = append(r.agents, *ended)
		}
		return nil
	})
	if err == nil && last.Version > 0 {
		r.agents = append(r.agents, last)
	}
	return err
}

// refold folds the events of an entity one by one; fold makes the row of each.
func refold[S any](ctx context.Context, m *analyticsMapper, states *states[S], key entityKey, events []*event.Recorded, r *analyticsRows, fold func(*S, *event.Recorded) error) error {
	var mine []*event.Recorded
	for _, e := range events {
		if keyOf(e) == key {
			mine = append(mine, e)
		}
	}
	// One that was parked behind the culprit may be sound.
	r.parked = slices.DeleteFunc(r.parked, func(p parkedRow) bool {
		return slices.ContainsFunc(mine, func(e *event.Recorded) bool { return e.Position == p.Position })
	})
	s, err := states.reload(ctx, key)
	if err != nil {
		return fmt.Errorf("reading a state: %w", err)
	}
	for _, e := range mine {
		before := *s
		if err := fold(s, e); err != nil {
			*s = before
			r.parked = append(r.parked, park(projections.AnalyticsName, m.generation, *e, err))
		}
	}
	return nil
}
