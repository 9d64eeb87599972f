package contact_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
)

// TestACreationThatComesLateIsTheOldestWord: webhooks come in any order, and what an
// entry was when it was made does not take the place of what it became, nor of what
// was cleared. Where the source does not say when, it has just happened as we see it.
func TestACreationThatComesLateIsTheOldestWord(t *testing.T) {
	t.Parallel()
	conn := event.Some("conn-1")
	made := contact.Created{Undated: true, Fields: contact.Fields{
		ConnectionID: conn, FirstName: event.Some("Sally"), Title: event.Some("Manager"), Note: event.Some("x"), Emails: event.Some([]contact.Email{{Kind: "other", Address: "old@acme.com"}}),
	}}
	changed := contact.Updated{Fields: contact.Fields{
		ConnectionID: conn, FirstName: event.Some("Sal"), Note: event.Null[string](), Emails: event.Some([]contact.Email{{Kind: "other", Address: "new@acme.com"}}),
	}}
	want := contact.Fields{ConnectionID: conn, FirstName: event.Some("Sal"), Title: event.Some("Manager"), Emails: changed.Emails}
	byAPI := contact.Created{Fields: contact.Fields{FirstName: event.Some("Sara")}}
	overAPI := want
	overAPI.FirstName = byAPI.FirstName
	for name, c := range map[string]struct {
		order []event.Payload
		want  contact.Fields
	}{
		"in order":         {[]event.Payload{made, changed}, want},
		"the change first": {[]event.Payload{changed, made}, want},
		// Who calls the API is told the state first, and says what shall be.
		"by the API": {[]event.Payload{made, changed, byAPI}, overAPI},
	} {
		var got contact.Contact
		for i, p := range c.order {
			at := time.Date(2026, 5, 14, 12, 0, i, 0, time.UTC)
			if err := got.Apply(event.Envelope{ID: "e", Subject: "contact-1", OccurredAt: at, RecordedAt: at}, p); err != nil {
				t.Fatal(err)
			}
		}
		if diff := cmp.Diff(c.want, got.Fields); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
