package call

import (
	"trunkline.dev/trunkline/domain/event"
)

// Transferred says that the call was handed over. One that happened before the one
// that is known, and comes late, is history only.
type Transferred struct {
	Transfer Transfer `json:"transfer"`
	Named
}

// EventType returns call.transferred.v1.
func (Transferred) EventType() event.Type { return "call.transferred.v1" }

func (f Transferred) fold(c *Call, e event.Envelope) {
	f.name(c)
	if newest(&c.TransferAt, e) {
		c.Transfer = ptr(f.Transfer)
	}
}
