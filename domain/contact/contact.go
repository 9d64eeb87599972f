// Package contact holds the facts of an address-book entry.
package contact

import (
	"encoding/json"
	"maps"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Contact is the state of one contact. The fields are those of a Symbo contact
// look-up (seed 004), wide enough for the other systems.
type Contact struct {
	ID string `json:"id"`
	Fields
	// Unmade says that changes came before the creation, which has not come.
	Unmade    bool      `json:"unmade,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
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
	_, made := p.(Created)
	if c.CreatedAt.IsZero() {
		c.CreatedAt = e.RecordedAt
		c.Unmade = !made
	}
	if said := f.fields(); made && c.Unmade {
		var all Fields
		all.merge(said)
		all.merge(c.Fields)
		c.Fields, c.Unmade = all, false
	} else {
		c.merge(said)
	}
	c.UpdatedAt = e.RecordedAt
	return nil
}

func (c *Fields) merge(f Fields) {
	keep(&c.ExternalID, f.ExternalID)
	keep(&c.ConnectionID, f.ConnectionID)
	keep(&c.FirstName, f.FirstName)
	keep(&c.LastName, f.LastName)
	keep(&c.Company, f.Company)
	keep(&c.Title, f.Title)
	keep(&c.Emails, f.Emails)
	keep(&c.Phones, f.Phones)
	keep(&c.Address, f.Address)
	keep(&c.LinkedinURL, f.LinkedinURL)
	keep(&c.FacebookURL, f.FacebookURL)
	keep(&c.WebsiteURL, f.WebsiteURL)
	keep(&c.TimeZone, f.TimeZone)
	keep(&c.Note, f.Note)
	keep(&c.Account, f.Account)
	if len(f.SourceData) > 0 {
		merged := make(map[string]json.RawMessage, len(c.SourceData)+len(f.SourceData))
		maps.Copy(merged, c.SourceData)
		maps.Copy(merged, f.SourceData)
		c.SourceData = merged
	}
}

func keep[T any](known *event.Opt[T], said event.Opt[T]) {
	switch {
	case !said.Set:
	case said.Null:
		*known = event.Opt[T]{}
	default:
		*known = said
	}
}
