package delivery

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Standing is how an endpoint stands, folded from what the hub said of it.
type Standing struct {
	WebhookID string `json:"webhook_id"`
	Name      string `json:"name"`
	Dialect   string `json:"dialect"`
	// State is "working", "failing" or "disabled"; Since is when it became so.
	State string    `json:"state"`
	Since time.Time `json:"since"`
	// Reason is why it is disabled, or its last error while it fails.
	Reason string `json:"reason,omitempty"`
	// Exhausted counts the deliveries whose attempts were all used up.
	Exhausted int64 `json:"exhausted"`
	// LastExhaustedAt is when that last happened.
	LastExhaustedAt *time.Time `json:"last_exhausted_at"`
}

// The states of an endpoint.
const (
	Working    = "working"
	Failing    = "failing"
	IsDisabled = "disabled"
)

// About is what each operational fact says first of the endpoint that is its
// subject.
type About struct {
	WebhookID string `json:"webhook_id"`
	Name      string `json:"name"`
	Dialect   string `json:"dialect"`
}

// AboutOf names an endpoint in a fact.
func AboutOf(e Endpoint) About { return About{WebhookID: e.ID, Name: e.Name, Dialect: e.Dialect} }

type operational interface {
	event.Payload
	fold(s *Standing, e event.Envelope)
}

// Apply folds one event.
func (s *Standing) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(operational)
	if !ok {
		return event.NotApplicable("webhook's standing", p)
	}
	s.WebhookID = e.Subject
	f.fold(s, e)
	return nil
}

// become changes the state. Settings and deliveries reach the log by two roads,
// so what happened earlier may come later, and then changes nothing. A disabled
// endpoint stays so until it is enabled: a request was still under way.
func (s *Standing) become(state string, about About, reason string, e event.Envelope) {
	at := e.OccurredAt
	enabled := e.Type == EndpointEnabled{}.EventType()
	if at.Before(s.Since) || s.State == IsDisabled && !enabled && state != IsDisabled {
		return
	}
	s.Name, s.Dialect = about.Name, about.Dialect
	s.State, s.Since, s.Reason = state, at, reason
}
