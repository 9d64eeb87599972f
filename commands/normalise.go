package commands

import (
	"encoding/json"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
)

// normalise validates a payload and returns it in its stored form, with the
// moment that it names itself. Pointers are relative to the payload. What comes
// from outside may not be one of the hub's own facts.
func (k *checker) normalise(f Fact) (event.Payload, time.Time) {
	switch p := f.Payload.(type) {
	case lead.Upserted:
		return k.lead(p), time.Time{}
	case call.Started:
		return k.started(p, f)
	case call.Answered:
		p.Named = k.named(p.Named, f)
		p.AnsweredAt = k.moment("/answered_at", p.AnsweredAt, f)
		k.agent("/agent", p.Agent)
		return p, p.AnsweredAt
	case call.Ended:
		p.Named = k.named(p.Named, f)
		p.EndedAt = k.moment("/ended_at", p.EndedAt, f)
		k.text("/status", p.Status, maxShort)
		k.nonNegative("/duration_sec", p.DurationSec)
		return p, p.EndedAt
	case call.Dispositioned:
		p.Named = k.named(p.Named, f)
		k.need("/disposition", p.Disposition, maxShort)
		k.agent("/agent", p.Agent)
		return p, time.Time{}
	case call.NoteAdded:
		p.Named = k.named(p.Named, f)
		k.need("/note", p.Note, maxText)
		k.text("/note_id", p.NoteID, maxShort)
		k.agent("/author", p.Author)
		return p, time.Time{}
	case call.RecordingReady:
		p.Named = k.named(p.Named, f)
		p.Recording = k.recording("/recording", p.Recording)
		return p, time.Time{}
	case call.TranscriptReady:
		p.Named = k.named(p.Named, f)
		return k.transcript(p), time.Time{}
	case call.SummaryAdded:
		p.Named = k.named(p.Named, f)
		if p.Summary == "" && p.OneSentence == "" {
			k.add("/summary", "summary or one_sentence_summary is required")
		}
		k.text("/summary", p.Summary, maxText)
		k.text("/one_sentence_summary", p.OneSentence, maxText)
		return p, time.Time{}
	case call.Transferred:
		p.Named = k.named(p.Named, f)
		p.Transfer = k.transfer("/transfer", p.Transfer)
		return p, time.Time{}
	case call.Corrected:
		p.Named = k.named(p.Named, f)
		return k.corrected(p), time.Time{}
	case agent.LogIn:
		p.Change = k.change(p.Change)
		return p, time.Time{}
	case agent.LogOut:
		p.Change = k.change(p.Change)
		return p, time.Time{}
	case agent.Pause:
		p.Change = k.change(p.Change)
		return p, time.Time{}
	case agent.Resume:
		p.Change = k.change(p.Change)
		return p, time.Time{}
	case alert.Triggered:
		return k.triggered(p), time.Time{}
	case alert.Acknowledged:
		k.text("/note", p.Note, maxText)
		p.SourceData = k.more("source_data", p.SourceData, nil)
		return p, time.Time{}
	case alert.Resolved:
		k.text("/note", p.Note, maxText)
		p.SourceData = k.more("source_data", p.SourceData, nil)
		return p, time.Time{}
	case message.Received:
		p.Text = k.message(p.Text, f, inbound)
		return p, p.SentAt
	case message.Sent:
		p.Text = k.message(p.Text, f, outbound)
		return p, p.SentAt
	case contact.Created:
		p.Fields = k.contact(p.Fields, f)
		return p, time.Time{}
	case contact.Updated:
		p.Fields = k.contact(p.Fields, f)
		return p, time.Time{}
	}
	k.add("/type", "%s is the hub's own and cannot be reported", f.Payload.EventType())
	return f.Payload, time.Time{}
}

// possible is the fact to record: the one that is there instead of a lead whose
// number is none.
func (k *checker) possible(f Fact) Fact {
	l, ok := f.Payload.(lead.Upserted)
	if !ok || f.Instead == nil || k.strict() {
		return f
	}
	if _, err := k.phones.E164(l.Phone, k.region(l.ListID.Value)); err == nil {
		return f
	}
	return *f.Instead
}

// The directions of calls and messages.
const (
	inbound  = "inbound"
	outbound = "outbound"
)

// moment is a time that a payload cannot be without: as told, else when the
// fact occurred, else now.
func (k *checker) moment(at string, t time.Time, f Fact) time.Time {
	if t.IsZero() {
		t = f.OccurredAt
	}
	if t.IsZero() {
		t = k.now
	}
	return k.when(at, t)
}

func (k *checker) lead(p lead.Upserted) lead.Upserted {
	p.Phone = k.phone("/phone", p.Phone, k.region(p.ListID.Value), true)
	for _, o := range []struct {
		at string
		v  event.Opt[string]
	}{
		{"/external_id", p.ExternalID},
		{"/name", p.Name},
		{"/first_name", p.FirstName},
		{"/last_name", p.LastName},
		{"/company", p.Company},
		{"/title", p.Title},
		{"/email", p.Email},
		{"/city", p.City},
		{"/state", p.State},
		{"/zip", p.Zip},
		{"/list_id", p.ListID},
	} {
		k.opt(o.at, o.v, maxShort)
	}
	p.CustomFields = k.more("custom_fields", p.CustomFields, &p.SourceData)
	p.SourceData = k.more("source_data", p.SourceData, nil)
	return p
}

func (k *checker) change(c agent.Change) agent.Change {
	k.text("/name", c.Name, maxShort)
	k.text("/email", c.Email, maxShort)
	k.text("/reason", c.Reason, maxShort)
	k.text("/campaign", c.Campaign, maxShort)
	c.SourceData = k.more("source_data", c.SourceData, nil)
	return c
}

func (k *checker) triggered(p alert.Triggered) alert.Triggered {
	for _, f := range []struct{ at, v string }{
		{"/rule", p.Rule}, {"/metric", p.Metric}, {"/condition", p.Condition}, {"/severity", p.Severity},
	} {
		if k.strict() {
			k.need(f.at, f.v, maxShort)
			continue
		}
		k.text(f.at, f.v, maxShort)
	}
	k.text("/campaign", p.Campaign, maxShort)
	k.text("/note", p.Note, maxText)
	p.SourceData = k.more("source_data", p.SourceData, nil)
	return p
}

func (k *checker) message(t message.Text, f Fact, direction string) message.Text {
	if t.Direction == "" {
		t.Direction = direction
	}
	if t.Direction != direction {
		k.add("/direction", "expected %s for this type of event", direction)
	}
	if t.ExternalID == "" {
		t.ExternalID = f.ExternalID
	}
	t.ConnectionID = k.caller.ConnectionID
	t.Type = strings.ToUpper(t.Type)
	k.oneOf("/type", t.Type, "SMS", "MMS")
	if t.Content == "" && len(t.Media) == 0 && k.strict() {
		k.add("/content", "required")
	}
	k.text("/content", t.Content, maxText)
	for i, u := range t.Media {
		k.url("/media/"+itoa(i), u)
	}
	t.From = k.heard("from", t.From, k.region(""), true, &t.SourceData)
	t.To = k.heard("to", t.To, k.region(""), true, &t.SourceData)
	k.text("/external_id", t.ExternalID, maxShort)
	k.text("/from_name", t.FromName, maxShort)
	k.text("/to_name", t.ToName, maxShort)
	k.text("/agent_email", t.AgentEmail, maxShort)
	t.SentAt = k.moment("/sent_at", t.SentAt, f)
	t.SourceData = k.more("source_data", t.SourceData, nil)
	return t
}

func (k *checker) contact(c contact.Fields, f Fact) contact.Fields {
	if !c.ExternalID.Set && f.ExternalID != "" {
		c.ExternalID = event.Some(f.ExternalID)
	}
	c.ConnectionID = event.Opt[string]{}
	if k.caller.ConnectionID != "" {
		c.ConnectionID = event.Some(k.caller.ConnectionID)
	}
	for _, o := range []struct {
		at    string
		v     event.Opt[string]
		limit int
	}{
		{"/external_id", c.ExternalID, maxShort},
		{"/first_name", c.FirstName, maxShort},
		{"/last_name", c.LastName, maxShort},
		{"/company", c.Company, maxShort},
		{"/title", c.Title, maxShort},
		{"/linkedin_url", c.LinkedinURL, maxURL},
		{"/facebook_url", c.FacebookURL, maxURL},
		{"/website_url", c.WebsiteURL, maxURL},
		{"/time_zone", c.TimeZone, maxShort},
		{"/note", c.Note, maxText},
	} {
		k.opt(o.at, o.v, o.limit)
	}
	for i, m := range c.Emails.Value {
		k.oneOf("/emails/"+itoa(i)+"/kind", m.Kind, "work", "personal", "other")
		k.need("/emails/"+itoa(i)+"/address", m.Address, maxShort)
	}
	if len(c.Phones.Value) > 0 {
		c.Phones.Value, c.SourceData = k.numbers(c.Phones.Value, c.SourceData)
	}
	a := c.Address.Value
	for _, s := range []string{a.Street, a.Street2, a.City, a.State, a.Zip, a.Country} {
		k.text("/address", s, maxShort)
	}
	b := c.Account.Value
	for _, s := range []string{b.ExternalID, b.Name, b.WebsiteURL, b.Industry} {
		k.text("/account", s, maxURL)
	}
	c.SourceData = k.more("source_data", c.SourceData, nil)
	return c
}

// numbers brings the numbers of a contact to E.164. Another system's address
// book holds what people typed: what is no number is kept as source_data there,
// and does not cost the rest of the contact.
func (k *checker) numbers(given []contact.Phone, rest map[string]json.RawMessage) ([]contact.Phone, map[string]json.RawMessage) {
	phones := make([]contact.Phone, 0, len(given))
	var unread []string
	for i, p := range given {
		at := "/phones/" + itoa(i)
		k.oneOf(at+"/kind", p.Kind, "work", "mobile", "home", "other")
		if !k.strict() {
			if _, err := k.phones.E164(p.Number, k.region("")); err != nil {
				unread = append(unread, p.Number)
				continue
			}
		}
		phones = append(phones, contact.Phone{Kind: p.Kind, Number: k.phone(at+"/number", p.Number, k.region(""), true)})
	}
	if unread == nil {
		return phones, rest
	}
	return phones, with(rest, "unread_phones", unread)
}
