package delivery

import "trunkline.dev/trunkline/domain/event"

// Dropped says that a delivery will not be made, and why.
type Dropped struct {
	Ref
	Reason string `json:"reason"`
}

// EventType returns delivery.dropped.v1.
func (Dropped) EventType() event.Type { return "delivery.dropped.v1" }

// The reasons of drops that are worth another try. Every other drop was decided
// by somebody, or has no receiver any more.
const (
	// Unrenderable begins the reason of what a dialect could not express.
	Unrenderable = "the dialect could not render it"
	// ReplayAborted is the reason of what an aborted replay had not sent yet: the
	// replay was given up, not the delivery.
	ReplayAborted = "the replay was aborted"
)
