package projections_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

func searchWords(m projections.Model, s event.Entity) []string {
	column := m.Columns[slices.IndexFunc(m.Columns, func(c projections.Column) bool { return c.Kind == projections.Search })]
	return column.Of(projections.Row{State: s}).([]string)
}

func TestLeadsAreFoundByTheirWords(t *testing.T) {
	t.Parallel()
	name, email := "Ada de Lovelace-King", "Ada.King@engines.example"
	got := searchWords(projections.Leads(), &lead.Lead{Phone: "+14155550100", Name: &name, Email: &email})
	want := []string{
		"0100", "14155550100", "155550100", "4155550100", "50100", "550100", "5550100", "55550100",
		"ada", "ada.king@engines.example", "de", "engines", "example", "king", "lovelace", "lovelace-king",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("words (-want +got):\n%s", diff)
	}
}

func TestManyNumbersDoNotKeepANameOut(t *testing.T) {
	t.Parallel()
	var numbers []string
	var phones []contact.Phone
	for i := range 8 {
		n := fmt.Sprintf("1%d7%d53%d86%d2", i, i, i, i)
		numbers, phones = append(numbers, n), append(phones, contact.Phone{Kind: "work", Number: "+" + n})
	}
	var many strings.Builder
	for i := range 100 {
		fmt.Fprintf(&many, "aa%d ", i)
	}
	for name, fields := range map[string]contact.Fields{
		"many numbers": {FirstName: event.Some("Ada"), LastName: event.Some("Lovelace")},
		"and a long name": {
			FirstName: event.Some("Ada"), LastName: event.Some("Lovelace"), Company: event.Some(many.String()),
		},
	} {
		fields.Phones = event.Some(phones)
		got := searchWords(projections.Contacts(), &contact.Contact{ID: "c", Fields: fields})
		want := append([]string{"ada", "lovelace"}, numbers...)
		for _, n := range numbers {
			want = append(want, n[len(n)-4:])
		}
		for _, w := range want {
			if !slices.Contains(got, w) {
				t.Errorf("%s: %q is not among %d words", name, w, len(got))
			}
		}
		if len(got) > 128 || !slices.IsSorted(got) {
			t.Errorf("%s: %d words", name, len(got))
		}
	}
}

// Whatever a state holds, its columns can be stored and indexed.
func FuzzColumnsAreStorable(f *testing.F) {
	f.Add("+14155550100", "Ada", "ключ\x00")
	f.Add("\xff", strings.Repeat("ü", 3000), "a\nb\u2028c")
	f.Fuzz(func(t *testing.T, phone, name, email string) {
		m := projections.Leads()
		l := &lead.Lead{Phone: phone, Name: &name, Email: &email, ListID: &name}
		for _, c := range m.Columns {
			var texts []string
			switch v := c.Of(projections.Row{State: l}).(type) {
			case string:
				texts = []string{v}
			case []string:
				texts = v
			}
			for _, s := range texts {
				if !utf8.ValidString(s) || strings.Contains(s, "\x00") || len(s) > 512 {
					t.Errorf("column %s holds %q", c.Name, s)
				}
				if c.Kind == projections.Search && (s == "" || strings.Contains(s, "\n")) {
					t.Errorf("column %s has the word %q", c.Name, s)
				}
			}
		}
	})
}

// Whatever stands in the log, a fold ends, and what it leaves can be encoded.
func FuzzFold(f *testing.F) {
	for _, m := range projections.Models() {
		f.Add(m.Name, "call.started.v1", []byte(`{"direction":"inbound"}`))
	}
	f.Add("deliveries", "delivery.attempted.v1", []byte(`{"started_at":"2026-11-22T09:00:00Z","outcome":"failed"}`))
	f.Add("agents", "agent.paused.v1", []byte(`{"reason":"lunch"}`))
	f.Add("calls", "call.started.v1", []byte(`{"started_at":"9999-12-31T23:59:59-01:00"}`))
	f.Add("calls", "call.recording_ready.v1", []byte(`{"recording":{"expires_at":"0000-01-01T00:00:00+01:00"},"new":1}`))
	models := make(map[string]projections.Model)
	for _, m := range projections.Models() {
		models[m.Name] = m
	}
	f.Fuzz(func(t *testing.T, name, typ string, data []byte) {
		m, ok := models[name]
		if !ok {
			return
		}
		s := m.New()
		if catalog.Apply(s, event.Recorded{Event: event.Event{Envelope: event.Envelope{ID: "e", Subject: "s", Org: "o", Type: event.Type(typ)}, Data: data}}) != nil {
			return
		}
		if _, err := event.Marshal(s); err != nil {
			t.Errorf("encoding the state: %v", err)
		}
	})
}
