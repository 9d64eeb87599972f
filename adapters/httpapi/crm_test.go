package httpapi_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/projections"
)

// addressBook answers look-ups as the program does, from memory.
type addressBook map[string]projections.Party

func (addressBook) Serves(dialect string) bool { return dialects.LooksUp(dialect) }

func (addressBook) Verify(c tenant.Connection, h http.Header, query, url string) error {
	return dialects.VerifyLookup(c, h, query, url)
}

func (b addressBook) Answer(_ context.Context, org, number string) ([]byte, error) {
	p, ok := b[org+" "+number]
	switch {
	case number == "+15550000000":
		return nil, errors.New("connection refused")
	case !ok:
		return nil, projections.ErrNotFound
	case p.Contact != nil:
		return dialects.LookupOfContact(*p.Contact)
	}
	return dialects.LookupOfLead(*p.Lead)
}

var sally = contact.Contact{ID: "c-1", Fields: contact.Fields{
	ExternalID: event.Some("12345"), FirstName: event.Some("Sally"), LastName: event.Some("Sample"), Title: event.Some("Sales Manager"),
	Phones: event.Some([]contact.Phone{
		{Kind: "work", Number: "+18005551212"}, {Kind: "mobile", Number: "+18005551213"}, {Kind: "home", Number: "+18005551214"}, {Kind: "other", Number: "+18005551215"},
	}),
	Address: event.Some(contact.Address{City: "Salt Lake City", Country: "US", State: "UT", Street: "123 Main", Street2: "Ste 100", Zip: "84010"}),
	Note:    event.Some("This is a personal note"), TimeZone: event.Some("America/Denver"),
	Account: event.Some(contact.Account{ExternalID: "9876", Name: "Sample Company", Industry: "Technology"}),
}}

// newLookup is an API with a Symbo connection of each kind, and who knows two
// numbers.
func newLookup(t *testing.T) *api {
	john := "John van Smith"
	return newAPI(t, func(_ *api, c *httpapi.Config) {
		c.Phones = phone.Numbers{}
		c.Settings.PublicURL = "https://hub.example.com/"
		c.Connections = connections{
			"sym":   {ID: "sym", Org: "org-1", Dialect: "symbo", Secret: "abcdefg"},
			"query": {ID: "query", Org: "org-1", Dialect: "symbo/2025", Secret: "abcdefg", Lookup: tenant.Lookup{Signed: tenant.SignedQuery}},
			"url":   {ID: "url", Org: "org-1", Dialect: "symbo", Secret: "abcdefg", Lookup: tenant.Lookup{Signed: tenant.SignedURL}},
			"other": {ID: "other", Org: "org-1", Dialect: "dialercx", Secret: "abcdefg"},
		}
		c.Lookup = addressBook{
			"org-1 +18005551212": {Contact: &sally},
			"org-1 +15551234567": {Lead: &lead.Lead{ID: "lead-1", Phone: "+15551234567", Name: &john}},
			"org-2 +18005551999": {Contact: &sally},
		}
	})
}

func signedLookup(id string, signed tenant.Signed, query, url string) []string {
	h := dialects.SignLookup(tenant.Connection{ID: id, Secret: "abcdefg", Lookup: tenant.Lookup{Signed: signed}}, query, url)
	return []string{h.Name, h.Value, "Authorization", ""}
}

func TestLookUpOnDial(t *testing.T) {
	t.Parallel()
	a := newLookup(t)
	empty := signedLookup("sym", "", "", "")
	got := a.do("GET", "/crm/sym/contacts?number=%2B18005551212", "", empty...)
	const want = `{"external_id":"12345","first_name":"Sally","last_name":"Sample","work_email":"","personal_email":"","work_phone":"+18005551212",` +
		`"mobile_phone":"+18005551213","home_phone":"+18005551214","other_phone":"+18005551215","address_city":"Salt Lake City","address_country":"US",` +
		`"address_state":"UT","address_street":"123 Main","address_street_2":"Ste 100","address_zip":"84010","linkedin_url":"","facebook_url":"",` +
		`"personal_note_1":"This is a personal note","time_zone":"America/Denver","title":"Sales Manager","website_url_1":"",` +
		`"account":{"external_id":"9876","name":"Sample Company","website_url":"","industry":"Technology"}}`
	if got.Status != 200 || got.Body != want || got.Header.Get("Content-Type") != "application/json" {
		t.Errorf("%d %s (-want +got):\n%s", got.Status, got.Header, cmp.Diff(want, got.Body))
	}
	t.Run("a space where + was is repaired, and what is signed is nothing", func(t *testing.T) {
		// printf '' | openssl dgst -sha256 -hmac abcdefg
		const nothing = "5e6f246df54a2b48ca21cd56c7aeba4da5630de195797df9806ddba3e0b02ee9"
		empty := []string{"X-Hmac-Signature", nothing, "Authorization", ""}
		for _, number := range []string{"+18005551212", "%2B1+800+555+1212", "(800)%20555-1212"} {
			if again := a.do("GET", "/crm/sym/contacts?number="+number+"&user=7", "", empty...); again.Body != want {
				t.Errorf("%s: %d %s", number, again.Status, again.Body)
			}
		}
	})
	t.Run("an ETag spares the body", func(t *testing.T) {
		tag := got.Header.Get("ETag")
		for _, known := range []string{tag, `"x", W/` + tag, "*"} {
			if again := a.do("GET", "/crm/sym/contacts?number=%2B18005551212", "", append(empty, "If-None-Match", known)...); again.Status != 304 || again.Body != "" || again.Header.Get("ETag") != tag {
				t.Errorf("If-None-Match %s: %d %q", known, again.Status, again.Body)
			}
		}
		if again := a.do("GET", "/crm/sym/contacts?number=%2B18005551212", "", append(empty, "If-None-Match", `"x"`)...); again.Status != 200 {
			t.Errorf("another tag: %d", again.Status)
		}
	})
	t.Run("a lead has an id and a first name, and no account", func(t *testing.T) {
		lead := a.do("GET", "/crm/sym/contacts?number=%2B15551234567", "", empty...)
		if !strings.HasPrefix(lead.Body, `{"external_id":"lead-1","first_name":"John","last_name":"van Smith","work_email":"",`) || !strings.Contains(lead.Body, `"other_phone":"+15551234567"`) || strings.Contains(lead.Body, "account") {
			t.Errorf("%d %s", lead.Status, lead.Body)
		}
	})
	for name, c := range map[string]struct {
		path   string
		header []string
		status int
	}{
		"nobody":                        {"/crm/sym/contacts?number=%2B18005559999", empty, 404},
		"another org's":                 {"/crm/sym/contacts?number=%2B18005551999", empty, 404},
		"no number":                     {"/crm/sym/contacts", empty, 400},
		"an empty number":               {"/crm/sym/contacts?number=", empty, 400},
		"not a number":                  {"/crm/sym/contacts?number=abc", empty, 400},
		"a broken query":                {"/crm/sym/contacts?number=%zz", empty, 400},
		"without a signature":           {"/crm/sym/contacts?number=%2B18005551212", []string{"Authorization", ""}, 401},
		"with another's":                {"/crm/sym/contacts?number=%2B18005551212", []string{"X-Hmac-Signature", strings.Repeat("0", 64)}, 401},
		"the signature before the rest": {"/crm/sym/contacts?number=abc", []string{"X-Hmac-Signature", "x"}, 401},
		"another system's connection":   {"/crm/other/contacts?number=%2B18005551212", empty, 404},
		"no connection":                 {"/crm/none/contacts?number=%2B18005551212", empty, 404},
		"the store is away":             {"/crm/sym/contacts?number=%2B15550000000", empty, 503},
	} {
		t.Run(name, func(t *testing.T) { a.refused(a.do("GET", c.path, "", c.header...), c.status) })
	}
}

func TestWhatALookUpSigns(t *testing.T) {
	t.Parallel()
	a := newLookup(t)
	const query = "number=%2B18005551212"
	by := map[string][]string{
		"sym":   signedLookup("sym", tenant.SignedEmpty, query, ""),
		"query": signedLookup("query", tenant.SignedQuery, query, ""),
		"url":   signedLookup("url", tenant.SignedURL, query, "https://hub.example.com/crm/url/contacts?"+query),
	}
	for id := range by {
		for other, header := range by {
			got := a.do("GET", "/crm/"+id+"/contacts?"+query, "", header...)
			if (got.Status == 200) != (id == other) {
				t.Errorf("a connection that expects %s, signed as %s: %d %s", id, other, got.Status, got.Body)
			}
			if got.Status == 401 && !strings.Contains(got.Body, "this connection expects") {
				t.Errorf("refused without a word of what is expected: %s", got.Body)
			}
		}
	}
}

func TestConnectionsThatLookUp(t *testing.T) {
	t.Parallel()
	o := newOffice(t, func(_ *office, c *httpapi.Config) { c.Lookup = addressBook{} })
	made := o.made(201, "POST", "/v1/connections", `{"name":"CRM","dialect":"symbo","lookup_url":"https://crm.example.com/find?key=1"}`)
	id := made["id"].(string)
	want := map[string]any{
		"id": id, "name": "CRM", "dialect": "symbo", "url": "https://hub.example.com/in/" + id, "list_id": nil, "lookup_signature": "empty",
		"lookup_url": "https://crm.example.com/find?key=1", "crm_url": "https://hub.example.com/crm/" + id + "/contacts",
		"secret": made["secret"], "created_at": "2026-05-14T12:00:00Z",
	}
	if diff := cmp.Diff(want, made); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got := o.store.Snapshot().Lookups(o.store.Snapshot().Orgs()[0].ID); len(got) != 1 || got[0].ID != id {
		t.Errorf("asked about unknown parties: %v", got)
	}
	t.Run("changed", func(t *testing.T) {
		want["lookup_signature"], want["lookup_url"], want["name"], want["secret"] = "query", nil, "CRM 2", "theirs"
		got := o.made(200, "PATCH", "/v1/connections/"+id, `{"name":"CRM 2","lookup_signature":"query","lookup_url":null,"secret":"theirs"}`)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if fresh := o.made(200, "PATCH", "/v1/connections/"+id, `{"secret":null}`)["secret"].(string); !strings.HasPrefix(fresh, "whsec_") {
			t.Errorf("a new secret is %q", fresh)
		}
		if diff := cmp.Diff([]string{"connection.changed.v1 created", "connection.changed.v1 secret_rotated", "connection.changed.v1 secret_rotated"}, o.audit(3)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if got := o.store.Snapshot().Lookups(o.store.Snapshot().Orgs()[0].ID); len(got) != 0 {
			t.Errorf("still asked: %v", got)
		}
	})
	t.Run("other systems do not", func(t *testing.T) {
		got := o.made(201, "POST", "/v1/connections", `{"name":"D","dialect":"dialercx"}`)
		if got["lookup_signature"] != nil || got["crm_url"] != nil {
			t.Errorf("%v", got)
		}
	})
	for name, c := range map[string]struct{ body, pointer string }{
		"a look-up of another system": {`{"name":"D","dialect":"dialercx","lookup_url":"https://crm.example.com/"}`, "/lookup_url"},
		"its signature":               {`{"name":"D","dialect":"dylr","lookup_signature":"query"}`, "/lookup_signature"},
		"a private address":           {`{"name":"D","dialect":"symbo","lookup_url":"https://10.0.0.1/"}`, "/lookup_url"},
		"another signature":           {`{"name":"D","dialect":"symbo","lookup_signature":"body"}`, "/lookup_signature"},
	} {
		t.Run(name+" is refused", func(t *testing.T) {
			if p := o.refused(o.do("POST", "/v1/connections", c.body), 400); p.Errors[0].Pointer != c.pointer {
				t.Errorf("%+v", p.Errors)
			}
		})
	}
	o.refused(o.do("PATCH", "/v1/connections/"+id, `{"name":"x"}`, o.newOrg("Other")...), 404)
	o.refused(o.do("PATCH", "/v1/connections/"+id, `{"dialect":"dylr"}`), 400)
	o.made(204, "DELETE", "/v1/connections/"+id, "")
	o.refused(o.do("DELETE", "/v1/connections/"+id, ""), 404)
	if diff := cmp.Diff([]string{"connection.changed.v1 deleted"}, o.audit(1)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
