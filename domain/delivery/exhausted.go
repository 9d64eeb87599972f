package delivery

import "trunkline.dev/trunkline/domain/event"

// Exhausted says that all attempts of a delivery were used up. It stands on two
// topics under one id: with everything that is said of deliveries, and with what
// people are told of.
type Exhausted struct {
	Ref
	// Attempts is how many there were.
	Attempts  int    `json:"attempts"`
	LastError string `json:"last_error,omitempty"`
}

// EventType returns delivery.exhausted.v1.
func (Exhausted) EventType() event.Type { return "delivery.exhausted.v1" }

func (d Exhausted) fold(s *Standing, e event.Envelope) {
	at := e.OccurredAt
	s.Exhausted++
	s.LastExhaustedAt = &at
}
