package delivery

import "trunkline.dev/trunkline/domain/event"

// Held says that a delivery waits because its endpoint is paused or disabled.
type Held struct {
	Ref
	Reason string `json:"reason"`
}

// EventType returns delivery.held.v1.
func (Held) EventType() event.Type { return "delivery.held.v1" }
