package event

import "fmt"

// Entity is the state of one entity of any kind, built by folding its events
// in log order. Implementations are pointers to plain JSON structs.
type Entity interface {
	// Apply folds one event. It is pure. ErrNotApplicable means that the
	// payload is not of this kind; a projector parks such an event. It never
	// writes into a map or slice that the state held before, so a shallow copy
	// taken before the call stays the state before the event.
	Apply(e Envelope, p Payload) error
}

// NotApplicable is the error of Apply for a payload of another kind.
func NotApplicable(kind string, p Payload) error {
	return fmt.Errorf("a %s cannot fold %s", kind, p.EventType())
}
