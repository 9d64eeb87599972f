package tenant

import "trunkline.dev/trunkline/domain/event"

// OrgChanged says that an org was made or changed.
type OrgChanged struct {
	Change
	// After is the org as it is from now on, without secrets; absent when it was
	// deleted or only read.
	After *Org `json:"after,omitempty"`
}

// EventType returns org.changed.v1.
func (OrgChanged) EventType() event.Type { return "org.changed.v1" }
