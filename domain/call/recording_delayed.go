package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// RecordingDelayed says that the copy of a recording has not come within a while.
// Who waits for it goes on without it: our link leads to the source until the
// copy is there. Time enters the log as this fact, as it does by Settled.
type RecordingDelayed struct {
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	AfterSec    int64  `json:"after_sec"`
}

// EventType returns call.recording_delayed.v1.
func (RecordingDelayed) EventType() event.Type { return "call.recording_delayed.v1" }

func (f RecordingDelayed) fold(c *Call, _ event.Envelope) {
	if k := c.copyOf(f.RecordingID); k != nil {
		k.Delayed = true
		c.Copy = k
	}
}
