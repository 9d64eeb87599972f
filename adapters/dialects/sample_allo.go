package dialects

import (
	"encoding/json"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/message"
)

// alloSampleCall is a call that was answered, transferred, tagged, transcribed
// and summed up.
func alloSampleCall(now time.Time) *call.Call {
	c := sampleCall(now)
	c.Direction, c.From, c.To = "inbound", c.To, c.From
	hello, reply := c.StartedAt.Add(2*time.Second), c.StartedAt.Add(5*time.Second)
	c.Segments = []call.Segment{
		{Speaker: "agent", At: &hello, Text: "Hello, how can I help you?"},
		{Speaker: "customer", At: &reply, Text: "Where is my order?"},
	}
	c.Transcript = ""
	c.Summary, c.OneSentence = "The customer asked about an order, which arrives on Friday.", "A question about an order."
	c.Tags = []string{"support"}
	c.ToName = "Acme Support"
	c.Custom = map[string]json.RawMessage{"order": json.RawMessage(`"A-17"`)}
	c.Transfer = &call.Transfer{
		From:           &call.Party{Number: "+14143756758", AgentEmail: "max@company.com", AgentName: "Max Agent"},
		OriginalCallID: "sample-first-call",
	}
	return c
}

func sampleContact(now time.Time) *contact.Contact {
	return &contact.Contact{
		ID: "sample-contact", CreatedAt: now, UpdatedAt: now,
		Fields: contact.Fields{
			ExternalID: event.Some("12345"), FirstName: event.Some("Sally"), LastName: event.Some("Sample"), Company: event.Some("Sample Company"),
			Title: event.Some("Sales Manager"), LinkedinURL: event.Some("https://www.linkedin.com/in/sally-sample"),
			Emails: event.Some([]contact.Email{{Kind: "work", Address: "sally@example.com"}}),
			Phones: event.Some([]contact.Phone{{Kind: "work", Number: "+18005551212"}, {Kind: "mobile", Number: "+18005551213"}}),
			Address: event.Some(contact.Address{
				Street: "123 Main", Street2: "Ste 100", City: "Salt Lake City", State: "UT", Zip: "84010", Country: "US",
			}),
			TimeZone: event.Some("America/Denver"), Note: event.Some("This is a personal note"),
			Account: event.Some(contact.Account{ExternalID: "9876", Name: "Sample Company", Industry: "Technology"}),
		},
	}
}

// sampleText is a picture that came in, or the answer to it.
func sampleText(direction string, now time.Time) *message.Message {
	t := message.Text{
		Direction: direction, Type: "MMS", Content: "Is this the right one?", Media: []string{"https://example.com/picture.jpg"},
		From: "+15551234567", To: "+14143756757", FromName: "John Smith", ToName: "Acme Support", SentAt: now.UTC().Truncate(time.Second),
	}
	if direction == "outbound" {
		t.Type, t.Content, t.Media = "SMS", "It is.", nil
		t.From, t.To, t.FromName, t.ToName = t.To, t.From, t.ToName, t.FromName
	}
	return &message.Message{ID: "sample-message", Text: t}
}

// Sample renders a made-up call, message or contact.
func (d Allo) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	v, ok := alloSample(name, e, now)
	if !ok {
		return delivery.Message{}, unknownEvent(d, name)
	}
	return sampled(d, v, e)
}

func alloSample(topic string, e delivery.Endpoint, now time.Time) (delivery.View, bool) {
	var v delivery.View
	switch topic {
	case alloCallReceived:
		v = sampleView("call.summary_added.v1", "sample-call", nil, e, now)
		v.Payload, v.Call, v.CallLead = call.SummaryAdded{}, alloSampleCall(now), sampleLead()
		before := *v.Call
		before.TranscriptAt, before.Summary, before.OneSentence = nil, "", ""
		v.CallBefore = &before
	case alloSMSReceived:
		v = sampleView("message.received.v1", "sample-message", nil, e, now)
		v.Message = sampleText("inbound", now)
	case alloSMSSent:
		v = sampleView("message.sent.v1", "sample-message", nil, e, now)
		v.Message = sampleText("outbound", now)
	case alloContactCreated:
		v = sampleView("contact.created.v1", "sample-contact", nil, e, now)
		v.Payload, v.Contact = contact.Created{}, sampleContact(now)
	case alloContactUpdated:
		v = sampleView("contact.updated.v1", "sample-contact", nil, e, now)
		v.Payload, v.Contact, v.ContactBefore = contact.Updated{}, sampleContact(now), sampleContact(now)
		v.ContactBefore.Title = event.Opt[string]{}
	default:
		return v, false
	}
	return v, true
}

// Sample renders a made-up call, message or contact.
func (d AlloV2) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	v, ok := allo2Sample(name, e, now)
	if !ok {
		return delivery.Message{}, unknownEvent(d, name)
	}
	return sampled(d, v, e)
}

func allo2Sample(topic string, e delivery.Endpoint, now time.Time) (delivery.View, bool) {
	of := map[string]string{
		allo2CallCompleted: alloCallReceived, allo2SMSReceived: alloSMSReceived, allo2SMSSent: alloSMSSent,
		allo2ContactCreated: alloContactCreated, allo2ContactUpdated: alloContactUpdated,
	}
	if first, ok := of[topic]; ok {
		return alloSample(first, e, now)
	}
	callView := func(t event.Type, p event.Payload) delivery.View {
		v := sampleView(t, "sample-call", nil, e, now)
		v.Payload, v.Call, v.CallLead = p, alloSampleCall(now), sampleLead()
		before := *v.Call
		v.CallBefore = &before
		return v
	}
	goesOn := func(v delivery.View) delivery.View {
		for _, c := range []*call.Call{v.Call, v.CallBefore} {
			c.EndedAt, c.DurationSec, c.Status, c.AnsweredAt = nil, nil, "in_progress", nil
		}
		return v
	}
	switch topic {
	case allo2CallReceived, allo2CallTriggered:
		v := goesOn(callView("call.started.v1", call.Started{}))
		v.CallBefore = nil
		if topic == allo2CallTriggered {
			v.Call.Direction, v.Call.From, v.Call.To = "outbound", v.Call.To, v.Call.From
		}
		return v, true
	case allo2CallAnswered:
		v := goesOn(callView("call.answered.v1", call.Answered{}))
		v.Call.AnsweredAt = &v.Event.OccurredAt
		return v, true
	case allo2TagAdded:
		v := callView("call.corrected.v1", call.Corrected{Tags: []string{"support"}})
		v.CallBefore.Tags = nil
		return v, true
	case allo2TagRemoved:
		v := callView("call.corrected.v1", call.Corrected{Tags: []string{}})
		v.Call.Tags = nil
		return v, true
	case allo2SummaryUpdated:
		return callView("call.summary_added.v1", call.SummaryAdded{Summary: alloSampleCall(now).Summary}), true
	}
	return delivery.View{}, false
}
