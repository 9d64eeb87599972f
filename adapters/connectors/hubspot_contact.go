package connectors

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// contact finds who has the call's number, in the ways in which numbers are
// written, and makes a contact if that is wanted.
func (s hubspotSession) contact(ctx context.Context) (string, error) {
	s.tape.step("find the contact by phone")
	n, ok := s.doc.number()
	if !ok {
		s.tape.done("the call has no number")
		return "", nil
	}
	who, found, err := s.whose(ctx, n)
	if err != nil {
		return "", err
	}
	if who.ID != "" {
		s.tape.done("contact %s (%s), of %d found", who.ID, strings.TrimSpace(who.Properties["firstname"]+" "+who.Properties["lastname"]), found)
		return who.ID, nil
	}
	s.tape.done("nobody has %s, of %d found", n.e164, found)
	if !s.config.CreateContacts {
		return "", nil
	}
	s.tape.step("make a contact")
	return turn(ctx, s.attempt, contactKey(n), func(ctx context.Context, waited bool) (string, error) { return s.makeContact(ctx, n, waited) })
}

func contactKey(n numbers) string { return "hubspot/contact/" + n.e164 }

// whose is who has a number, zero if nobody does, and how many were found.
func (s hubspotSession) whose(ctx context.Context, n numbers) (hubspotObject, int, error) {
	written := slices.Compact([]string{n.e164, n.digits, n.national, n.dialled, strings.ToLower(n.shown)})
	found, err := s.search(ctx, "contacts", []string{"firstname", "lastname", "phone", "mobilephone"},
		filter{PropertyName: "phone", Operator: "IN", Values: written}, filter{PropertyName: "mobilephone", Operator: "IN", Values: written},
		filter{PropertyName: "hs_searchable_calculated_phone_number", Operator: "EQ", Value: n.national},
		filter{PropertyName: "hs_searchable_calculated_mobile_number", Operator: "EQ", Value: n.national},
	)
	if err != nil {
		return hubspotObject{}, 0, err
	}
	who := whose(n, found, func(o hubspotObject) []string { return []string{o.Properties["phone"], o.Properties["mobilephone"]} })
	if who == nil {
		return hubspotObject{}, len(found), nil
	}
	return *who, len(found), nil
}

// makeContact makes a contact, in the turn of the number: of several calls at once one
// makes it. Search does not find one of a moment ago yet, so it is remembered; somebody
// may have deleted it since.
func (s hubspotSession) makeContact(ctx context.Context, n numbers, waited bool) (string, error) {
	id, known, err := remembered[string](ctx, s.attempt, contactKey(n))
	if err != nil {
		return "", err
	}
	if known {
		err := s.api.call(ctx, http.MethodGet, s.crm("/contacts/"+url.PathEscape(id)), nil, nil)
		if !isHubSpot(err, http.StatusNotFound) {
			s.tape.done("contact %s, made before", id)
			return id, err
		}
	}
	if waited { // for one that may not have come to remember it
		if who, _, err := s.whose(ctx, n); err != nil || who.ID != "" {
			s.tape.done("contact %s has the number by now", who.ID)
			return who.ID, err
		}
	}
	if id, err = making(ctx, s, contactKey(n), func() (string, error) { return s.newContact(ctx, n) }); err != nil {
		return "", err
	}
	s.tape.done("contact %s", id)
	return id, nil
}

// hubspotEmail is as long as an e-mail address may be (RFC 5321).
const hubspotEmail = 254

func (s hubspotSession) newContact(ctx context.Context, n numbers) (string, error) {
	l := s.doc.Lead
	properties := map[string]string{"phone": n.e164}
	for name, value := range map[string]string{
		"firstname": l.FirstName, "lastname": l.LastName, "email": l.address(hubspotEmail), "company": l.Company, "jobtitle": l.Title, "city": l.City, "state": l.State, "zip": l.Zip,
	} {
		if value != "" {
			properties[name] = value
		}
	}
	if l.FirstName == "" && l.LastName == "" {
		properties["lastname"] = s.doc.title()
	}
	var made hubspotObject
	err := s.api.call(ctx, http.MethodPost, s.crm("/contacts"), map[string]any{"properties": properties}, &made)
	var he *hubspotError
	if errors.As(err, &he) && he.status == http.StatusConflict {
		// "Contact already exists. Existing ID: 123": somebody with that e-mail
		// address and another number.
		if m := hubspotExisting.FindStringSubmatch(he.what); m != nil {
			return m[1], nil
		}
	}
	return made.ID, err
}
