package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Leads is the read model of the leads, found by phone, list and words.
func Leads() Model {
	return Model{
		Name:    "leads",
		Topic:   event.Leads,
		Table:   "leads",
		History: "lead_history",
		New:     func() event.Entity { return new(lead.Lead) },
		Columns: []Column{
			text("phone", func(l *lead.Lead) string { return l.Phone }),
			text("list_id", func(l *lead.Lead) string { return deref(l.ListID) }),
			column("created_at", Time, func(l *lead.Lead) *time.Time { return &l.CreatedAt }),
			column("search", Search, leadWords),
		},
	}
}

func leadWords(l *lead.Lead) []string {
	return words(phoneWords(l.Phone), deref(l.Name), deref(l.FirstName), deref(l.LastName), deref(l.Company), deref(l.Email))
}
