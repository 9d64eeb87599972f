package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// TranscriptReady says that what was spoken is there as text. One that was made before
// the one that is known, and comes late, is history only.
type TranscriptReady struct {
	Transcript string    `json:"transcript,omitempty" pii:"content"`
	Segments   []Segment `json:"transcript_segments,omitempty"`
	// SummaryFollows says that a summary was reported together with the transcript
	// and is the next thing to hear of: who waits for either waits for both.
	SummaryFollows bool `json:"summary_follows,omitempty"`
	Named
}

// EventType returns call.transcript_ready.v1.
func (TranscriptReady) EventType() event.Type { return "call.transcript_ready.v1" }

func (f TranscriptReady) fold(c *Call, e event.Envelope) {
	f.name(c)
	// A transcript that was enough by itself stays so when another comes.
	c.SummaryFollows = f.SummaryFollows && (c.TranscriptAt == nil || c.SummaryFollows)
	if newest(&c.TranscriptAt, e) {
		c.Transcript, c.Segments = f.Transcript, f.Segments
	}
}
