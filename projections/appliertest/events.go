package appliertest

import (
	"encoding/json"
	"fmt"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

var began = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// at makes a recorded event of an entity at an offset.
func at(topic event.Topic, offset int64, org, subject, id string, p event.Payload) event.Recorded {
	when := began.Add(time.Duration(offset) * time.Minute)
	e, err := event.New(event.Envelope{ID: id, Org: org, Subject: subject, Source: "api", Actor: "key/1", OccurredAt: when, RecordedAt: when.Add(time.Second)}, p)
	if err != nil {
		panic(err) // a payload of this package that cannot be encoded
	}
	return event.Recorded{Event: e, Position: event.Position{Topic: topic, Partition: partition, Offset: offset}}
}

// story is what happens to two calls, with a repeat, from an offset on.
func story(offset int64) []event.Recorded {
	next := func(subject, id string, p event.Payload) event.Recorded {
		offset += 2 // a log has gaps
		return at(event.Calls, offset, "org", subject, id, p)
	}
	return []event.Recorded{
		next("c1", "e1", call.Started{Direction: "inbound", From: "+14155550100", To: "+14155550111", StartedAt: began}),
		next("c2", "e2", call.Started{Direction: "outbound", From: "+14155550111", To: "+14155550122", StartedAt: began}),
		next("c1", "e3", call.Ended{EndedAt: began.Add(time.Minute)}),
		next("c1", "e1", call.Started{Direction: "inbound", From: "+14155550100", To: "+14155550111", StartedAt: began}),
		next("c1", "e4", call.NoteAdded{Note: "asks for <b>Ada</b> \u2028 \u0000"}),
		next("c2", "e5", call.Dispositioned{Disposition: "sale"}),
	}
}

// shift is an agent's log-in or log-out.
func shift(offset int64, id string, in bool) event.Recorded {
	if in {
		return at(event.Agents, offset, "org", "a1", id, agent.LogIn{})
	}
	return at(event.Agents, offset, "org", "a1", id, agent.LogOut{})
}

// histories generates what can stand in a partition: events of a few entities
// of two orgs, some of them twice, some of them poison.
func histories(topic event.Topic) *rapid.Generator[[]event.Recorded] {
	return rapid.Custom(func(r *rapid.T) []event.Recorded {
		n := rapid.IntRange(1, 60).Draw(r, "events")
		offset := int64(0)
		var all []event.Recorded
		for i := range n {
			offset += rapid.Int64Range(1, 3).Draw(r, "gap")
			if len(all) > 0 && rapid.IntRange(0, 9).Draw(r, "kind") == 0 {
				again := rapid.SampledFrom(all).Draw(r, "again")
				again.Position.Offset = offset
				all = append(all, again)
				continue
			}
			org := rapid.SampledFrom([]string{"org-a", "org-b"}).Draw(r, "org")
			subject := rapid.SampledFrom([]string{"one", "two", "three"}).Draw(r, "subject")
			e := at(topic, offset, org, subject, fmt.Sprintf("e%d", i), payload(r, topic))
			if rapid.IntRange(0, 29).Draw(r, "sound") == 0 {
				e.Data = json.RawMessage(rapid.SampledFrom([]string{"", "{", "[1]", `"\ud800`, "null null", "\xff"}).Draw(r, "junk"))
			}
			if rapid.IntRange(0, 39).Draw(r, "listed") == 0 {
				e.Type = "call.teleported.v9"
			}
			all = append(all, e)
		}
		return all
	})
}

func payload(r *rapid.T, topic event.Topic) event.Payload {
	text := rapid.SampledFrom([]string{"", "Ada", "Grace <Hopper>", "\u0000nul", "ключ", "'quoted' \\ & | : *"}).Draw(r, "text")
	when := began.Add(time.Duration(rapid.IntRange(0, 10_000).Draw(r, "second")) * time.Second)
	switch topic {
	case event.Leads:
		u := lead.Upserted{Phone: "+14155550100", Name: event.Some(text)}
		if rapid.Bool().Draw(r, "clear") {
			u.Name = event.Null[string]()
		}
		u.CustomFields = map[string]json.RawMessage{text: json.RawMessage(`1`), "k": json.RawMessage(`null`)}
		return u
	case event.Calls:
		return rapid.SampledFrom([]event.Payload{
			call.Started{Direction: "outbound", From: text, To: "+1", StartedAt: when, Agent: &call.Agent{ID: "a", Name: text}},
			call.Ended{EndedAt: when, Status: text},
			call.NoteAdded{Note: text},
			call.Dispositioned{Disposition: text},
			call.Corrected{Tags: []string{text}},
		}).Draw(r, "payload")
	case event.Agents:
		c := agent.Change{Reason: text, Strict: rapid.Bool().Draw(r, "strict")}
		return rapid.SampledFrom([]event.Payload{agent.LogIn{Change: c}, agent.LogOut{Change: c}, agent.Pause{Change: c}, agent.Resume{Change: c}}).Draw(r, "payload")
	case event.Alerts:
		return rapid.SampledFrom([]event.Payload{alert.Triggered{Rule: text, Value: 1.5}, alert.Acknowledged{Note: text}, alert.Resolved{}}).Draw(r, "payload")
	case event.Messages:
		return message.Received{Text: message.Text{Direction: "inbound", Type: "SMS", Content: text, From: "+1", To: text, SentAt: when}}
	case event.Contacts:
		return contact.Updated{Fields: contact.Fields{FirstName: event.Some(text), Phones: event.Some([]contact.Phone{{Kind: "work", Number: "+14155550100"}, {Number: text}})}}
	case event.Operations:
		about := delivery.About{WebhookID: "one", Name: text}
		return rapid.SampledFrom([]event.Payload{
			delivery.EndpointFailing{About: about, Since: when, Failures: 3, LastError: text},
			delivery.EndpointDisabled{About: about, By: delivery.ByHub, Reason: text},
			delivery.EndpointEnabled{About: about},
			delivery.EndpointRecovered{About: about, Since: when, DeliveredAt: when},
			delivery.Exhausted{Attempts: 3},
		}).Draw(r, "payload")
	default:
		return rapid.SampledFrom([]event.Payload{
			delivery.Attempted{Number: 1, StartedAt: when, StatusCode: 200, Outcome: delivery.OutcomeDelivered},
			delivery.Attempted{Number: 1, StartedAt: when, StatusCode: 500, Outcome: delivery.OutcomeFailed, Error: text},
			delivery.Exhausted{Attempts: 3},
			delivery.Held{Reason: text},
			delivery.Dropped{Reason: text},
		}).Draw(r, "payload")
	}
}
