package call

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Answered says that the call was picked up.
type Answered struct {
	AnsweredAt time.Time `json:"answered_at"`
	Agent      *Agent    `json:"agent,omitempty"`
	Named
}

// EventType returns call.answered.v1.
func (Answered) EventType() event.Type { return "call.answered.v1" }

func (f Answered) fold(c *Call, e event.Envelope) {
	f.name(c)
	c.AnsweredAt = ptr(event.Time(f.AnsweredAt))
	c.agentIs(f.Agent, e, false)
}
