package contact

import "trunkline.dev/trunkline/domain/event"

// Created says that a contact was entered.
type Created struct{ Fields }

// EventType returns contact.created.v1.
func (Created) EventType() event.Type { return "contact.created.v1" }

func (f Created) fields() Fields { return f.Fields }
