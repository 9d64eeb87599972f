package alert

import (
	"encoding/json"

	"trunkline.dev/trunkline/domain/event"
)

// Resolved says that the alert is over.
type Resolved struct {
	Note string `json:"note,omitempty" pii:"content"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

// EventType returns alert.resolved.v1.
func (Resolved) EventType() event.Type { return "alert.resolved.v1" }

func (f Resolved) fold(a *Alert, e event.Envelope) {
	if a.ResolvedAt == nil {
		at := e.OccurredAt
		a.ResolvedAt = &at
	}
	a.Status = StatusResolved
	a.note(f.Note, e)
}
