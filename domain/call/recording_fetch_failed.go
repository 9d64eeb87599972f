package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// RecordingFetchFailed says that the hub has given up fetching a recording: the
// source does not have it, its link has ended, or it is nothing that we take.
type RecordingFetchFailed struct {
	RecordingID string `json:"recording_id"`
	SourceID    string `json:"source_id"`
	// Attempts counts the requests that were made since it was announced.
	Attempts int `json:"attempts"`
	// Error is what the last of them met, in words.
	Error string `json:"error"`
	// Delayed says that receivers were told before, without the copy (see
	// RecordingDelayed); else they are told now.
	Delayed bool `json:"delayed,omitempty"`
	// Refused says that it is at an address where no request of ours may go. Such a
	// recording can be had from nobody, and receivers are not told of it.
	Refused bool `json:"refused,omitempty"`
}

// EventType returns call.recording_fetch_failed.v1.
func (RecordingFetchFailed) EventType() event.Type { return "call.recording_fetch_failed.v1" }

// The failure's cause is the announcement that it is of. If the recording was announced
// anew since then, receivers were told all the same (but of one that was refused), and its fetch goes on.
func (f RecordingFetchFailed) fold(c *Call, e event.Envelope) {
	k := c.copyOf(f.RecordingID)
	if k == nil || k.State != CopyPending {
		return
	}
	k.Delayed = k.Delayed || !f.Refused
	if former := k.AnnouncedID != "" && e.CausationID != "" && e.CausationID != k.AnnouncedID; !former {
		k.State, k.Error, k.AnnouncedID = CopyFailed, f.Error, ""
	}
	c.Copy = k
}
