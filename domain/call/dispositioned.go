package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// Dispositioned says what came of the call. Each one replaces the former.
type Dispositioned struct {
	Disposition string `json:"disposition"`
	Agent       *Agent `json:"agent,omitempty"`
}

// EventType returns call.dispositioned.v1.
func (Dispositioned) EventType() event.Type { return "call.dispositioned.v1" }

func (f Dispositioned) fold(c *Call, e event.Envelope) {
	c.Disposition = f.Disposition
	c.DispositionAt = ptr(e.OccurredAt)
	c.Agent = mergeAgent(c.Agent, f.Agent)
}
