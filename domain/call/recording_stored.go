package call

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RecordingStored says that the hub holds the audio: the bytes are durable, and
// from now on it is had from us.
type RecordingStored struct {
	// RecordingID is the hub's id of the recording, SourceID what its source calls
	// it (the id in call.recording_ready.v1, or that event's own).
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	// Key is where the bytes are in the blob store.
	Key         string   `json:"key"`
	SHA256      string   `json:"sha256"`
	Bytes       int64    `json:"bytes"`
	ContentType string   `json:"content_type"`
	Format      string   `json:"format,omitempty"`
	DurationSec *float64 `json:"duration_sec,omitempty"`
	// Attempts counts the requests that it took; 0 for an upload.
	Attempts int       `json:"attempts,omitempty"`
	StoredAt time.Time `json:"stored_at"`
	// Delayed says that receivers were told before, without the copy (see
	// RecordingDelayed).
	Delayed bool `json:"delayed,omitempty"`
}

// EventType returns call.recording_stored.v1.
func (RecordingStored) EventType() event.Type { return "call.recording_stored.v1" }

func (f RecordingStored) fold(c *Call, _ event.Envelope) {
	k := c.copyOf(f.RecordingID)
	if k == nil || k.State == CopyDeleted {
		return
	}
	k.State, k.Error, k.AnnouncedID = CopyStored, "", ""
	k.SHA256, k.Bytes, k.ContentType = f.SHA256, f.Bytes, f.ContentType
	k.StoredAt = ptr(event.Time(f.StoredAt))
	c.Copy = k
}
