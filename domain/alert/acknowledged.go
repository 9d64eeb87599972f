package alert

import (
	"encoding/json"

	"trunkline.dev/trunkline/domain/event"
)

// Acknowledged says that somebody has seen the alert.
type Acknowledged struct {
	Note string `json:"note,omitempty" pii:"content"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

// EventType returns alert.acknowledged.v1.
func (Acknowledged) EventType() event.Type { return "alert.acknowledged.v1" }

func (f Acknowledged) fold(a *Alert, e event.Envelope) {
	if a.AcknowledgedAt == nil {
		at := e.OccurredAt
		a.AcknowledgedAt = &at
	}
	if a.Status != StatusResolved { // an acknowledgement that comes late reopens nothing
		a.Status = StatusAcknowledged
	}
	a.note(f.Note, e)
}
