package contact

import "trunkline.dev/trunkline/domain/event"

// Created says that a contact was entered. After a change of it that came first, it
// adds what is not known.
type Created struct{ Fields }

// EventType returns contact.created.v1.
func (Created) EventType() event.Type { return "contact.created.v1" }

func (f Created) fields() Fields { return f.Fields }
