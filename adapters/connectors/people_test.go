package connectors_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/connectors/salesforcefake"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// meets is a call that has ended and was disposed of, between our number and
// another's.
func (r *rig) meets(ours, theirs string) (*story, delivery.View) {
	r.t.Helper()
	s := r.newStory()
	s.happens(call.Started{StartedAt: noon, Direction: "outbound", From: ours, To: theirs, ListID: "list-1"})
	s.lead.Phone = theirs
	s.ends()
	return s, s.happens(call.Dispositioned{Disposition: "Interested"})
}

// TestACallIsOfWhoHasItsNumber, whatever other countries have the same national
// digits. People are told from the one that was added first to the newest.
func TestACallIsOfWhoHasItsNumber(t *testing.T) {
	t.Parallel()
	const seattle, london, beijing = "+12065550100", "+442079460100", "+861065550100"
	for name, c := range map[string]struct {
		ours, theirs string
		people       []string
		want         string
	}{
		"abroad, before who is at home":             {seattle, "+442071234567", []string{"+442071234567", "+1 207-123-4567"}, "+442071234567"},
		"abroad, although one at home is newer":     {seattle, "+442071234567", []string{"+44 20 7123 4567", "(207) 123-4567"}, "+44 20 7123 4567"},
		"nobody, if only another country's is like": {seattle, "+442071234567", []string{"+1 207-123-4567", "(207) 123-4567", "2071234567"}, ""},
		"at home, not who is abroad":                {seattle, "+12071234567", []string{"(207) 123-4567", "+44 20 7123 4567"}, "(207) 123-4567"},
		"as it is dialled at home":                  {london, "+442071234567", []string{"020 7123 4567"}, "020 7123 4567"},
		"as it is dialled there":                    {seattle, "+442071234567", []string{"020 7123 4567"}, "020 7123 4567"},
		"with its country, before who has none":     {london, "+442071234567", []string{"+44 20 7123 4567", "(207) 123-4567"}, "+44 20 7123 4567"},
		"with its country and no plus":              {seattle, "+442071234567", []string{"442071234567"}, "442071234567"},
		"not who is of our country by these digits": {beijing, "+13071234567", []string{"13071234567"}, ""},
		"of a number that is not told":              {"", "+442071234567", []string{"2071234567", "+1 207-123-4567"}, "2071234567"},
		"the newest of several":                     {seattle, "+12071234567", []string{"+12071234567", "+1 (207) 123-4567"}, "+1 (207) 123-4567"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
			contacts, leads := make(map[string]string), make(map[string]string)
			for _, phone := range c.people {
				leads[o.Add("Lead", salesforcefake.Record{"Name": phone, "MobilePhone": phone})] = phone
				contacts[a.AddContact(map[string]any{"phone": phone})] = phone
			}
			_, v := r.meets(c.ours, c.theirs)
			r.succeeds(r.salesforce(o, nil), v)
			who, _ := o.Records("Task")[0]["WhoId"].(string)
			if got := leads[who]; got != c.want {
				t.Errorf("Salesforce's task is of %q, want %q", got, c.want)
			}
			r.succeeds(r.hubspot(a, nil), v)
			whose := a.Objects("calls")[0].Contacts
			if got := contacts[strings.Join(whose, " ")]; got != c.want || len(whose) > 1 {
				t.Errorf("HubSpot's call is of %v, %q, want %q", whose, got, c.want)
			}
		})
	}
}

// TestSalesforceHiddenPhoneFields: a user who may see one phone field only finds who
// has the number there.
func TestSalesforceHiddenPhoneFields(t *testing.T) {
	t.Parallel()
	r, o := newRig(t), newSalesforce(t)
	o.Hidden = []string{"HomePhone", "MobilePhone"}
	contact := o.Add("Contact", salesforcefake.Record{"Name": "John Smith", "Phone": "(555) 123-4567"})
	_, v := r.meets("+14143756757", "+15551234567")
	r.succeeds(r.salesforce(o, nil), v)
	if got := o.Records("Task")[0]["WhoId"]; got != contact {
		t.Errorf("the task is of %v", got)
	}
	o.Hidden = []string{"Phone"}
	r.fails(r.salesforce(o, nil), v, 400, "INVALID_FIELD")
}

// TestAPersonIsMadeOfWhatFits: one field that is too long, or an address that is
// none, costs neither the person nor the call.
func TestAPersonIsMadeOfWhatFits(t *testing.T) {
	t.Parallel()
	for email, taken := range map[string]string{
		"john@acme.com": "john@acme.com", "o'neil+x_y@mail.acme-corp.co.uk": "o'neil+x_y@mail.acme-corp.co.uk", "none": "", "john@acme": "", "John <john@acme.com>": "",
		"john@acme.com, jane@acme.com": "", "john doe@acme.com": "", "john..doe@acme.com": "", "a@acme.c": "", strings.Repeat("j", 80) + "@acme.com": "",
	} {
		r, o, a := newRig(t), newSalesforce(t), newHubSpot(t)
		s := r.newStory()
		long := func(n int) *string { s := strings.Repeat("Ж", n); return &s }
		s.lead.FirstName, s.lead.LastName, s.lead.Company, s.lead.Title = long(300), long(300), long(300), long(300)
		s.lead.City, s.lead.State, s.lead.Zip, s.lead.Email = long(300), long(300), long(300), &email
		s.ends()
		v := s.happens(call.Dispositioned{Disposition: "Interested"})
		r.succeeds(r.salesforce(o, map[string]any{"unmatched": "lead"}), v)
		r.succeeds(r.hubspot(a, map[string]any{"create_contacts": true}), v)
		lead := o.Records("Lead")[0]
		want := salesforcefake.Record{
			"Id": lead["Id"], "Phone": "+15551234567", "FirstName": *long(40), "LastName": *long(80), "Company": *long(255), "Title": *long(128),
			"City": *long(40), "State": *long(80), "PostalCode": *long(20),
		}
		if taken != "" {
			want["Email"] = taken
		}
		if diff := cmp.Diff(want, lead); diff != "" {
			t.Errorf("%q: the lead (-want +got):\n%s", email, diff)
		}
		if got, _ := a.Objects("contacts")[0].Properties["email"].(string); got != taken && len(email) <= 80 {
			t.Errorf("%q: HubSpot's contact has %q", email, got)
		}
	}
}
