package tenant

import "trunkline.dev/trunkline/domain/event"

// ConnectionChanged says that a connection was made, or that its secret was read.
type ConnectionChanged struct {
	Change
	// After is the connection as it is from now on, without secrets; absent when it was
	// deleted or only read.
	After *Connection `json:"after,omitempty"`
}

// EventType returns connection.changed.v1.
func (ConnectionChanged) EventType() event.Type { return "connection.changed.v1" }
