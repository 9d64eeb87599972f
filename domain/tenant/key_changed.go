package tenant

import "trunkline.dev/trunkline/domain/event"

// KeyChanged says that an API key was made, changed, deleted or shown again.
type KeyChanged struct {
	Change
	// After is the key as it is from now on, without secrets; absent when it was
	// deleted or only read.
	After *Key `json:"after,omitempty"`
}

// EventType returns key.changed.v1.
func (KeyChanged) EventType() event.Type { return "key.changed.v1" }
