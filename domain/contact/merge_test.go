package contact_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/foldtest"
)

type said = foldtest.Said[event.Payload]

// sayingOf is what a fact says of a field; the fields of these tests are texts.
func sayingOf(p event.Payload, field string) event.Opt[string] {
	f := fieldsOf(p)
	switch field {
	case "first_name":
		return f.FirstName
	case "note":
		return f.Note
	case "emails":
		o := event.Opt[string]{Set: f.Emails.Set, Null: f.Emails.Null}
		for _, e := range f.Emails.Value {
			o.Value += e.Address
		}
		return o
	}
	v, ok := f.SourceData[field]
	return event.Opt[string]{Set: ok, Value: string(v)}
}

func fieldsOf(p event.Payload) contact.Fields {
	switch p := p.(type) {
	case contact.Created:
		return p.Fields
	case contact.Updated:
		return p.Fields
	}
	return contact.Fields{}
}

func sayings(distinctTimes bool) *rapid.Generator[[]said] {
	return foldtest.Sayings(distinctTimes, func(t *rapid.T, i int) event.Payload {
		opt := func(name string) event.Opt[string] { return foldtest.Opt(t, name, i) }
		f := contact.Fields{FirstName: opt("first_name"), Note: opt("note")}
		if o := opt("emails"); o.Set {
			f.Emails = event.Opt[[]contact.Email]{Set: true, Null: o.Null}
			if !o.Null {
				f.Emails.Value = []contact.Email{{Kind: "work", Address: o.Value}}
			}
		}
		for _, k := range []string{"a", "b"} {
			if o := opt(k); o.Set && !o.Null {
				if f.SourceData == nil {
					f.SourceData = make(map[string]json.RawMessage)
				}
				f.SourceData[k] = fmt.Appendf(nil, "%d", i)
			}
		}
		if rapid.Bool().Draw(t, "created") {
			return contact.Created{Fields: f}
		}
		return contact.Updated{Fields: f}
	})
}

func fold(t *rapid.T, list []said) contact.Contact {
	var c contact.Contact
	foldtest.Folded(t, list, c.Apply)
	return c
}

// TestNewestWins compares the fold with the sentence that defines it: of each
// field the fact with the newest occurred_at counts, of equals the later in the
// log; absent says nothing, null clears.
func TestNewestWins(t *testing.T) {
	t.Parallel()
	sayings := sayings(false)
	rapid.Check(t, func(t *rapid.T) {
		list := sayings.Draw(t, "facts")
		got := fold(t, list)
		sources := got.Provenance.ByField()
		for _, field := range []string{"first_name", "note", "emails", "a", "b"} {
			var want event.Opt[string]
			var by said
			for _, s := range list {
				if o := sayingOf(s.Fact, field); o.Set && (!want.Set || !s.Env.OccurredAt.Before(by.Env.OccurredAt)) {
					want, by = o, s
				}
			}
			have := sayingOf(contact.Updated{Fields: got.Fields}, field)
			if known := want.Set && !want.Null; have.Set != known || have.Value != want.Value {
				t.Errorf("%s is %v, want %v", field, have, want)
			}
			if field == "a" || field == "b" {
				field = "source_data." + field
			}
			if o, known := sources[field]; known != want.Set || o.EventID != by.Env.ID || !o.OccurredAt.Equal(by.Env.OccurredAt) {
				t.Errorf("%s is said to come of %q, it comes of %q", field, o.EventID, by.Env.ID)
			}
		}
	})
}

// TestMergeCommutes folds facts of different times in two orders.
func TestMergeCommutes(t *testing.T) {
	t.Parallel()
	sayings := sayings(true)
	rapid.Check(t, func(t *rapid.T) {
		list := sayings.Draw(t, "facts")
		a, b := fold(t, list), fold(t, rapid.Permutation(list).Draw(t, "other order"))
		if diff := cmp.Diff(a.Fields, b.Fields); diff != "" {
			t.Error(diff)
		}
		if diff := cmp.Diff(a.Provenance.ByField(), b.Provenance.ByField()); diff != "" {
			t.Error(diff)
		}
	})
}

// TestTheStateBeforeStays: who compares the states before and after an event has both.
func TestTheStateBeforeStays(t *testing.T) {
	t.Parallel()
	sayings := sayings(false)
	rapid.Check(t, func(t *rapid.T) {
		var c contact.Contact
		var was [][]byte
		var states []contact.Contact
		for _, s := range sayings.Draw(t, "facts") {
			if err := c.Apply(s.Env, s.Fact); err != nil {
				t.Fatal(err)
			}
			b, err := event.Marshal(c)
			if err != nil {
				t.Fatal(err)
			}
			was, states = append(was, b), append(states, c)
		}
		for i, c := range states {
			if b, err := event.Marshal(c); err != nil || string(b) != string(was[i]) {
				t.Errorf("after %d more facts it is %s, %v, was %s", len(states)-1-i, b, err, was[i])
			}
		}
	})
}

// TestAStateWithoutProvenance was kept by an earlier release: any fact is newer.
func TestAStateWithoutProvenance(t *testing.T) {
	t.Parallel()
	var c contact.Contact
	if err := event.Unmarshal([]byte(`{"id":"contact-1","first_name":"Sally","note":"x","unmade":true,"created_at":"2026-03-07T10:00:00Z","updated_at":"2026-03-07T10:00:00Z"}`), &c); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2020, 1, 1, 0, 0, 0, 0, time.UTC)
	e := event.Envelope{ID: "e1", Source: "api", Subject: "contact-1", OccurredAt: at, RecordedAt: at}
	if err := c.Apply(e, contact.Updated{Fields: contact.Fields{FirstName: event.Some("Sal")}}); err != nil {
		t.Fatal(err)
	}
	if got := [2]string{c.FirstName.Value, c.Note.Value}; got != [2]string{"Sal", "x"} {
		t.Errorf("it is %q", got)
	}
	if o := c.Provenance.ByField(); len(o) != 1 || o["first_name"].EventID != "e1" {
		t.Errorf("it comes of %v", o)
	}
}

// TestProvenanceIsKeptOncePerEvent: an entry that was changed a thousand times has as
// many origins as events of which something is left.
func TestProvenanceIsKeptOncePerEvent(t *testing.T) {
	t.Parallel()
	var c contact.Contact
	for i := range 1000 {
		at := time.Unix(1_770_000_000+int64(i), 0).UTC()
		f := contact.Fields{FirstName: event.Some("Sally"), Note: event.Null[string]()}
		if i == 0 {
			f.Title = event.Some("Manager")
		}
		if err := c.Apply(event.Envelope{ID: fmt.Sprintf("e%d", i), OccurredAt: at, RecordedAt: at}, contact.Updated{Fields: f}); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, o := range c.Provenance {
		got = append(got, o.EventID)
	}
	if want := []string{"e0", "e999"}; !slices.Equal(got, want) {
		t.Errorf("kept are %v, want %v", got, want)
	}
}
