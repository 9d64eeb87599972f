package dialects

import (
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// symboSampleCall is the call of the seed's example.
func symboSampleCall(now time.Time) *call.Call {
	c := sampleCall(now)
	c.From, c.To = "+19897189159", "+15178626434"
	c.Agent.Name = "Rep Name"
	c.Disposition = "answered_positive"
	c.Notes[0].Body = "User entered call note"
	c.Transcript = ""
	c.Segments = []call.Segment{{Speaker: "agent", Text: "This is a test."}, {Speaker: "customer", Text: "Hey."}}
	whole, part := func(n int64) *int64 { return &n }, func(n float64) *float64 { return &n }
	c.Metrics = &call.Metrics{
		TotalTalkTimeMillis: whole(1399), TotalConversationDurationMillis: whole(2170), RepTalkTimeMillis: whole(830),
		ProspectTalkTimeMillis: whole(569), RepOverallSentiment: part(0), ProspectOverallSentiment: part(0),
		RepWordsPerMinute: part(72), ProspectWordsPerMinute: part(105), TotalSilenceTimeMillis: whole(0),
	}
	return c
}

func symboSampleLead() *lead.Lead {
	l := sampleLead()
	first, last, title, id := "Sally", "Sample", "Sales Manager", "12345"
	l.Name, l.FirstName, l.LastName, l.Title, l.ExternalID, l.Phone = nil, &first, &last, &title, &id, "+15178626434"
	return l
}

func symboSampleView(t event.Type, p event.Payload, e delivery.Endpoint, now time.Time) delivery.View {
	v := sampleView(t, "sample-call", nil, e, now)
	v.Payload, v.Call, v.CallLead = p, symboSampleCall(now), symboSampleLead()
	return v
}

// Sample renders the call of the seed's example.
func (d Symbo) Sample(name string, e delivery.Endpoint, now time.Time) (delivery.Message, error) {
	var v delivery.View
	switch name {
	case symboCreated:
		v = symboSampleView("call.ended.v1", call.Ended{}, e, now)
	case symboUpdated:
		v = symboSampleView("call.dispositioned.v1", call.Dispositioned{}, e, now)
		before := *v.Call
		v.CallBefore = &before
	default:
		return delivery.Message{}, unknownEvent(d, name)
	}
	return sampled(d, v, e)
}

func symbo2025Sample(name string, e delivery.Endpoint, now time.Time) (delivery.View, bool) {
	v := symboSampleView("call.dispositioned.v1", call.Dispositioned{}, e, now)
	before := *v.Call
	switch name {
	case symbo2025Created:
		v = symboSampleView("call.started.v1", call.Started{}, e, now)
		v.Call = &call.Call{
			ID: v.Call.ID, ExternalID: v.Call.ExternalID, Direction: v.Call.Direction, From: v.Call.From, To: v.Call.To,
			Agent: v.Call.Agent, Status: "in_progress", StartedAt: v.Call.StartedAt,
		}
		return v, true
	case symbo2025Completed:
		v = symboSampleView("call.ended.v1", call.Ended{}, e, now)
		v.Call.Recording, v.Call.Segments, v.Call.TranscriptAt, v.Call.Metrics = nil, nil, nil, nil
		return v, true
	case symbo2025Updated:
	case symbo2025Recorded:
		v = symboSampleView("call.transcript_ready.v1", call.TranscriptReady{}, e, now)
		before.TranscriptAt, before.Segments = nil, nil
	case symbo2025ProspectCreated:
		v = sampleView("contact.created.v1", "sample-contact", nil, e, now)
		v.Payload, v.Contact = contact.Created{}, sampleContact(now)
		return v, true
	case symbo2025ProspectUpdated:
		v = sampleView("contact.updated.v1", "sample-contact", nil, e, now)
		v.Payload, v.Contact, v.ContactBefore = contact.Updated{}, sampleContact(now), sampleContact(now)
		v.ContactBefore.Title = event.Opt[string]{}
		return v, true
	default:
		return v, false
	}
	v.CallBefore = &before
	return v, true
}
