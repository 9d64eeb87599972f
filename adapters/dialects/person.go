package dialects

import (
	"cmp"
	"encoding/json"
	"reflect"
	"strings"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/lead"
)

// person is a lead or a contact as the systems that know only "contacts" see
// one. Unknown is empty.
type person struct {
	id, externalID                string
	firstName, lastName, fullName string
	company, title                string
	emails                        []contact.Email
	phones                        []contact.Phone
	address                       contact.Address
	linkedin, facebook, website   string
	timeZone, note                string
	account                       *contact.Account
}

// personOfContact reads a contact. It takes the fields, since what a CRM knows
// of a call's other party has no id of ours.
func personOfContact(id string, f contact.Fields) person {
	p := person{
		id: id, externalID: f.ExternalID.Value, firstName: f.FirstName.Value, lastName: f.LastName.Value,
		company: f.Company.Value, title: f.Title.Value, emails: f.Emails.Value, phones: f.Phones.Value, address: f.Address.Value,
		linkedin: f.LinkedinURL.Value, facebook: f.FacebookURL.Value, website: f.WebsiteURL.Value, timeZone: f.TimeZone.Value, note: f.Note.Value,
	}
	p.fullName = strings.TrimSpace(p.firstName + " " + p.lastName)
	if f.Account.Set && !f.Account.Null {
		a := f.Account.Value
		p.account = &a
	}
	return p
}

// personOfLead reads a lead. What a lead has no field for is taken from custom
// fields of the same name. Its number and address have no kind.
func personOfLead(l *lead.Lead) person {
	p := person{
		id: l.ID, externalID: text(l.ExternalID), firstName: text(l.FirstName), lastName: text(l.LastName), fullName: text(l.DisplayName()),
		company: text(l.Company), title: text(l.Title),
		address: contact.Address{
			Street: customText(l, "address_street"), Street2: customText(l, "address_street_2"), City: text(l.City), State: text(l.State),
			Zip: text(l.Zip), Country: customText(l, "address_country"),
		},
		linkedin: customText(l, "linkedin_url"), facebook: customText(l, "facebook_url"), website: customText(l, "website_url"),
		timeZone: customText(l, "time_zone"), note: customText(l, "note"),
	}
	if p.firstName == "" && p.lastName == "" {
		p.firstName, p.lastName, _ = strings.Cut(p.fullName, " ")
	}
	if e := text(l.Email); e != "" {
		p.emails = []contact.Email{{Kind: "other", Address: e}}
	}
	if l.Phone != "" {
		p.phones = []contact.Phone{{Kind: "other", Number: l.Phone}}
	}
	return p
}

// whole is a person with what an answer to a look-up must have (seed 004): a first
// name, which is what else they are known by, and of an account its id and its name,
// each of which may stand for the other.
func (p person) whole() person {
	p.firstName = cmp.Or(p.firstName, p.lastName, p.company)
	for _, n := range p.phones {
		p.firstName = cmp.Or(p.firstName, n.Number)
	}
	for _, e := range p.emails {
		p.firstName = cmp.Or(p.firstName, e.Address)
	}
	if p.account != nil {
		a := *p.account
		a.ExternalID, a.Name = cmp.Or(a.ExternalID, a.Name), cmp.Or(a.Name, a.ExternalID)
		p.account = &a
		if a.Name == "" {
			p.account = nil
		}
	}
	return p
}

// otherParty is who is known to be at the other end of a call: its lead, else
// what a customer's CRM said.
func otherParty(v delivery.View) (person, bool) {
	switch {
	case v.CallLead != nil:
		return personOfLead(v.CallLead), true
	case v.Call.Contact != nil:
		return personOfContact("", *v.Call.Contact), true
	}
	return person{}, false
}

// idFor is the id that an endpoint asked for.
func (p person) idFor(e delivery.Endpoint) string {
	if p.id == "" || e.IDs == "source" && p.externalID != "" {
		return p.externalID
	}
	return p.id
}

// email is the first address of a kind; of no kind the first of all.
func (p person) email(kind string) string {
	for _, e := range p.emails {
		if kind == "" || e.Kind == kind {
			return e.Address
		}
	}
	return ""
}

// phone is the first number of a kind.
func (p person) phone(kind string) string {
	for _, n := range p.phones {
		if n.Kind == kind {
			return n.Number
		}
	}
	return ""
}

func (p person) addresses() list {
	all := make(list, len(p.emails))
	for i, e := range p.emails {
		all[i] = e.Address
	}
	return all
}

func (p person) numbers() list {
	all := make(list, len(p.phones))
	for i, n := range p.phones {
		all[i] = n.Number
	}
	return all
}

// changedPerson is the contact or lead that an event created or changed; false
// when it changed nothing. created says that it was not known before.
func changedPerson(v delivery.View) (p person, created, changed bool) {
	switch {
	case v.Contact != nil:
		created = v.ContactBefore == nil
		if _, ok := v.Payload.(contact.Updated); ok {
			created = false // its creation was told to somebody else
		}
		return personOfContact(v.Contact.ID, v.Contact.Fields), created, v.ContactBefore == nil || !sameContact(v.ContactBefore.Fields, v.Contact.Fields)
	case v.Lead != nil:
		return personOfLead(v.Lead), v.LeadBefore == nil, v.LeadBefore == nil || len(leadChanges(v.LeadBefore, v.Lead)) > 0
	}
	return person{}, false, false
}

// sameContact compares what people see of a contact.
func sameContact(a, b contact.Fields) bool {
	a.ConnectionID, a.SourceData = b.ConnectionID, nil
	b.SourceData = nil
	return reflect.DeepEqual(a, b)
}

// partyNames are what the two numbers of a call are called: as the source says,
// else by the person at the other end and the agent at ours.
func partyNames(v delivery.View) (from, to string) {
	c := v.Call
	var ours, other string
	if p, ok := otherParty(v); ok {
		other = p.fullName
	}
	if c.Agent != nil {
		ours = c.Agent.Name
	}
	from, to = ours, other
	if c.Direction == "inbound" {
		from, to = other, ours
	}
	if c.FromName != "" {
		from = c.FromName
	}
	if c.ToName != "" {
		to = c.ToName
	}
	return from, to
}

// agentEmail is the address of the agent of a call.
func agentEmail(c *call.Call) string {
	if c.Agent == nil {
		return ""
	}
	return c.Agent.Email
}

func texts(all []string) list {
	l := make(list, len(all))
	for i, s := range all {
		l[i] = s
	}
	return l
}

func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// customText is a lead's custom field if it is a text.
func customText(l *lead.Lead, name string) string {
	return rawText(l.CustomFields[name])
}

// rawText is a JSON string's text, "" for anything else.
func rawText(raw json.RawMessage) string {
	var s string
	if len(raw) == 0 || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	return s
}
