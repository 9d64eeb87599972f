package dialects_test

import (
	"net/http"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// Seed 004 demands external_id and first_name, and both of an account.
func TestALookUpSaysWhatItMust(t *testing.T) {
	t.Parallel()
	some := event.Some[string]
	account := func(a contact.Account) contact.Fields {
		return contact.Fields{FirstName: some("Sally"), Account: event.Some(a)}
	}
	byNumber, err := dialects.LookupOfLead(lead.Lead{ID: "L1", Phone: "+15551234567"})
	if err != nil || !strings.HasPrefix(string(byNumber), `{"external_id":"L1","first_name":"+15551234567",`) {
		t.Errorf("a lead of whom the number is known: %s, %v", byNumber, err)
	}
	for name, c := range map[string]struct {
		given contact.Fields
		want  string
	}{
		"a last name":        {contact.Fields{LastName: some("Sample"), Company: some("Acme")}, `"first_name":"Sample"`},
		"a company":          {contact.Fields{Company: some("Acme")}, `"first_name":"Acme"`},
		"an address":         {contact.Fields{Emails: event.Some([]contact.Email{{Kind: "work", Address: "a@b.example"}})}, `"first_name":"a@b.example"`},
		"an account's name":  {account(contact.Account{Name: "Acme"}), `"account":{"external_id":"Acme","name":"Acme",`},
		"an account's id":    {account(contact.Account{ExternalID: "A1"}), `"account":{"external_id":"A1","name":"A1",`},
		"no account to name": {account(contact.Account{Industry: "Tyres"}), `"website_url_1":""}`},
	} {
		got, err := dialects.LookupOfContact(contact.Contact{ID: "C1", Fields: c.given})
		if err != nil || !strings.Contains(string(got), c.want) {
			t.Errorf("%s: %s, %v, want %s", name, got, err, c.want)
		}
	}
}

func TestAnAnswerMayCountItsContacts(t *testing.T) {
	t.Parallel()
	got, err := dialects.ReadLookup([]byte(`{"external_id":12345,"first_name":"Sally","account":{"external_id":9876,"name":"Acme"}}`))
	if err != nil || got.ExternalID.Value != "12345" || got.Account.Value.ExternalID != "9876" {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := dialects.ReadLookup([]byte(`{"external_id":[1],"first_name":"Sally"}`)); err == nil {
		t.Error("a list is taken for an id")
	}
}

// Seed 000: "Check for X-Webhook-Event: call.completed header".
func TestDylrsHeaderIsChecked(t *testing.T) {
	t.Parallel()
	body := []byte(`{"event":"call.completed","timestamp":"2025-05-14T16:30:00Z","call":{"id":"abc-123"}}`)
	for name, ok := range map[string]bool{"": true, "call.completed": true, "lead.deleted": false} {
		h := http.Header{}
		if name != "" {
			h.Set("X-Webhook-Event", name)
		}
		if _, err := (dialects.Dylr{}).Decode(dialecttest.Connection(dialects.Dylr{}), h, body); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
