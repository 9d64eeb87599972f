package dialects

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/domain/tenant"
)

// Verify demands a Standard Webhooks signature.
func (Trunkline) Verify(c tenant.Connection, h http.Header, body []byte) error {
	if c.Secret == "" {
		return errors.New("this connection has no secret to verify with")
	}
	return VerifyStandard(h, body, time.Now(), c.Secret)
}

// Decode makes a fact of another hub's event. Ids that only mean something
// there (its list, its lead, its connection) are kept as source_data, those of a
// call where its start says them. A
// call.settled.v1 is taken and makes no fact: it says that a timer of the other
// hub ran out. So is what the other hub says of its own webhooks.
func (Trunkline) Decode(c tenant.Connection, _ http.Header, body []byte) ([]commands.Fact, error) {
	r, err := readBody(body)
	if err != nil {
		return nil, err
	}
	if r.text("specversion") != "1.0" {
		r.wrong("specversion", `expected "1.0", a structured CloudEvent`)
	}
	id, source := r.id("id"), r.id("source")
	t := event.Type(r.text("type"))
	theirs := event.On(event.Operations, t) && catalog.Known(t)
	if !isFact(t) && !theirs {
		r.wrong("type", "expected one of "+strings.Join(factNames(), ", "))
	}
	var subject string
	if t != (lead.Upserted{}).EventType() { // a lead is known by its phone
		subject = r.id("subject")
	}
	at := r.whenRequired("time")
	data := r.objectRequired("data")
	if err := r.err(); err != nil {
		return nil, err
	}
	if theirs {
		return nil, nil
	}
	raw, _ := r.raw("data")
	p, err := catalog.Decode(t, raw)
	if err != nil {
		return nil, mistyped(err)
	}
	if e, _ := catalog.Lookup(t); e.Own {
		return nil, nil // each hub has its own timers and its own copies
	}
	fact := commands.Fact{ExternalID: subject, OccurredAt: at, Pointer: "/data", EventKey: event.DeriveID("cloudevent", source, id)}
	if topic, err := event.TopicOf(t); err == nil && topic == event.Agents {
		fact.Subject, fact.ExternalID = subject, "" // agents are known by the same id everywhere
	}
	var rest map[string]json.RawMessage
	fact.Payload, rest = localise(c, subject, p, unknownFields(p, data))
	facts := []commands.Fact{fact}
	if rest != nil { // a fact of a call without a place of its own for strangers
		facts = append(facts, commands.Fact{
			Payload: call.Corrected{SourceData: rest}, ExternalID: subject, OccurredAt: at, Pointer: "/data",
			EventKey: event.DeriveID("cloudevent", source, id, "source_data"),
		})
	}
	return facts, nil
}

// mistyped names the field of data that has the wrong type.
func mistyped(err error) error {
	var wrong *json.UnmarshalTypeError
	if errors.As(err, &wrong) && wrong.Field != "" {
		return invalid("/data/"+strings.ReplaceAll(wrong.Field, ".", "/"), "a "+wrong.Value+" cannot stand here")
	}
	return invalid("/data", "does not fit the event type's schema")
}

// localise turns another hub's payload into one of this org, and puts what has
// no place in it into its source_data. What it cannot keep it returns.
func localise(c tenant.Connection, subject string, p event.Payload, rest map[string]json.RawMessage) (event.Payload, map[string]json.RawMessage) {
	switch p := p.(type) {
	case call.Started:
		rest = with(with(with(rest, "external_id", p.ExternalID), "list_id", p.ListID), "lead_id", p.LeadID)
		p.ExternalID, p.ConnectionID, p.ListID, p.LeadID = subject, c.ID, c.ListID, ""
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case call.Corrected:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case lead.Upserted:
		if p.ListID.Set && !p.ListID.Null {
			rest = with(rest, "list_id", p.ListID.Value)
		}
		p.ListID = event.Opt[string]{}
		if c.ListID != "" {
			p.ListID = event.Some(c.ListID)
		}
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case agent.LogIn:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case agent.LogOut:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case agent.Pause:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case agent.Resume:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case alert.Triggered:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case message.Received:
		p.Text = localText(c, subject, p.Text, rest)
		return p, nil
	case message.Sent:
		p.Text = localText(c, subject, p.Text, rest)
		return p, nil
	case contact.Created:
		p.Fields = localContact(c, p.Fields, rest)
		return p, nil
	case contact.Updated:
		p.Fields = localContact(c, p.Fields, rest)
		return p, nil
	case alert.Acknowledged:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	case alert.Resolved:
		p.SourceData = joined(p.SourceData, rest)
		return p, nil
	}
	return p, rest
}

func localText(c tenant.Connection, subject string, t message.Text, rest map[string]json.RawMessage) message.Text {
	t.SourceData = joined(t.SourceData, with(rest, "external_id", t.ExternalID))
	t.ExternalID, t.ConnectionID = subject, c.ID
	return t
}

// localContact keeps the external id: it is the address book's own, and what
// both hubs know the person by.
func localContact(c tenant.Connection, f contact.Fields, rest map[string]json.RawMessage) contact.Fields {
	f.ConnectionID = event.Some(c.ID)
	f.SourceData = joined(f.SourceData, rest)
	return f
}

func joined(have, more map[string]json.RawMessage) map[string]json.RawMessage {
	if len(more) == 0 {
		return have
	}
	out := make(map[string]json.RawMessage, len(have)+len(more))
	for k, v := range more {
		out[k] = v
	}
	for k, v := range have {
		out[k] = v
	}
	return out
}

// unknownFields returns the fields of data that a payload's type does not have.
func unknownFields(p event.Payload, data reader) map[string]json.RawMessage {
	for _, f := range reflect.VisibleFields(reflect.TypeOf(p)) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name != "" {
			data.read[name] = true
		}
	}
	return data.rest()
}
