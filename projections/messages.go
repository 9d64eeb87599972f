package projections

import (
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
)

// Messages is the read model of the text messages.
func Messages() Model {
	return Model{
		Name:    "messages",
		Topic:   event.Messages,
		Table:   "messages",
		History: "message_history",
		New:     func() event.Entity { return new(message.Message) },
		Columns: []Column{
			text("direction", func(m *message.Message) string { return m.Direction }),
			text("from_number", func(m *message.Message) string { return m.From }),
			text("to_number", func(m *message.Message) string { return m.To }),
			{Name: "sent_at", Kind: Time, Of: func(r Row) any {
				return orFirst(r.State.(*message.Message).SentAt, r)
			}},
		},
	}
}
