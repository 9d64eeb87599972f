package dialecttest

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// readings are what no path says.
var readings = map[string]func(v delivery.View) any{
	"call.other_party": func(v delivery.View) any { return v.Call.OtherParty() },
	"call.list_name":   func(v delivery.View) any { return v.ListName },
	// The direction as it follows from which of the two numbers is the lead's.
	"call.direction_by_number": func(v delivery.View) any {
		if v.Call.OtherParty() == "" {
			return ""
		}
		return v.Call.Direction
	},
	"call.note_text": func(v delivery.View) any {
		var lines []string
		for _, n := range v.Call.Notes {
			lines = append(lines, n.Body)
		}
		return strings.Join(lines, "\n")
	},
	"call.words":  func(v delivery.View) any { return words(v.Call) },
	"call.spoken": func(v delivery.View) any { return spoken(v.Call) },
	// A transcript by its speakers where it has some, else its text.
	"call.transcription": func(v delivery.View) any {
		if len(v.Call.Segments) > 0 {
			return spoken(v.Call)
		}
		return v.Call.Transcript
	},
	"call.spoken_at": func(v delivery.View) any {
		var all []*time.Time
		for _, s := range v.Call.Segments {
			if s.At == nil {
				return nil
			}
			all = append(all, s.At)
		}
		return all
	},
	"call.tag": func(v delivery.View) any {
		if len(v.Call.Tags) == 0 {
			return nil
		}
		return v.Call.Tags[0]
	},
	// The note that the event wrote, and all by their ids.
	"call.note": func(v delivery.View) any {
		p, ok := v.Payload.(call.NoteAdded)
		if !ok {
			return nil
		}
		id := p.NoteID
		if id == "" {
			id = v.Event.ID
		}
		return each{id: notesByID(v.Call)[id]}
	},
	"call.notes_by_id": func(v delivery.View) any { return notesByID(v.Call) },
	// Where the recording is had, and what the event that makes one available says
	// of it. In the hub that received it, it is the recording of the call.
	"call.recording_url": func(v delivery.View) any { return recordingURL(v) },
	"call.available": func(v delivery.View) any {
		r := aboutRecording(v)
		said := map[string]any{"url": recordingURL(v), "format": r.Format, "duration_sec": r.DurationSec, "expires_at": r.ExpiresAt}
		if !v.RecordingExpires.IsZero() {
			said["expires_at"] = v.RecordingExpires
		}
		return said
	},
	"call.stored": func(v delivery.View) any {
		r := aboutRecording(v)
		return map[string]any{"id": r.ID, "url": recordingURL(v), "duration_sec": r.DurationSec}
	},
	"lead.display_name": func(v delivery.View) any { return leadOf(v).DisplayName() },
	"lead.phone_number": func(v delivery.View) any { return leadOf(v).Phone },
	"lead.changes": func(v delivery.View) any {
		changes, was, is := make(each), leadFields(v.LeadBefore), leadFields(v.Lead)
		for k := range was {
			if _, still := is[k]; !still {
				changes[k] = nil
			}
		}
		for k, value := range is {
			if show(was[k]) != show(value) {
				changes[k] = value
			}
		}
		return changes
	},
	"lead.fields": func(v delivery.View) any { return leadFields(leadOf(v)) },
	"contact.linkedin_url": func(v delivery.View) any {
		if v.Lead != nil {
			return textOf(v.Lead.CustomFields["linkedin_url"])
		}
		return v.Contact.LinkedinURL
	},
	"contact.address": func(v delivery.View) any {
		if v.Lead != nil {
			return map[string]any{"city": v.Lead.City, "state": v.Lead.State, "zip": v.Lead.Zip}
		}
		return v.Contact.Address
	},
	"contact.shown_company": func(v delivery.View) any {
		if v.Lead != nil {
			return map[string]any{"name": v.Lead.Company}
		}
		return company(v.Contact.Fields)
	},
	// Whom a call names as its other party.
	"call.person": func(v delivery.View) any {
		if l := v.CallLead; l != nil {
			first, last := personName(delivery.View{Lead: l})
			return map[string]any{
				"first": first, "last": last, "title": l.Title, "linkedin": textOf(l.CustomFields["linkedin_url"]), "emails": mail(l), "numbers": []string{l.Phone},
				"company": map[string]any{"name": l.Company},
			}
		}
		f := v.Call.Contact
		if f == nil {
			return nil
		}
		return map[string]any{
			"first": f.FirstName, "last": f.LastName, "title": f.Title, "linkedin": f.LinkedinURL, "emails": addresses(*f), "numbers": numbers(*f), "company": company(*f),
		}
	},
	"contact.first": func(v delivery.View) any {
		first, _ := personName(v)
		return first
	},
	"contact.last": func(v delivery.View) any {
		_, last := personName(v)
		return last
	},
	"contact.addresses": func(v delivery.View) any {
		if v.Lead != nil {
			return mail(v.Lead)
		}
		return addresses(v.Contact.Fields)
	},
	"contact.numbers": func(v delivery.View) any {
		if v.Lead != nil {
			return []string{v.Lead.Phone}
		}
		return numbers(v.Contact.Fields)
	},
	// The addresses and numbers of the look-up: one of each kind, and an address of
	// no kind in the first place that is free.
	"contact.emails_by_kind": func(v delivery.View) any {
		if v.Lead != nil {
			return map[string]any{"work": v.Lead.Email, "personal": nil}
		}
		kinds := make(map[string]string)
		for _, e := range v.Contact.Emails.Value {
			kinds[e.Kind] = e.Address
		}
		other := kinds["other"]
		if kinds["work"] == "" {
			kinds["work"], other = other, ""
		}
		if kinds["personal"] == "" {
			kinds["personal"] = other
		}
		delete(kinds, "other")
		return kinds
	},
	"contact.phones_by_kind": func(v delivery.View) any {
		if v.Lead != nil {
			return map[string]any{"other": v.Lead.Phone}
		}
		kinds := make(map[string]string)
		for _, p := range v.Contact.Phones.Value {
			kinds[p.Kind] = p.Number
		}
		return kinds
	},
	"call.all":    func(v delivery.View) any { return shared(v.Call, "id", "external_id", "source_data_said") },
	"lead.all":    func(v delivery.View) any { return shared(v.Lead, "id") },
	"agent.all":   func(v delivery.View) any { return shared(v.Agent) },
	"alert.all":   func(v delivery.View) any { return shared(v.Alert, "id") },
	"message.all": func(v delivery.View) any { return shared(v.Message, "id", "external_id") },
	"contact.all": func(v delivery.View) any { return shared(v.Contact, "id") },
}

func words(c *call.Call) string {
	if c.Transcript != "" || len(c.Segments) == 0 {
		return c.Transcript
	}
	speakers := map[string]string{"agent": "Agent", "customer": "Customer", "external": "External"}
	var lines []string
	for _, s := range c.Segments {
		lines = append(lines, speakers[s.Speaker]+": "+s.Text)
	}
	return strings.Join(lines, "\n")
}

func recordingURL(v delivery.View) string {
	if v.RecordingURL == "" && v.Call.Recording != nil {
		return v.Call.Recording.URL
	}
	return v.RecordingURL
}

// aboutRecording is what is known of the recording that an event is about.
func aboutRecording(v delivery.View) (r call.Recording) {
	if v.Call.Recording != nil {
		r = *v.Call.Recording
	}
	switch p := v.Payload.(type) {
	case call.RecordingStored:
		return call.Recording{ID: p.SourceID, Format: p.Format, DurationSec: p.DurationSec}
	case call.RecordingDelayed:
		if p.SourceID != r.ID {
			return call.Recording{}
		}
	}
	return r
}

func spoken(c *call.Call) (all []map[string]string) {
	for _, s := range c.Segments {
		all = append(all, map[string]string{s.Speaker: s.Text})
	}
	return all
}

func notesByID(c *call.Call) each {
	all := make(each)
	for _, n := range c.Notes {
		said := map[string]any{"body": n.Body, "at": n.At}
		if n.Author != nil {
			said["id"], said["name"] = n.Author.ID, n.Author.Name
		}
		all[n.ID] = said
	}
	return all
}

func leadOf(v delivery.View) *lead.Lead {
	switch {
	case v.Lead != nil:
		return v.Lead
	case v.CallLead != nil:
		return v.CallLead
	}
	return &lead.Lead{}
}

func personName(v delivery.View) (first, last string) {
	if v.Contact != nil {
		return v.Contact.FirstName.Value, v.Contact.LastName.Value
	}
	text := func(s *string) string {
		if s == nil {
			return ""
		}
		return *s
	}
	first, last = text(v.Lead.FirstName), text(v.Lead.LastName)
	if first == "" && last == "" {
		first, last, _ = strings.Cut(text(v.Lead.DisplayName()), " ")
	}
	return first, last
}

func mail(l *lead.Lead) []string {
	if l.Email == nil || *l.Email == "" {
		return nil
	}
	return []string{*l.Email}
}

func textOf(raw json.RawMessage) string {
	var s string
	if json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}

func addresses(f contact.Fields) (all []string) {
	for _, e := range f.Emails.Value {
		all = append(all, e.Address)
	}
	return all
}

func numbers(f contact.Fields) (all []string) {
	for _, p := range f.Phones.Value {
		all = append(all, p.Number)
	}
	return all
}

// company is what is shown of a contact's company: its account, else its name.
func company(f contact.Fields) any {
	if f.Account.Set && !f.Account.Null {
		return map[string]any{"id": f.Account.Value.ExternalID, "name": f.Account.Value.Name}
	}
	return map[string]any{"name": f.Company}
}

// leadFields are what lead.updated names as changed.
func leadFields(l *lead.Lead) each {
	all := make(each)
	if l == nil {
		return all
	}
	for name, v := range map[string]*string{
		"name": l.Name, "first_name": l.FirstName, "last_name": l.LastName, "company": l.Company, "title": l.Title, "email": l.Email,
		"city": l.City, "state": l.State, "zip": l.Zip,
	} {
		all[name] = v
	}
	for k, v := range l.CustomFields {
		all["custom_fields."+k] = v
	}
	return all
}

// ofOneHub are members that each hub has its own of, wherever they stand.
var ofOneHub = map[string]bool{
	"connection_id": true, "list_id": true, "lead_id": true, "source_data": true, "provenance": true, "recording_copy": true, "settled": true,
	"created_at": true, "updated_at": true, "actor": true,
}

// shared is a whole state without what each hub has its own of: ids among them,
// but those that a source gave.
func shared(state any, own ...string) any {
	b, err := event.Marshal(state)
	if err != nil {
		return err.Error()
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.UseNumber()
	var tree map[string]any
	if err := dec.Decode(&tree); err != nil {
		return err.Error()
	}
	for _, name := range own {
		delete(tree, name)
	}
	strip(tree)
	return tree
}

func strip(v any) {
	switch v := v.(type) {
	case []any:
		for _, item := range v {
			strip(item)
		}
	case map[string]any:
		for k, inner := range v {
			if id, ok := inner.(string); ofOneHub[k] || ok && k == "id" && len(id) == len(event.DeriveID()) {
				delete(v, k)
				continue
			}
			strip(inner)
		}
	}
}
