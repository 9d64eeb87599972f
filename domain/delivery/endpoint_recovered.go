package delivery

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// EndpointRecovered says that something was delivered again to an endpoint of
// which endpoint.failing was said, or which was disabled and enabled again.
type EndpointRecovered struct {
	About
	// Since is when it began to fail, or was enabled again.
	Since time.Time `json:"since"`
	// DeliveredAt is when the first delivery succeeded.
	DeliveredAt time.Time `json:"delivered_at"`
}

// EventType returns endpoint.recovered.v1.
func (EndpointRecovered) EventType() event.Type { return "endpoint.recovered.v1" }

func (d EndpointRecovered) fold(s *Standing, e event.Envelope) {
	s.become(Working, d.About, "", e)
}
