package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// SummaryAdded says that a summary of the call was written. One that was written
// before the one that is known, and comes late, is history only.
type SummaryAdded struct {
	Summary     string `json:"summary,omitempty" pii:"content"`
	OneSentence string `json:"one_sentence_summary,omitempty" pii:"content"`
	Named
}

// EventType returns call.summary_added.v1.
func (SummaryAdded) EventType() event.Type { return "call.summary_added.v1" }

func (f SummaryAdded) fold(c *Call, e event.Envelope) {
	f.name(c)
	if f.Summary != "" && newest(&c.SummaryAt, e) {
		c.Summary = f.Summary
	}
	if f.OneSentence != "" && newest(&c.OneSentenceAt, e) {
		c.OneSentence = f.OneSentence
	}
	c.SummaryFollows = false
}
