// Package lead holds the facts of a person to be called and how they merge.
package lead

import (
	"encoding/json"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Lead is the state of one lead: each field as the newest fact about it set it.
type Lead struct {
	ID           string                     `json:"id"`
	ExternalID   *string                    `json:"external_id"`
	Phone        string                     `json:"phone"`
	Name         *string                    `json:"name"`
	FirstName    *string                    `json:"first_name"`
	LastName     *string                    `json:"last_name"`
	Company      *string                    `json:"company"`
	Title        *string                    `json:"title"`
	Email        *string                    `json:"email"`
	City         *string                    `json:"city"`
	State        *string                    `json:"state"`
	Zip          *string                    `json:"zip"`
	ListID       *string                    `json:"list_id"`
	CustomFields map[string]json.RawMessage `json:"custom_fields"`
	// Provenance says of each field which event set it; custom fields are
	// keyed "custom_fields.<key>". A cleared field keeps its entry.
	Provenance map[string]Provenance `json:"provenance"`
	CreatedAt  time.Time             `json:"created_at"`
	UpdatedAt  time.Time             `json:"updated_at"`
}

// Provenance is where the value of a field comes from.
type Provenance struct {
	EventID    string    `json:"event_id"`
	OccurredAt time.Time `json:"occurred_at"`
	Source     string    `json:"source"`
}

type fact interface {
	event.Payload
	fold(l *Lead, e event.Envelope)
}

// Apply folds one event.
func (l *Lead) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("lead", p)
	}
	l.ID = e.Subject
	if l.CreatedAt.IsZero() {
		l.CreatedAt = e.RecordedAt
	}
	f.fold(l, e)
	l.UpdatedAt = e.RecordedAt
	return nil
}

// DisplayName is the name, or first and last name joined. What stands empty there,
// as in a CRM's export, is not known.
func (l *Lead) DisplayName() *string {
	said := func(s *string) bool { return s != nil && strings.TrimSpace(*s) != "" }
	switch {
	case said(l.Name):
		return l.Name
	case said(l.FirstName) && said(l.LastName):
		n := *l.FirstName + " " + *l.LastName
		return &n
	case said(l.FirstName):
		return l.FirstName
	case said(l.LastName):
		return l.LastName
	}
	return nil
}

// wins reports whether a fact sets a field: the newest occurred_at does, and
// of equal ones the later in the log.
func (l *Lead) wins(field string, e event.Envelope) bool {
	p, known := l.Provenance[field]
	if known && e.OccurredAt.Before(p.OccurredAt) {
		return false
	}
	l.Provenance[field] = Provenance{EventID: e.ID, OccurredAt: e.OccurredAt, Source: e.Source}
	return true
}
