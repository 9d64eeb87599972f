package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// Transferred says that the call was handed over.
type Transferred struct {
	Transfer Transfer `json:"transfer"`
}

// EventType returns call.transferred.v1.
func (Transferred) EventType() event.Type { return "call.transferred.v1" }

func (f Transferred) fold(c *Call, e event.Envelope) {
	c.Transfer = ptr(f.Transfer)
}
