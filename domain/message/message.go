// Package message holds the facts of text messages (SMS, MMS).
package message

import (
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Message is the state of one message.
type Message struct {
	ID string `json:"id"`
	Text
	UpdatedAt time.Time `json:"updated_at"`
}

// Text is what both facts of a message carry.
type Text struct {
	ExternalID   string `json:"external_id,omitempty"`
	ConnectionID string `json:"connection_id,omitempty"`
	// Direction is "inbound" or "outbound".
	Direction string `json:"direction"`
	// Type is "SMS" or "MMS".
	Type    string `json:"type"`
	Content string `json:"content" pii:"content"`
	// Media are the URLs of an MMS.
	Media      []string                   `json:"media,omitempty" pii:"content"`
	From       string                     `json:"from" pii:"phone"`
	To         string                     `json:"to" pii:"phone"`
	FromName   string                     `json:"from_name,omitempty" pii:"name"`
	ToName     string                     `json:"to_name,omitempty" pii:"name"`
	AgentEmail string                     `json:"agent_email,omitempty" pii:"email"`
	SentAt     time.Time                  `json:"sent_at"`
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

type fact interface {
	event.Payload
	text() Text
}

// Apply folds one event.
func (m *Message) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("message", p)
	}
	m.ID = e.Subject
	m.Text = f.text()
	m.UpdatedAt = e.RecordedAt
	return nil
}
