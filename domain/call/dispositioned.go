package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// Dispositioned says what came of the call. Each one replaces the former; one that
// happened before the one that is known, and comes late, is history only.
type Dispositioned struct {
	Disposition string `json:"disposition"`
	Agent       *Agent `json:"agent,omitempty"`
	// Restated marks what a source says again because it sends the whole call at
	// each change (seed 004). It counts where it is news: another disposition
	// than the one known. Agent is whose change it was then, not who had the call,
	// unless nobody else is known.
	Restated bool `json:"restated,omitempty"`
	Named
}

// EventType returns call.dispositioned.v1.
func (Dispositioned) EventType() event.Type { return "call.dispositioned.v1" }

func (f Dispositioned) fold(c *Call, e event.Envelope) {
	f.name(c)
	c.agentIs(f.Agent, e, f.Restated)
	if c.DispositionAt != nil && (e.OccurredAt.Before(*c.DispositionAt) || f.Restated && c.Disposition == f.Disposition) {
		return
	}
	c.Disposition = f.Disposition
	c.DispositionAt = ptr(e.OccurredAt)
}
