package delivery

import "trunkline.dev/trunkline/domain/event"

// EndpointDisabled says that an endpoint was disabled: what it is owed from now
// on is held.
type EndpointDisabled struct {
	About
	// By is "hub" when a rule did it, "person" otherwise.
	By string `json:"by"`
	// Reason says in words why, where the hub or somebody said so.
	Reason string `json:"reason,omitempty"`
}

// Who disables and enables.
const (
	ByHub    = "hub"
	ByPerson = "person"
)

// EventType returns endpoint.disabled.v1.
func (EndpointDisabled) EventType() event.Type { return "endpoint.disabled.v1" }

func (d EndpointDisabled) fold(s *Standing, e event.Envelope) {
	s.become(IsDisabled, d.About, d.Reason, e)
}
