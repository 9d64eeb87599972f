package alert

import (
	"trunkline.dev/trunkline/domain/event"
)

// Acknowledged says that somebody has seen the alert.
type Acknowledged struct {
	Note string `json:"note,omitempty" pii:"content"`
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
