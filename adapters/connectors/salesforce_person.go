package connectors

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// person finds who has the call's number: a Contact before a Lead, and of
// several the one that was changed last.
func (s salesforceSession) person(ctx context.Context) (salesforceRecord, error) {
	s.tape.step("find the contact or lead by phone")
	number, ok := s.doc.number()
	if !ok {
		s.tape.done("the call has no number")
		return salesforceRecord{}, nil
	}
	who, found, err := s.whose(ctx, number)
	if err != nil {
		return salesforceRecord{}, err
	}
	if who.ID != "" {
		s.tape.done("%s %s (%s), of %d found", who.Attributes.Type, who.ID, who.Name, found)
		return who, nil
	}
	s.tape.done("nobody has %s, of %d found", number.e164, found)
	if s.config.Unmatched != unmatchedLead {
		return salesforceRecord{}, nil
	}
	s.tape.step("make a lead")
	return turn(ctx, s.attempt, leadKey(number), func(ctx context.Context, waited bool) (salesforceRecord, error) {
		return s.newLead(ctx, number, waited)
	})
}

func leadKey(n numbers) string { return "salesforce/lead/" + n.e164 }

// whose is who has a number, zero if nobody does, and how many were found.
func (s salesforceSession) whose(ctx context.Context, n numbers) (salesforceRecord, int, error) {
	found, err := s.search(ctx, n)
	if err != nil {
		return salesforceRecord{}, 0, err
	}
	for _, kind := range []string{"Contact", "Lead"} {
		of := slices.DeleteFunc(slices.Clone(found), func(r salesforceRecord) bool { return r.Attributes.Type != kind })
		if r := whose(n, of, salesforceRecord.phones); r != nil {
			return *r, len(found), nil
		}
	}
	return salesforceRecord{}, len(found), nil
}

// The phone fields of a Contact and of a Lead.
const (
	salesforceContactPhones = "Phone, MobilePhone, HomePhone, OtherPhone, AssistantPhone"
	salesforceLeadPhones    = "Phone, MobilePhone"
)

// search asks for both at once, by digits as they are written in the number's country
// and abroad; whose they are is judged by what is found. A user who may not see all
// phone fields is shown the first.
func (s salesforceSession) search(ctx context.Context, n numbers) ([]salesforceRecord, error) {
	terms := slices.Compact([]string{n.national, n.dialled, n.digits})
	found, err := s.find(ctx, terms, salesforceContactPhones, salesforceLeadPhones)
	if saysAny(err, "INVALID_FIELD") {
		return s.find(ctx, terms, "Phone", "Phone")
	}
	return found, err
}

func (s salesforceSession) find(ctx context.Context, terms []string, contact, lead string) ([]salesforceRecord, error) {
	q := fmt.Sprintf("FIND {%s} IN PHONE FIELDS RETURNING Contact(Id, Name, %s ORDER BY LastModifiedDate DESC LIMIT 20),"+
		" Lead(Id, Name, %s WHERE IsConverted = false ORDER BY LastModifiedDate DESC LIMIT 20)", strings.Join(terms, " OR "), contact, lead)
	var found struct {
		SearchRecords []salesforceRecord `json:"searchRecords"`
	}
	err := s.api.call(ctx, http.MethodGet, "/search/?q="+url.QueryEscape(q), nil, &found)
	return found.SearchRecords, err
}

// newLead makes a Lead of what is known of a person, in the turn of the number: of
// several calls at once one makes it.
func (s salesforceSession) newLead(ctx context.Context, n numbers, waited bool) (salesforceRecord, error) {
	// The index of phone numbers lags behind, so a lead of a moment ago is
	// remembered; somebody may have deleted it since.
	made, known, err := remembered[salesforceRecord](ctx, s.attempt, leadKey(n))
	if err != nil {
		return made, err
	}
	if known {
		who, err := s.standing(ctx, made)
		if err != nil || who.ID != "" {
			s.tape.done("%s %s, made before", who.Attributes.Type, who.ID)
			return who, err
		}
	}
	if waited { // for one that may not have come to remember it
		if who, _, err := s.whose(ctx, n); err != nil || who.ID != "" {
			s.tape.done("%s %s has the number by now", who.Attributes.Type, who.ID)
			return who, err
		}
	}
	// A query needs no index: it finds the lead of an attempt that did not hear the answer.
	made, err = s.written(ctx, n)
	if err == nil && made.ID == "" {
		made, err = s.makeLead(ctx, n)
	}
	if err != nil {
		return made, err
	}
	s.tape.done("%s %s", made.Attributes.Type, made.ID)
	return made, s.remember(ctx, leadKey(n), made)
}

// written is the lead that has a number as the hub writes it, zero if there is none.
func (s salesforceSession) written(ctx context.Context, n numbers) (who salesforceRecord, err error) {
	who.Attributes.Type, who.Name = "Lead", s.doc.title()
	who.ID, err = s.query(ctx, "Id", fmt.Sprintf("SELECT Id FROM Lead WHERE Phone = '%s' AND IsConverted = false ORDER BY CreatedDate LIMIT 1", soql(n.e164)))
	return who, err
}

// standing is who a lead or contact is by now: a lead that was converted is the contact
// that it became, for nothing may be written of the lead any more. Zero if it is gone.
func (s salesforceSession) standing(ctx context.Context, who salesforceRecord) (salesforceRecord, error) {
	if who.Attributes.Type == "Contact" {
		id, err := s.query(ctx, "Id", fmt.Sprintf("SELECT Id FROM Contact WHERE Id = '%s'", soql(who.ID)))
		who.ID = id
		return who, err
	}
	var found struct {
		Records []struct {
			IsConverted        bool   `json:"IsConverted"`
			ConvertedContactID string `json:"ConvertedContactId"`
		} `json:"records"`
	}
	q := fmt.Sprintf("SELECT IsConverted, ConvertedContactId FROM Lead WHERE Id = '%s'", soql(who.ID))
	if err := s.api.call(ctx, http.MethodGet, "/query/?q="+url.QueryEscape(q), nil, &found); err != nil || len(found.Records) == 0 {
		return salesforceRecord{}, err
	}
	who.Attributes.Type = "Lead"
	if lead := found.Records[0]; lead.IsConverted {
		who.Attributes.Type, who.ID = "Contact", lead.ConvertedContactID
	}
	return who, nil
}

// duplicate is who a duplicate rule found in place of a new lead, a contact before a
// lead; zero if nobody is there any more.
func (s salesforceSession) duplicate(ctx context.Context, err error) (salesforceRecord, error) {
	refused := (*salesforceError)(nil)
	if !errors.As(err, &refused) {
		return salesforceRecord{}, nil
	}
	for _, kind := range []string{"Contact", "Lead"} {
		for _, r := range refused.there {
			if r.Attributes.Type != kind {
				continue
			}
			if who, err := s.standing(ctx, r); err != nil || who.ID != "" {
				return who, err
			}
		}
	}
	return salesforceRecord{}, nil
}

// makeLead fills what fits: for one field that is too long, Salesforce would refuse the
// person, and with it each attempt to log the call. Whom a duplicate rule of the org
// takes for the same person stands for the new lead, as in HubSpot who has the e-mail
// address.
func (s salesforceSession) makeLead(ctx context.Context, n numbers) (salesforceRecord, error) {
	l := s.doc.Lead
	last, company := l.LastName, l.Company
	if last == "" {
		last = s.doc.title()
	}
	if company == "" {
		company = "Unknown"
	}
	first := l.FirstName
	if l.LastName == "" {
		first = "" // it stands in the title
	}
	fields := map[string]any{"Phone": n.e164}
	for _, f := range []struct {
		name, value string
		most        int
	}{
		{"FirstName", first, 40},
		{"LastName", last, 80},
		{"Company", company, 255},
		{"Title", l.Title, 128},
		{"Email", l.address(80), 80},
		{"City", l.City, 40},
		{"State", l.State, 80},
		{"PostalCode", l.Zip, 20},
	} {
		if f.value != "" {
			fields[f.name] = within(f.value, f.most)
		}
	}
	var made salesforceMade
	err := s.api.call(ctx, http.MethodPost, "/sobjects/Lead", fields, &made)
	if _, ok := fields["State"]; ok && saysAny(err, "FIELD_INTEGRITY_EXCEPTION") {
		// Where states are picked from lists, one without its country is refused.
		delete(fields, "State")
		err = s.api.call(ctx, http.MethodPost, "/sobjects/Lead", fields, &made)
	}
	if err != nil {
		who, derr := s.duplicate(ctx, err)
		if derr != nil || who.ID != "" {
			return who, derr
		}
		return salesforceRecord{}, err
	}
	who := salesforceRecord{ID: made.ID, Name: s.doc.title()}
	who.Attributes.Type = "Lead"
	return who, nil
}
