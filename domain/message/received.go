package message

import "trunkline.dev/trunkline/domain/event"

// Received says that a message came in.
type Received struct{ Text }

// EventType returns message.received.v1.
func (Received) EventType() event.Type { return "message.received.v1" }

func (f Received) text() Text { return f.Text }
