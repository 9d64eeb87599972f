package connectors

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
)

// person finds who has the call's number: a Contact before a Lead, and of
// several the one that was changed last.
func (s salesforceSession) person(ctx context.Context) (salesforceRecord, error) {
	s.tape.step("find the contact or lead by phone")
	number, ok := numbersOf(s.doc.party())
	if !ok {
		s.tape.done("the call has no number")
		return salesforceRecord{}, nil
	}
	found, err := s.search(ctx, number)
	if err != nil {
		return salesforceRecord{}, err
	}
	for _, kind := range []string{"Contact", "Lead"} {
		for _, r := range found {
			if r.Attributes.Type == kind {
				s.tape.done("%s %s (%s), of %d found", kind, r.ID, r.Name, len(found))
				return r, nil
			}
		}
	}
	s.tape.done("nobody has %s", number.e164)
	if s.config.Unmatched != unmatchedLead {
		return salesforceRecord{}, nil
	}
	return s.newLead(ctx, number)
}

// search asks for both at once. National digits find numbers however they are
// written; the international ones those that are stored with their country.
func (s salesforceSession) search(ctx context.Context, n numbers) ([]salesforceRecord, error) {
	q := "FIND {" + n.national
	if n.digits != n.national {
		q += " OR " + n.digits
	}
	q += "} IN PHONE FIELDS RETURNING Contact(Id, Name ORDER BY LastModifiedDate DESC LIMIT 5)," +
		" Lead(Id, Name WHERE IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 5)"
	var found struct {
		SearchRecords []salesforceRecord `json:"searchRecords"`
	}
	err := s.api.call(ctx, http.MethodGet, "/search/?q="+url.QueryEscape(q), nil, &found)
	return found.SearchRecords, err
}

// newLead makes a Lead of what is known of a person.
func (s salesforceSession) newLead(ctx context.Context, n numbers) (salesforceRecord, error) {
	s.tape.step("make a lead")
	key := "salesforce/lead/" + n.e164
	// The index of phone numbers lags behind, so a lead of a moment ago is
	// remembered; somebody may have deleted it since.
	made, known, err := remembered[salesforceRecord](ctx, s.attempt, key)
	if err != nil {
		return made, err
	}
	if known {
		id, err := s.query(ctx, "Id", fmt.Sprintf("SELECT Id FROM Lead WHERE Id = '%s'", soql(made.ID)))
		if err != nil || id != "" {
			s.tape.done("Lead %s, made before", made.ID)
			return made, err
		}
	}
	made, err = s.makeLead(ctx, n)
	if err != nil {
		return made, err
	}
	s.tape.done("Lead %s", made.ID)
	return made, s.remember(ctx, key, made)
}

func (s salesforceSession) makeLead(ctx context.Context, n numbers) (salesforceRecord, error) {
	l := s.doc.Lead
	last, company := l.LastName, l.Company
	if last == "" {
		last = s.doc.title()
	}
	if company == "" {
		company = "Unknown"
	}
	fields := map[string]any{"LastName": clip(last, 80), "Company": clip(company, 255), "Phone": n.e164}
	for name, value := range map[string]string{"FirstName": l.FirstName, "Title": l.Title, "Email": l.Email, "City": l.City, "State": l.State, "PostalCode": l.Zip} {
		if value != "" && (name != "FirstName" || l.LastName != "") {
			fields[name] = value
		}
	}
	var made salesforceMade
	err := s.api.call(ctx, http.MethodPost, "/sobjects/Lead", fields, &made)
	return salesforceRecord{ID: made.ID, Name: s.doc.title()}, err
}
