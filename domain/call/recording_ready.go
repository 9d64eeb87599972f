package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// RecordingReady says that the call's audio can be had from its source. The hub
// then fetches it; call.recording_stored.v1 says that it has it.
type RecordingReady struct {
	Recording Recording `json:"recording"`
	Named
}

// EventType returns call.recording_ready.v1.
func (RecordingReady) EventType() event.Type { return "call.recording_ready.v1" }

func (f RecordingReady) fold(c *Call, e event.Envelope) {
	f.name(c)
	r := f.Recording
	if r.ID == "" {
		r.ID = e.ID
	}
	c.announce(r, e)
}
