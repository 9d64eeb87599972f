package delivery

import "trunkline.dev/trunkline/domain/event"

// Dropped says that a delivery will not be made, and why.
type Dropped struct {
	Ref
	Reason string `json:"reason"`
}

// EventType returns delivery.dropped.v1.
func (Dropped) EventType() event.Type { return "delivery.dropped.v1" }
