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

// Message is one webhook that a dialect makes of an event.
type Message struct {
	// Name is the dialect's own event name, what endpoints subscribe to.
	Name string
	// Part tells apart several messages of one event; empty for the first.
	Part string
	// Headers are the dialect's own headers but for signatures.
	Headers []Header
	// Body is what will be sent, to the byte.
	Body []byte
}
