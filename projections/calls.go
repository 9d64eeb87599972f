package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// Calls is the read model of the calls.
func Calls() Model {
	return Model{
		Name:    "calls",
		Topic:   event.Calls,
		Table:   "calls",
		History: "call_history",
		New:     func() event.Entity { return new(call.Call) },
		Columns: []Column{
			text("from_number", func(c *call.Call) string { return c.From }),
			text("to_number", func(c *call.Call) string { return c.To }),
			text("agent_id", agentID),
			text("campaign", func(c *call.Call) string { return c.Campaign }),
			text("disposition", func(c *call.Call) string { return c.Disposition }),
			{Name: "started_at", Kind: Time, Of: startedAt},
			text("external_id", aliasOf),
		},
	}
}

// aliasOf is the source's id of a call of the API. One that a connection told of has an
// id that is derived from that.
func aliasOf(c *call.Call) string {
	if c.ConnectionID != "" {
		return ""
	}
	return c.ExternalID
}

func agentID(c *call.Call) string {
	if c.Agent == nil {
		return ""
	}
	return c.Agent.ID
}

// startedAt orders the calls. One that is known only from a later event (its
// source has not sent the beginning) stands where we first heard of it.
func startedAt(r Row) any {
	if at := r.State.(*call.Call).StartedAt; at != nil {
		return at
	}
	first := r.First.RecordedAt
	return (*time.Time)(&first)
}
