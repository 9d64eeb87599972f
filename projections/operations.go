package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Operations is the read model of what the hub said of its own webhooks: how
// each stands, and the history of it.
func Operations() Model {
	return Model{
		Name:    "operations",
		Topic:   event.Operations,
		Table:   "endpoint_standing",
		History: "endpoint_history",
		New:     func() event.Entity { return new(delivery.Standing) },
		Columns: []Column{
			text("standing", func(s *delivery.Standing) string { return s.State }),
			column("since", Time, func(s *delivery.Standing) *time.Time { return &s.Since }),
			column("exhausted", Int, func(s *delivery.Standing) int64 { return s.Exhausted }),
		},
	}
}
