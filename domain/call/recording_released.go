package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// RecordingReleased ends a legal hold.
type RecordingReleased struct {
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	Reason      string `json:"reason,omitempty" pii:"content"`
}

// EventType returns call.recording_released.v1.
func (RecordingReleased) EventType() event.Type { return "call.recording_released.v1" }

func (f RecordingReleased) fold(c *Call, _ event.Envelope) {
	if k := c.copyOf(f.RecordingID); k != nil {
		k.Held = false
		c.Copy = k
	}
}
