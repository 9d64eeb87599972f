package contact

import "trunkline.dev/trunkline/domain/event"

// Created says that a contact was entered.
type Created struct {
	Fields
	// Undated marks an entry of which the source does not say when it was made:
	// occurred_at is when we heard of it. Whatever else is said of the contact is newer.
	Undated bool `json:"undated,omitempty"`
}

// EventType returns contact.created.v1.
func (Created) EventType() event.Type { return "contact.created.v1" }

func (f Created) fields() Fields { return f.Fields }
