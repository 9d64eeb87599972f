package lead_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/foldtest"
	"trunkline.dev/trunkline/domain/lead"
)

type said = foldtest.Said[lead.Upserted]

func sayings(distinctTimes bool) *rapid.Generator[[]said] {
	return foldtest.Sayings(distinctTimes, func(t *rapid.T, i int) lead.Upserted {
		opt := func(name string) event.Opt[string] { return foldtest.Opt(t, name, i) }
		f := lead.Upserted{Phone: "+15551234567", Name: opt("name"), City: opt("city"), ListID: opt("list")}
		for _, k := range []string{"a", "b"} {
			switch o := opt(k); {
			case !o.Set:
			case o.Null:
				f.CustomFields = with(f.CustomFields, k, "null")
			default:
				f.CustomFields = with(f.CustomFields, k, fmt.Sprintf("%d", i))
			}
		}
		return f
	})
}

func with(m map[string]json.RawMessage, k, v string) map[string]json.RawMessage {
	if m == nil {
		m = make(map[string]json.RawMessage)
	}
	m[k] = json.RawMessage(v)
	return m
}

func fold(t *rapid.T, list []said) lead.Lead {
	var l lead.Lead
	foldtest.Folded(t, list, l.Apply)
	return l
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
		for field, c := range map[string]struct {
			of  func(lead.Upserted) event.Opt[string]
			got *string
		}{
			"name":    {func(f lead.Upserted) event.Opt[string] { return f.Name }, got.Name},
			"city":    {func(f lead.Upserted) event.Opt[string] { return f.City }, got.City},
			"list_id": {func(f lead.Upserted) event.Opt[string] { return f.ListID }, got.ListID},
			"custom_fields.a": {func(f lead.Upserted) event.Opt[string] {
				v, ok := f.CustomFields["a"]
				return event.Opt[string]{Set: ok, Null: string(v) == "null", Value: string(v)}
			}, rawText(got.CustomFields, "a")},
		} {
			var want event.Opt[string]
			var by said
			for _, s := range list {
				if o := c.of(s.Fact); o.Set && (!want.Set || !s.Env.OccurredAt.Before(by.Env.OccurredAt)) {
					want, by = o, s
				}
			}
			if !want.Set || want.Null {
				if c.got != nil {
					t.Errorf("%s is %q, nobody says so", field, *c.got)
				}
			} else if c.got == nil || *c.got != want.Value {
				t.Errorf("%s is %v, want %q", field, c.got, want.Value)
			}
			if p, known := got.Provenance[field]; known != want.Set || p.EventID != by.Env.ID {
				t.Errorf("%s is said to come of %q, it comes of %q", field, p.EventID, by.Env.ID)
			}
		}
	})
}

func rawText(m map[string]json.RawMessage, k string) *string {
	v, ok := m[k]
	if !ok {
		return nil
	}
	s := string(v)
	return &s
}

// TestMergeCommutes folds facts of different times in two orders.
func TestMergeCommutes(t *testing.T) {
	t.Parallel()
	sayings := sayings(true)
	rapid.Check(t, func(t *rapid.T) {
		list := sayings.Draw(t, "facts")
		a, b := fold(t, list), fold(t, rapid.Permutation(list).Draw(t, "other order"))
		for _, l := range []*lead.Lead{&a, &b} {
			l.CreatedAt, l.UpdatedAt = time.Time{}, time.Time{} // the log's, not the merge's
			if len(l.CustomFields) == 0 {
				l.CustomFields = nil
			}
			if len(l.Provenance) == 0 {
				l.Provenance = nil
			}
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDisplayName(t *testing.T) {
	t.Parallel()
	text := func(s string) *string { return &s }
	for want, l := range map[string]lead.Lead{
		"Jo Smith": {FirstName: text("Jo"), LastName: text("Smith")},
		"Ann Lee":  {Name: text(""), FirstName: text("Ann"), LastName: text("Lee")},
		"Lee":      {Name: text(" "), FirstName: text(""), LastName: text("Lee")},
		"Ann":      {FirstName: text("Ann"), LastName: text("")},
		"Jo":       {FirstName: text("Jo")},
		"Smith":    {LastName: text("Smith")},
		"J. Smith": {Name: text("J. Smith"), FirstName: text("Jo")},
	} {
		if got := l.DisplayName(); got == nil || *got != want {
			t.Errorf("%v, want %s", got, want)
		}
	}
	for _, l := range []lead.Lead{{}, {Name: text(""), FirstName: text(""), LastName: text("")}} {
		if got := l.DisplayName(); got != nil {
			t.Errorf("nobody is called %q", *got)
		}
	}
}
