package delivery

import (
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// View is what a dialect may render from: the event and the states up to it,
// not up to now, so that a late retry and a replay say the same.
type View struct {
	Event event.Recorded
	// Payload is the event's data, decoded.
	Payload event.Payload
	// Version is the version of the entity that the event made.
	Version int64
	// OrgID and OrgName name the tenant.
	OrgID, OrgName string

	// Of each kind: the state before and after the event, for events of that
	// kind; nil otherwise. Before is nil for the first event of an entity.
	CallBefore, Call       *call.Call
	LeadBefore, Lead       *lead.Lead
	AgentBefore, Agent     *agent.Agent
	AlertBefore, Alert     *alert.Alert
	MessageBefore, Message *message.Message
	ContactBefore, Contact *contact.Contact
	// Standing is how the endpoint stands that the hub says something of.
	StandingBefore, Standing *Standing

	// CallLead is the lead of a call's other party as known when the call's
	// event was accepted; nil when there is none.
	CallLead *lead.Lead
	// ListName is the name of the call's or lead's list, "" when it has none.
	ListName string
	// RecordingURL is where the call's recording can be fetched, "" when it has
	// none; RecordingExpires is when that ends.
	RecordingURL     string
	RecordingExpires time.Time
}

// Disposed reports whether the event disposed of a call: not where a source only
// said again what was known, nor where it came late and a newer one is known.
func (v View) Disposed() bool {
	p, ok := v.Payload.(call.Dispositioned)
	switch {
	case !ok || v.CallBefore == nil || v.CallBefore.DispositionAt == nil:
		return ok
	case v.Event.OccurredAt.Before(*v.CallBefore.DispositionAt):
		return false
	}
	return !p.Restated || v.CallBefore.Disposition != v.Call.Disposition
}

// SetStates puts the states before and after the event where they belong by
// their kind. before is nil for the first event of an entity.
func (v *View) SetStates(before, after event.Entity) {
	switch s := after.(type) {
	case *call.Call:
		v.Call = s
		v.CallBefore, _ = before.(*call.Call)
	case *lead.Lead:
		v.Lead = s
		v.LeadBefore, _ = before.(*lead.Lead)
	case *agent.Agent:
		v.Agent = s
		v.AgentBefore, _ = before.(*agent.Agent)
	case *alert.Alert:
		v.Alert = s
		v.AlertBefore, _ = before.(*alert.Alert)
	case *message.Message:
		v.Message = s
		v.MessageBefore, _ = before.(*message.Message)
	case *contact.Contact:
		v.Contact = s
		v.ContactBefore, _ = before.(*contact.Contact)
	case *Standing:
		v.Standing = s
		v.StandingBefore, _ = before.(*Standing)
	}
}

// State is the state after the event, of whatever kind; nil if there is none.
func (v View) State() event.Entity {
	switch {
	case v.Call != nil:
		return v.Call
	case v.Lead != nil:
		return v.Lead
	case v.Agent != nil:
		return v.Agent
	case v.Alert != nil:
		return v.Alert
	case v.Message != nil:
		return v.Message
	case v.Contact != nil:
		return v.Contact
	case v.Standing != nil:
		return v.Standing
	}
	return nil
}

// Message is one webhook that a dialect makes of an event.
type Message struct {
	// Name is the dialect's own event name, what endpoints subscribe to.
	Name string
	// Part tells apart several messages of one event; empty for the first.
	Part string
	// EventType is the type of the made-up event that a sample is of; a real event
	// says it itself.
	EventType event.Type
	// Headers are the dialect's own headers but for signatures.
	Headers []Header
	// Body is what will be sent, to the byte.
	Body []byte
}
