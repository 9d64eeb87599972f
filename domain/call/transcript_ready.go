package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// TranscriptReady says that what was spoken is there as text.
type TranscriptReady struct {
	Transcript string    `json:"transcript,omitempty" pii:"content"`
	Segments   []Segment `json:"transcript_segments,omitempty"`
}

// EventType returns call.transcript_ready.v1.
func (TranscriptReady) EventType() event.Type { return "call.transcript_ready.v1" }

func (f TranscriptReady) fold(c *Call, e event.Envelope) {
	c.Transcript = f.Transcript
	c.Segments = f.Segments
	c.TranscriptAt = ptr(e.OccurredAt)
}
