// Package dialecttest is the conformance suite of a dialect: what must hold for
// each, whatever its bytes look like. It also has the small hub that plays a
// made-up day through the real folds, and runs JavaScript where receivers would.
package dialecttest

import (
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// Hub folds facts in memory, with the ids that intake would derive.
type Hub struct {
	// Source is what its events name as their source.
	Source string
	// Lists names the lists by id.
	Lists map[string]string

	entities map[string]event.Entity
	versions map[string]int64
	seen     map[string]bool
}

// NewHub returns an empty hub.
func NewHub(source string) *Hub {
	return &Hub{
		Source: source, Lists: map[string]string{"list-q2": "Q2 Florida Realtors", "list-odd": "<b>\u2028 & \"Ω\" \\"},
		entities: make(map[string]event.Entity), versions: make(map[string]int64), seen: make(map[string]bool),
	}
}

// Record folds a fact and returns what a dialect may render from; false when
// the hub has the fact already.
func (h *Hub) Record(t testing.TB, f commands.Fact) (delivery.View, bool) {
	t.Helper()
	p := h.normalise(t, f.Payload)
	topic, err := event.TopicOf(p.EventType())
	if err != nil {
		t.Fatal(err)
	}
	subject := f.Subject
	if u, isLead := p.(lead.Upserted); isLead && subject == "" {
		subject = leadID(u.Phone)
	} else if subject == "" {
		subject = event.DeriveID(h.Source, string(topic), f.ExternalID)
	}
	id := event.DeriveID(h.Source, string(p.EventType()), f.EventKey)
	if f.EventKey == "" || h.seen[id] {
		return delivery.View{}, false
	}
	h.seen[id] = true

	ev, err := event.New(event.Envelope{
		ID: id, Source: h.Source, Subject: subject, Org: "org-1", Actor: "key/1", OccurredAt: f.OccurredAt, RecordedAt: f.OccurredAt.Add(time.Second),
	}, p)
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := catalog.Decode(ev.Type, ev.Data)
	if err != nil {
		t.Fatal(err)
	}
	v := delivery.View{Event: event.Recorded{Event: ev}, Payload: decoded, OrgID: "org-1", OrgName: "Acme"}
	h.fold(t, &v, topic, subject)
	return v, true
}

func (h *Hub) fold(t testing.TB, v *delivery.View, topic event.Topic, subject string) {
	t.Helper()
	key := string(topic) + "/" + subject
	s, known := h.entities[key]
	if !known {
		s, _ = catalog.Entity(topic)
		h.entities[key] = s
	}
	h.versions[key]++
	v.Version = h.versions[key]
	before := s
	switch s := s.(type) {
	case *call.Call:
		was := *s
		before, v.Call = &was, s
	case *lead.Lead:
		was := *s
		before, v.Lead = &was, s
	case *agent.Agent:
		was := *s
		before, v.Agent = &was, s
	case *alert.Alert:
		was := *s
		before, v.Alert = &was, s
	case *message.Message:
		was := *s
		before, v.Message = &was, s
	case *contact.Contact:
		was := *s
		before, v.Contact = &was, s
	}
	if err := s.Apply(v.Event.Envelope, v.Payload); err != nil {
		t.Fatal(err)
	}
	if known {
		v.CallBefore, _ = before.(*call.Call)
		v.LeadBefore, _ = before.(*lead.Lead)
		v.AgentBefore, _ = before.(*agent.Agent)
		v.AlertBefore, _ = before.(*alert.Alert)
		v.MessageBefore, _ = before.(*message.Message)
		v.ContactBefore, _ = before.(*contact.Contact)
	}
	h.copyStates(v)
}

// copyStates takes the states out of the hub's hands: a view stays as it was.
func (h *Hub) copyStates(v *delivery.View) {
	switch {
	case v.Call != nil:
		is := *v.Call
		v.Call, v.ListName = &is, h.Lists[is.ListID]
		if l, ok := h.entities[string(event.Leads)+"/"+is.LeadID].(*lead.Lead); ok {
			of := *l
			v.CallLead = &of
		}
	case v.Lead != nil:
		is := *v.Lead
		v.Lead = &is
		if is.ListID != nil {
			v.ListName = h.Lists[*is.ListID]
		}
	case v.Agent != nil:
		is := *v.Agent
		v.Agent = &is
	case v.Alert != nil:
		is := *v.Alert
		v.Alert = &is
	}
}

func leadID(phone string) string { return event.DeriveID("lead", phone) }

// normalise does what intake does to numbers and to the lead of a call.
func (h *Hub) normalise(t testing.TB, p event.Payload) event.Payload {
	t.Helper()
	switch p := p.(type) {
	case lead.Upserted:
		p.Phone = e164(t, p.Phone)
		return p
	case call.Started:
		p.From, p.To = e164(t, p.From), e164(t, p.To)
		other := p.To
		if p.Direction == "inbound" {
			other = p.From
		}
		if other != "" {
			p.LeadID = leadID(other)
		}
		return p
	}
	return p
}

func e164(t testing.TB, number string) string {
	t.Helper()
	if number == "" {
		return ""
	}
	n, err := phonenumbers.Parse(number, "US")
	if err != nil {
		t.Fatalf("%q is no phone number: %v", number, err)
	}
	return phonenumbers.Format(n, phonenumbers.E164)
}
