// Package dialecttest is the conformance suite of a dialect: what must hold for
// each, whatever its bytes look like. It also has the small hub that plays a
// made-up day through the real folds, and runs JavaScript where receivers would.
package dialecttest

import (
	"testing"
	"time"

	"github.com/nyaruka/phonenumbers"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Hub is a Stage with the ids that intake would derive.
type Hub struct {
	// Source is what its events name as their source.
	Source string

	stage *dialects.Stage
	seen  map[string]bool
}

// NewHub returns an empty hub.
func NewHub(source string) *Hub {
	stage := dialects.NewStage()
	stage.Lists = map[string]string{"list-q2": "Q2 Florida Realtors", "list-odd": "<b>\u2028 & \"Ω\" \\"}
	return &Hub{Source: source, stage: stage, seen: make(map[string]bool)}
}

// Record folds a fact and returns what a dialect may render from; false when
// the hub has the fact already.
func (h *Hub) Record(t testing.TB, f commands.Fact) (delivery.View, bool) {
	t.Helper()
	p := h.normalise(t, f.Payload)
	topics, err := event.TopicsOf(p.EventType())
	if err != nil {
		t.Fatal(err)
	}
	topic := topics[len(topics)-1] // of two the one that webhooks are made of
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
		ID: id, Source: h.Source, Subject: subject, Org: org, Actor: "key/1", OccurredAt: f.OccurredAt, RecordedAt: f.OccurredAt.Add(time.Second),
	}, ofRecording(p, subject))
	if err != nil {
		t.Fatal(err)
	}
	v, err := h.stage.Fold(ev)
	if err != nil {
		t.Fatal(err)
	}
	v.OrgName = "Acme"
	return v, true
}

// org is the tenant of all that a Hub records.
const org = "org-1"

// ofRecording gives a fact about a recording the hub's own id of it.
func ofRecording(p event.Payload, callID string) event.Payload {
	id := func(have, source string) string {
		if have != "" {
			return have
		}
		return call.RecordingID(org, callID, source)
	}
	switch p := p.(type) {
	case call.RecordingStored:
		p.RecordingID = id(p.RecordingID, p.SourceID)
		return p
	case call.RecordingDelayed:
		p.RecordingID = id(p.RecordingID, p.SourceID)
		return p
	case call.RecordingFetchFailed:
		p.RecordingID = id(p.RecordingID, p.SourceID)
		return p
	case call.RecordingDeleted:
		p.RecordingID = id(p.RecordingID, p.SourceID)
		return p
	}
	return p
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

// Fetched is what a hub says next of a recording that was announced to it: that
// it has it. Of other facts it is nothing.
func Fetched(f commands.Fact, v delivery.View) []commands.Fact {
	p, announced := f.Payload.(call.RecordingReady)
	if !announced {
		return nil
	}
	f.Payload = call.RecordingStored{
		SourceID: v.Call.Recording.ID, Key: "k", SHA256: "00", Bytes: 3, ContentType: "audio/mpeg", Format: p.Recording.Format,
		DurationSec: p.Recording.DurationSec, StoredAt: f.OccurredAt,
	}
	return []commands.Fact{f}
}
