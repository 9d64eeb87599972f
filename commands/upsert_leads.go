package commands

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// MaxLeads is how many leads one request may hold.
const MaxLeads = 1000

// UpsertLeads is one lead or an array of them, as JSON. Absent fields keep what
// is known, null clears it, custom fields merge key by key; top-level keys that
// are no field of a lead are custom fields (seed 000: they show on lead cards).
type UpsertLeads struct {
	// Body is the JSON of the request.
	Body []byte
	// ListID is the list that the leads join: that of the key. With it, the leads
	// themselves have neither list_id nor external_id (seed 000 has neither), and
	// such keys are custom fields.
	ListID string
}

// Upsert says which lead an upsert was about.
type Upsert struct {
	Receipt
	// Phone is the lead's number, E.164.
	Phone string
}

// UpsertLeads appends one fact per lead, in order, or none at all.
func (r *Recorder) UpsertLeads(ctx context.Context, c Caller, in UpsertLeads) ([]Upsert, error) {
	facts, err := in.facts()
	var bad faults
	if err := bad.take(err, ""); err != nil {
		return nil, err
	}
	// What could be read is validated even where the rest could not, so that one
	// answer names all there is to mend.
	events, payloads, err := r.events(c, facts)
	if err := bad.take(err, ""); err != nil {
		return nil, err
	}
	if err := bad.err(); err != nil {
		return nil, err
	}
	receipts, err := r.append(ctx, events)
	if err != nil {
		return nil, err
	}
	out := make([]Upsert, len(receipts))
	for i, rc := range receipts {
		l, ok := payloads[i].(lead.Upserted)
		if !ok {
			return nil, fmt.Errorf("a lead became %s", rc.Type)
		}
		out[i] = Upsert{Receipt: rc, Phone: l.Phone}
	}
	return out, nil
}

// facts reads the body. With an *Invalid it returns those that it could read.
func (in UpsertLeads) facts() ([]Fact, error) {
	body := bytes.TrimSpace(in.Body)
	if len(body) == 0 {
		return nil, &Invalid{Errors: []FieldError{{Detail: "a lead or an array of leads is expected, the body is empty"}}}
	}
	if body[0] != '[' {
		l, err := in.lead(body, "")
		if err != nil {
			return nil, err
		}
		return []Fact{{Payload: l}}, nil
	}
	var items []json.RawMessage
	if err := Decode(body, &items); err != nil {
		return nil, err
	}
	if len(items) > MaxLeads {
		return nil, &Invalid{Errors: []FieldError{{Detail: fmt.Sprintf("at most %d leads per request, this one has %d", MaxLeads, len(items))}}}
	}
	if len(items) == 0 {
		return nil, &Invalid{Errors: []FieldError{{Detail: "the array holds no lead"}}}
	}
	var bad faults
	facts := make([]Fact, 0, len(items))
	for i, item := range items {
		at := "/" + itoa(i)
		l, err := in.lead(item, at)
		if err != nil {
			if err := bad.take(err, ""); err != nil {
				return nil, err
			}
			continue
		}
		facts = append(facts, Fact{Payload: l, Pointer: at})
	}
	return facts, bad.err()
}

func (in UpsertLeads) lead(raw []byte, at string) (lead.Upserted, error) {
	var bad faults
	var keys map[string]json.RawMessage
	if err := Decode(raw, &keys); err != nil {
		_ = bad.take(err, at) // Decode's errors are all *Invalid
		return lead.Upserted{}, bad.err()
	}
	if keys == nil {
		bad.add(at, "expected an object, got null")
		return lead.Upserted{}, bad.err()
	}
	var l lead.Upserted
	field := func(name string, into any) {
		v, ok := keys[name]
		delete(keys, name)
		if !ok {
			return
		}
		// One value of a plain type: there is nothing for Decode to find but a
		// wrong type, which it says in better words.
		if json.Unmarshal(v, into) == nil {
			return
		}
		if err := Decode(v, into); err != nil {
			_ = bad.take(err, at+"/"+name) // as above
		}
	}
	field("phone", &l.Phone)
	if l.Phone == "" && len(bad.list) == 0 {
		bad.add(at+"/phone", "a phone number is required")
	}
	field("name", &l.Name)
	field("first_name", &l.FirstName)
	field("last_name", &l.LastName)
	field("company", &l.Company)
	field("title", &l.Title)
	field("email", &l.Email)
	field("city", &l.City)
	field("state", &l.State)
	field("zip", &l.Zip)
	if in.ListID == "" {
		field("external_id", &l.ExternalID)
		field("list_id", &l.ListID)
	} else {
		l.ListID = event.Some(in.ListID)
	}
	field("custom_fields", &l.CustomFields)
	for _, k := range slices.Sorted(maps.Keys(keys)) {
		if _, ok := l.CustomFields[k]; ok {
			continue // said under its own name, which counts
		}
		if l.CustomFields == nil {
			l.CustomFields = make(map[string]json.RawMessage, len(keys))
		}
		l.CustomFields[k] = keys[k]
	}
	return l, bad.err()
}
