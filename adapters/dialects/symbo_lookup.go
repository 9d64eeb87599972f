package dialects

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
)

// The contact look-up on dial (seed 004): one flat object, served to Symbo for
// what we know and asked of customers' CRMs for what we do not.

// SignLookup returns the signature of a look-up, which has no body: HMAC-SHA256
// in hex of nothing, of the query, or of the whole URL.
func SignLookup(c tenant.Connection, query, url string) delivery.Header {
	return delivery.Header{Name: symboSignature, Value: hexMAC(c.Secret, lookupSigned(c, query, url))}
}

// VerifyLookup checks the signature of a look-up. Its error is safe to show.
func VerifyLookup(c tenant.Connection, h http.Header, query, url string) error {
	err := verifyHex(c.Secret, symboSignature, h.Get(symboSignature), lookupSigned(c, query, url))
	if err != nil && len(h.Get(symboSignature)) == 2*sha256.Size {
		what := map[tenant.Signed]string{tenant.SignedQuery: "the query string", tenant.SignedURL: "the whole URL, as GET /v1/connections shows it"}
		return fmt.Errorf("%w (this connection expects the signature of %s)", err, cmp.Or(what[c.Lookup.Signed], "the empty body"))
	}
	return err
}

func lookupSigned(c tenant.Connection, query, url string) []byte {
	switch c.Lookup.Signed {
	case tenant.SignedQuery:
		return []byte(query)
	case tenant.SignedURL:
		return []byte(url)
	}
	return nil
}

// LookupOfContact writes what a look-up answers of a contact.
func LookupOfContact(c contact.Contact) ([]byte, error) {
	return render(lookupBody(personOfContact(c.ID, c.Fields).whole()))
}

// LookupOfLead writes what a look-up answers of a lead.
func LookupOfLead(l lead.Lead) ([]byte, error) {
	return render(lookupBody(personOfLead(&l).whole()))
}

// lookupBody has the keys of the seed in its order, "" for what is not known,
// and an account only where there is one. external_id must be there: an entry
// without an id of its own has ours.
func lookupBody(p person) object {
	id := p.externalID
	if id == "" {
		id = p.id
	}
	work, personal := p.email("work"), p.email("personal")
	other := p.email("other")
	if work == "" {
		work, other = other, ""
	}
	if personal == "" {
		personal = other
	}
	o := object{
		{"external_id", id},
		{"first_name", p.firstName},
		{"last_name", p.lastName},
		{"work_email", work},
		{"personal_email", personal},
		{"work_phone", p.phone("work")},
		{"mobile_phone", p.phone("mobile")},
		{"home_phone", p.phone("home")},
		{"other_phone", p.phone("other")},
		{"address_city", p.address.City},
		{"address_country", p.address.Country},
		{"address_state", p.address.State},
		{"address_street", p.address.Street},
		{"address_street_2", p.address.Street2},
		{"address_zip", p.address.Zip},
		{"linkedin_url", p.linkedin},
		{"facebook_url", p.facebook},
		{"personal_note_1", p.note},
		{"time_zone", p.timeZone},
		{"title", p.title},
		{"website_url_1", p.website},
	}
	if a := p.account; a != nil {
		o = append(o, member{"account", object{
			{"external_id", a.ExternalID},
			{"name", a.Name},
			{"website_url", a.WebsiteURL},
			{"industry", a.Industry},
		}})
	}
	return o
}

// errNoPerson says that an answer names nobody.
var errNoPerson = errors.New("the answer has neither external_id nor first_name, which a match must have")

// ReadLookup reads what a customer's CRM answered. What it does not say is left
// out; its error says in words what is wrong.
func ReadLookup(body []byte) (contact.Fields, error) {
	r, err := readBody(body)
	if err != nil {
		return contact.Fields{}, fmt.Errorf("reading the answer: %w", err)
	}
	f := lookupFields(r, true)
	f.SourceData = joined(r.rest(), f.SourceData)
	if err := r.err(); err != nil {
		return contact.Fields{}, fmt.Errorf("reading the answer: %w", err)
	}
	if !f.ExternalID.Set && !f.FirstName.Set {
		return contact.Fields{}, errNoPerson
	}
	return f, nil
}

// lookupFields reads the flat object, and keeps what it does not know of the
// account. Of a whole entry that was changed, what is sent empty is not there any
// more.
func lookupFields(r reader, created bool) contact.Fields {
	cleared := func(key string, o event.Opt[string]) event.Opt[string] {
		if _, sent := r.fields[key]; sent && !o.Set && !created {
			return event.Null[string]()
		}
		return o
	}
	whole := func(key string) event.Opt[string] { return cleared(key, r.opt(key)) }
	f := contact.Fields{
		ExternalID: cleared("external_id", r.optID("external_id")), FirstName: whole("first_name"), LastName: whole("last_name"), Title: whole("title"),
		LinkedinURL: whole("linkedin_url"), FacebookURL: whole("facebook_url"), WebsiteURL: whole("website_url_1"),
		TimeZone: whole("time_zone"), Note: whole("personal_note_1"),
	}
	var emails []contact.Email
	for _, kind := range []string{"work", "personal"} {
		if a := r.text(kind + "_email"); a != "" {
			emails = append(emails, contact.Email{Kind: kind, Address: a})
		}
	}
	var phones []contact.Phone
	for _, kind := range []string{"work", "mobile", "home", "other"} {
		if n := r.text(kind + "_phone"); n != "" {
			phones = append(phones, contact.Phone{Kind: kind, Number: n})
		}
	}
	address := contact.Address{
		Street: r.text("address_street"), Street2: r.text("address_street_2"), City: r.text("address_city"), State: r.text("address_state"),
		Zip: r.text("address_zip"), Country: r.text("address_country"),
	}
	a := r.object("account")
	account := contact.Account{ExternalID: a.idIfAny("external_id"), Name: a.text("name"), WebsiteURL: a.text("website_url"), Industry: a.text("industry")}
	f.Emails = group(emails, emails == nil, !created && r.has("_email"))
	f.Phones = group(phones, phones == nil, !created && r.has("_phone"))
	f.Address = group(address, address == contact.Address{}, !created && r.has("address_"))
	f.Account = group(account, account == contact.Account{}, !created && r.has("account"))
	f.SourceData = merged(nil, map[string]map[string]json.RawMessage{"account": a.rest()})
	return f
}

// group is what several fields make together: nothing where they are empty,
// unless that clears it.
func group[T any](v T, empty, clears bool) event.Opt[T] {
	switch {
	case !empty:
		return event.Some(v)
	case clears:
		return event.Null[T]()
	}
	return event.Opt[T]{}
}

// has reports whether a field was sent whose name holds a word.
func (r reader) has(word string) bool {
	for k := range r.fields {
		if strings.Contains(k, word) {
			return true
		}
	}
	return false
}
