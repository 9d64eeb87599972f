package readmodel_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

func TestPartyIsWhoWasTouchedLast(t *testing.T) {
	t.Parallel()
	phones := func(numbers ...string) event.Opt[[]contact.Phone] {
		var all []contact.Phone
		for _, n := range numbers {
			all = append(all, contact.Phone{Kind: "work", Number: n})
		}
		return event.Some(all)
	}
	r := newRig(t)
	for _, name := range []string{"contacts", "leads"} {
		r.run(name, live())
	}
	touch := func(events ...event.Event) {
		t.Helper()
		r.append(events...)
		r.catchUp("contacts", 1)
		r.catchUp("leads", 1)
	}
	who := func(org, number string) string {
		t.Helper()
		p, err := r.reader.Party(t.Context(), org, number)
		switch {
		case errors.Is(err, readmodel.ErrNotFound):
			return "nobody"
		case err != nil:
			t.Fatal(err)
		case p.Contact != nil:
			return "contact " + p.Contact.ID
		}
		return "lead " + p.Lead.ID
	}
	const one, two, three = "+15550000001", "+15550000002", "+15550000003"
	touch(
		fact(t, "org", "c1", "1", 1, contact.Created{Fields: contact.Fields{Phones: phones(one, two)}}),
		fact(t, "org", "c2", "2", 2, contact.Created{Fields: contact.Fields{Phones: phones(two)}}),
		fact(t, "org", "l3", "3", 3, lead.Upserted{Phone: three}),
		fact(t, "other", "c1", "4", 4, contact.Created{Fields: contact.Fields{Phones: phones(one)}}),
	)
	want := map[string]string{one: "contact c1", two: "contact c2", three: "lead l3", "+15550000009": "nobody", "\x00": "nobody"}
	for number, w := range want {
		if got := who("org", number); got != w {
			t.Errorf("%q is %s, want %s", number, got, w)
		}
	}
	touch(fact(t, "org", "l1", "5", 5, lead.Upserted{Phone: one}))
	if got := who("org", one); got != "lead l1" {
		t.Errorf("a lead that was touched later: %s", got)
	}
	touch(fact(t, "org", "c1", "6", 6, contact.Updated{Fields: contact.Fields{Title: event.Some("CEO")}}))
	if got := []string{who("org", one), who("org", two)}; !slices.Equal(got, []string{"contact c1", "contact c1"}) {
		t.Errorf("a contact that was touched again: %v", got)
	}
	touch(fact(t, "org", "c1", "7", 7, contact.Updated{Fields: contact.Fields{Phones: phones(two)}}))
	if got := who("org", one); got != "lead l1" {
		t.Errorf("a number that the contact has no more: %s", got)
	}
}

// plan is a node of EXPLAIN (FORMAT JSON).
type plan struct {
	Type     string `json:"Node Type"`
	Index    string `json:"Index Name"`
	Relation string `json:"Relation Name"`
	Plans    []plan `json:"Plans"`
}

func (p plan) nodes() []plan {
	all := []plan{p}
	for _, inner := range p.Plans {
		all = append(all, inner.nodes()...)
	}
	return all
}

// TestPartyIsReadByIndex looks at the plan of a look-up among many: one probe of
// an index of contacts, one of leads, and no table is read through.
func TestPartyIsReadByIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const common = "org_id, id, version, state, recent_ids, log_partition, first_offset, first_recorded_at, last_offset, last_recorded_at"
	const row = "'org-' || n % 3, 'id-' || n, 1, '{}', '', 0, n, now(), n, now()"
	for _, sql := range []string{
		"INSERT INTO contacts_g1 (" + common + ", external_id, phones, search) SELECT " + row + ", '', ARRAY['+1555' || n, '+1666' || n], ''::tsvector FROM generate_series(1, 60000) n",
		"INSERT INTO leads_g1 (" + common + ", phone, list_id, search) SELECT " + row + ", '+1555' || n, '', ''::tsvector FROM generate_series(1, 60000) n",
		"ANALYZE contacts_g1", "ANALYZE leads_g1",
	} {
		if _, err := r.pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	var raw []byte
	if err := r.pool.QueryRow(t.Context(), "EXPLAIN (FORMAT JSON) "+strings.NewReplacer("$1", "'org-1'", "$2", "'+155531'").Replace(readmodel.PartySQL)).Scan(&raw); err != nil {
		t.Fatal(err)
	}
	var plans []struct{ Plan plan }
	if err := json.Unmarshal(raw, &plans); err != nil {
		t.Fatal(err)
	}
	var indexes []string
	for _, n := range plans[0].Plan.nodes() {
		if n.Type == "Seq Scan" {
			t.Errorf("%s is read through", n.Relation)
		}
		if n.Index != "" {
			indexes = append(indexes, strings.TrimSuffix(n.Index, "_idx"))
		}
	}
	slices.Sort(indexes)
	if diff := cmp.Diff([]string{"contacts_g1_phones", "leads_g1_org_id_phone"}, indexes); diff != "" {
		t.Errorf("indexes (-want +got):\n%s\n%s", diff, raw)
	}
}
