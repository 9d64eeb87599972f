// Package contact holds the facts of an address-book entry.
package contact

import (
	"encoding/json"
	"maps"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Contact is the state of one contact: each field as the newest fact about it set
// it. The fields are those of a Symbo contact look-up (seed 004), wide enough for the
// other systems.
type Contact struct {
	ID string `json:"id"`
	Fields
	// Provenance says which event set each field. States of an earlier release have
	// none; of what they know, any fact is newer.
	Provenance Origins   `json:"provenance,omitempty"`
	CreatedAt  time.Time `json:"created_at"`
	UpdatedAt  time.Time `json:"updated_at"`
}

// Email is an address with what it is for: "work", "personal" or "other".
type Email struct {
	Kind    string `json:"kind"`
	Address string `json:"address" pii:"email"`
}

// Phone is an E.164 number with what it is: "work", "mobile", "home", "other".
type Phone struct {
	Kind   string `json:"kind"`
	Number string `json:"number" pii:"phone"`
}

// Address is a postal address.
type Address struct {
	Street  string `json:"street,omitempty" pii:"address"`
	Street2 string `json:"street_2,omitempty" pii:"address"`
	City    string `json:"city,omitempty" pii:"address"`
	State   string `json:"state,omitempty" pii:"address"`
	Zip     string `json:"zip,omitempty" pii:"address"`
	Country string `json:"country,omitempty" pii:"address"`
}

// Account is the company of a contact.
type Account struct {
	ExternalID string `json:"external_id"`
	Name       string `json:"name"`
	WebsiteURL string `json:"website_url,omitempty"`
	Industry   string `json:"industry,omitempty"`
}

// Fields are a contact's fields. In a fact absent keeps what is known; null
// clears it; a given array or object replaces the former whole.
type Fields struct {
	ExternalID   event.Opt[string]          `json:"external_id,omitzero"`
	ConnectionID event.Opt[string]          `json:"connection_id,omitzero"`
	FirstName    event.Opt[string]          `json:"first_name,omitzero" pii:"name"`
	LastName     event.Opt[string]          `json:"last_name,omitzero" pii:"name"`
	Company      event.Opt[string]          `json:"company,omitzero"`
	Title        event.Opt[string]          `json:"title,omitzero"`
	Emails       event.Opt[[]Email]         `json:"emails,omitzero"`
	Phones       event.Opt[[]Phone]         `json:"phones,omitzero"`
	Address      event.Opt[Address]         `json:"address,omitzero"`
	LinkedinURL  event.Opt[string]          `json:"linkedin_url,omitzero"`
	FacebookURL  event.Opt[string]          `json:"facebook_url,omitzero"`
	WebsiteURL   event.Opt[string]          `json:"website_url,omitzero"`
	TimeZone     event.Opt[string]          `json:"time_zone,omitzero"`
	Note         event.Opt[string]          `json:"note,omitzero" pii:"content"`
	Account      event.Opt[Account]         `json:"account,omitzero"`
	SourceData   map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

type fact interface {
	event.Payload
	fields() Fields
}

// Apply folds one event.
func (c *Contact) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("contact", p)
	}
	c.ID = e.Subject
	if c.CreatedAt.IsZero() {
		c.CreatedAt = e.RecordedAt
	}
	from := Provenance{EventID: e.ID, OccurredAt: e.OccurredAt, Source: e.Source}
	if made, ok := p.(Created); ok && made.Undated {
		from.OccurredAt = time.Time{}
	}
	c.merge(f.fields(), from)
	c.UpdatedAt = e.RecordedAt
	return nil
}

func (c *Contact) merge(f Fields, from Provenance) {
	m := merge{from: from, known: c.Provenance.ByField()}
	keep(&m, "external_id", &c.ExternalID, f.ExternalID)
	keep(&m, "connection_id", &c.ConnectionID, f.ConnectionID)
	keep(&m, "first_name", &c.FirstName, f.FirstName)
	keep(&m, "last_name", &c.LastName, f.LastName)
	keep(&m, "company", &c.Company, f.Company)
	keep(&m, "title", &c.Title, f.Title)
	keep(&m, "emails", &c.Emails, f.Emails)
	keep(&m, "phones", &c.Phones, f.Phones)
	keep(&m, "address", &c.Address, f.Address)
	keep(&m, "linkedin_url", &c.LinkedinURL, f.LinkedinURL)
	keep(&m, "facebook_url", &c.FacebookURL, f.FacebookURL)
	keep(&m, "website_url", &c.WebsiteURL, f.WebsiteURL)
	keep(&m, "time_zone", &c.TimeZone, f.TimeZone)
	keep(&m, "note", &c.Note, f.Note)
	keep(&m, "account", &c.Account, f.Account)
	if len(f.SourceData) > 0 {
		merged := make(map[string]json.RawMessage, len(c.SourceData)+len(f.SourceData))
		maps.Copy(merged, c.SourceData)
		for _, k := range slices.Sorted(maps.Keys(f.SourceData)) {
			if m.wins("source_data." + k) {
				merged[k] = f.SourceData[k]
			}
		}
		c.SourceData = merged
	}
	c.Provenance = c.Provenance.with(from, m.won)
}

func keep[T any](m *merge, field string, known *event.Opt[T], said event.Opt[T]) {
	switch {
	case !said.Set || !m.wins(field):
	case said.Null:
		*known = event.Opt[T]{}
	default:
		*known = said
	}
}
