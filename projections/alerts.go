package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
)

// Alerts is the read model of the alerts.
func Alerts() Model {
	return Model{
		Name:    "alerts",
		Topic:   event.Alerts,
		Table:   "alerts",
		History: "alert_history",
		New:     func() event.Entity { return new(alert.Alert) },
		Columns: []Column{
			text("status", func(a *alert.Alert) string { return a.Status }),
			text("rule", func(a *alert.Alert) string { return a.Rule }),
			text("severity", func(a *alert.Alert) string { return a.Severity }),
			text("campaign", func(a *alert.Alert) string { return a.Campaign }),
			{Name: "triggered_at", Kind: Time, Of: func(r Row) any {
				return orFirst(r.State.(*alert.Alert).TriggeredAt, r)
			}},
		},
	}
}

// orFirst is a time, or where that is unknown the time of the first event.
func orFirst(t time.Time, r Row) any {
	if t.IsZero() {
		t = r.First.RecordedAt
	}
	return &t
}
