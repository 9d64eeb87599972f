package call

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RecordingDeleted says that our copy of a recording is gone, and why. What it
// was stays provable by the hash.
type RecordingDeleted struct {
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	// Reason is "retention": its list keeps recordings for RetentionDays.
	Reason        string    `json:"reason"`
	RetentionDays int       `json:"retention_days,omitempty"`
	SHA256        string    `json:"sha256"`
	Bytes         int64     `json:"bytes"`
	DeletedAt     time.Time `json:"deleted_at"`
}

// DeletedByRetention is the reason of a copy whose time was over.
const DeletedByRetention = "retention"

// EventType returns call.recording_deleted.v1.
func (RecordingDeleted) EventType() event.Type { return "call.recording_deleted.v1" }

func (f RecordingDeleted) fold(c *Call, _ event.Envelope) {
	if k := c.copyOf(f.RecordingID); k != nil {
		k.State, k.DeletedAt = CopyDeleted, ptr(event.Time(f.DeletedAt))
		c.Copy = k
	}
}
