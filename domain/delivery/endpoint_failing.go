package delivery

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// EndpointFailing says, once for each time that it happens, that an endpoint
// has failed for a while: attempts go on.
type EndpointFailing struct {
	About
	// Since is when the first of the failures in a row was.
	Since time.Time `json:"since"`
	// Failures counts the failed attempts in a row, over all deliveries.
	Failures int `json:"failures"`
	// LastStatus is 0 when there was no answer.
	LastStatus int    `json:"last_status"`
	LastError  string `json:"last_error,omitempty"`
}

// EventType returns endpoint.failing.v1.
func (EndpointFailing) EventType() event.Type { return "endpoint.failing.v1" }

func (d EndpointFailing) fold(s *Standing, e event.Envelope) {
	s.become(Failing, d.About, d.LastError, e)
}
