package message

import "trunkline.dev/trunkline/domain/event"

// Sent says that a message went out.
type Sent struct{ Text }

// EventType returns message.sent.v1.
func (Sent) EventType() event.Type { return "message.sent.v1" }

func (f Sent) text() Text { return f.Text }
