package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// RecordingHeld says that somebody forbade to delete a recording (legal hold).
type RecordingHeld struct {
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	Reason      string `json:"reason,omitempty" pii:"content"`
}

// EventType returns call.recording_held.v1.
func (RecordingHeld) EventType() event.Type { return "call.recording_held.v1" }

func (f RecordingHeld) fold(c *Call, _ event.Envelope) {
	if k := c.copyOf(f.RecordingID); k != nil {
		k.Held = true
		c.Copy = k
	}
}
