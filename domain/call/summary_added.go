package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// SummaryAdded says that a summary of the call was written.
type SummaryAdded struct {
	Summary     string `json:"summary,omitempty" pii:"content"`
	OneSentence string `json:"one_sentence_summary,omitempty" pii:"content"`
}

// EventType returns call.summary_added.v1.
func (SummaryAdded) EventType() event.Type { return "call.summary_added.v1" }

func (f SummaryAdded) fold(c *Call, e event.Envelope) {
	if f.Summary != "" {
		c.Summary = f.Summary
	}
	if f.OneSentence != "" {
		c.OneSentence = f.OneSentence
	}
	c.SummaryFollows = false
}
