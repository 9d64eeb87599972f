package call

import (
	"encoding/json"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

// Corrected changes what is known of a call without a moment of its own: tags,
// metrics, agent, status and what a source sends late. Absent keeps. What a fact says that
// happened before the one that set it, and comes late, is history only; of custom and
// source_data that holds for each key.
type Corrected struct {
	// Status is the source's word. One of a call that goes on, as "ringing", comes late
	// where the call has ended, and is history only.
	Status      string `json:"status,omitempty"`
	DurationSec *int64 `json:"duration_sec,omitempty"`
	// Tags replace the former ones; an empty array removes them all.
	Tags       []string                   `json:"tags,omitzero"`
	Metrics    *Metrics                   `json:"metrics,omitempty"`
	Agent      *Agent                     `json:"agent,omitempty"`
	Custom     map[string]json.RawMessage `json:"custom,omitempty" pii:"content"`
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
	// Contact is what a customer's CRM answered when it was asked who the other
	// party is. A later answer replaces the former whole.
	Contact *contact.Fields `json:"contact,omitempty"`
	Named
}

// EventType returns call.corrected.v1.
func (Corrected) EventType() event.Type { return "call.corrected.v1" }

func (f Corrected) fold(c *Call, e event.Envelope) {
	f.name(c)
	if f.Status != "" && (!c.Ended() || !goesOn(f.Status)) {
		c.says(f.Status, e)
	}
	if at := saidAt(e); f.DurationSec != nil && (c.DurationAt == nil || !at.Before(*c.DurationAt)) {
		c.lasted(f.DurationSec, e)
	}
	if f.Tags != nil && newest(&c.TagsAt, e) {
		c.Tags = f.Tags
	}
	if f.Metrics != nil && newest(&c.MetricsAt, e) {
		c.Metrics = f.Metrics
	}
	if f.Contact != nil && newest(&c.ContactAt, e) {
		c.Contact = f.Contact
	}
	c.agentIs(f.Agent, e, false)
	mergeRaw(&c.Custom, &c.CustomSaid, f.Custom, e)
	mergeRaw(&c.SourceData, &c.SourceDataSaid, f.SourceData, e)
}
