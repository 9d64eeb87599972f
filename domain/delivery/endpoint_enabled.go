package delivery

import "trunkline.dev/trunkline/domain/event"

// EndpointEnabled says that an endpoint was enabled again.
type EndpointEnabled struct {
	About
	// Backlog says what became of what was held: "deliver" or "drop".
	Backlog string `json:"backlog"`
}

// EventType returns endpoint.enabled.v1.
func (EndpointEnabled) EventType() event.Type { return "endpoint.enabled.v1" }

func (d EndpointEnabled) fold(s *Standing, e event.Envelope) {
	s.become(Working, d.About, "", e)
}
