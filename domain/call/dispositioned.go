package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// Dispositioned says what came of the call. Each one replaces the former.
type Dispositioned struct {
	Disposition string `json:"disposition"`
	Agent       *Agent `json:"agent,omitempty"`
	// Restated marks what a source says again because it sends the whole call at
	// each change (seed 004). It counts where it is news: another disposition
	// than the one known, and not an older one that comes late.
	Restated bool `json:"restated,omitempty"`
}

// EventType returns call.dispositioned.v1.
func (Dispositioned) EventType() event.Type { return "call.dispositioned.v1" }

func (f Dispositioned) fold(c *Call, e event.Envelope) {
	if f.Restated && c.DispositionAt != nil && (c.Disposition == f.Disposition || e.OccurredAt.Before(*c.DispositionAt)) {
		return
	}
	c.Disposition = f.Disposition
	c.DispositionAt = ptr(e.OccurredAt)
	c.Agent = mergeAgent(c.Agent, f.Agent)
}
