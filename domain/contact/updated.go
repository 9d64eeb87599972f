package contact

import "trunkline.dev/trunkline/domain/event"

// Updated says that a contact was changed. Of each field the fact with the newest
// occurred_at counts, and of equal ones the later in the log.
type Updated struct{ Fields }

// EventType returns contact.updated.v1.
func (Updated) EventType() event.Type { return "contact.updated.v1" }

func (f Updated) fields() Fields { return f.Fields }
