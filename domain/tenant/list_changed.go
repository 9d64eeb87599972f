package tenant

import "trunkline.dev/trunkline/domain/event"

// ListChanged says that a calling list was made, changed or deleted.
type ListChanged struct {
	Change
	// After is the list as it is from now on, without secrets; absent when it was
	// deleted or only read.
	After *List `json:"after,omitempty"`
}

// EventType returns list.changed.v1.
func (ListChanged) EventType() event.Type { return "list.changed.v1" }
