package projections

import (
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
)

// Agents is the read model of the agents and of the intervals they spent in
// each state.
func Agents() Model {
	return Model{
		Name:    "agents",
		Topic:   event.Agents,
		Table:   "agents",
		History: "agent_history",
		New:     func() event.Entity { return new(agent.Agent) },
		Columns: []Column{
			text("name", func(a *agent.Agent) string { return a.Name }),
			text("current", func(a *agent.Agent) string { return string(a.State) }),
		},
		Extra: &Extra{
			Table:  "agent_states",
			Entity: "agent_id",
			Keys:   []Column{{Name: "seq", Kind: Int}},
			Values: []Column{
				{Name: "state", Kind: Text},
				{Name: "reason", Kind: Text},
				{Name: "campaign", Kind: Text},
				{Name: "from_at", Kind: Time},
				{Name: "to_at", Kind: Time},
				{Name: "seconds", Kind: Float},
			},
			Rows: intervals,
		},
	}
}

// intervals are the interval that an event closed, and the open one, whose end
// is null and whose seconds are 0.
func intervals(s event.Entity, e event.Recorded) []ExtraRow {
	a := s.(*agent.Agent)
	key := Key{Org: e.Org, ID: e.Subject}
	var rows []ExtraRow
	if p := a.Previous; p != nil {
		rows = append(rows, ExtraRow{Key: key, Keys: []any{p.Seq}, Values: []any{
			string(p.State), Clean(p.Reason), Clean(p.Campaign), &p.From, &p.To, p.Seconds,
		}})
	}
	if a.Seq == 0 {
		return rows // a refused first transition: the agent has no state yet
	}
	since := a.Since
	return append(rows, ExtraRow{Key: key, Keys: []any{a.Seq}, Values: []any{
		string(a.State), Clean(a.Reason), Clean(a.Campaign), &since, nil, float64(0),
	}})
}
