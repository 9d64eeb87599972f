package catalog_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/schemas"
)

func typeName(v any) string { return reflect.TypeOf(v).String() }

// example is the data of schemas/events/examples for a type.
func example(t event.Type) []byte {
	b, err := schemas.Events.ReadFile("events/examples/" + string(t) + ".json")
	if err != nil {
		return []byte("{}")
	}
	return b
}

// histories draws events of one entity of a topic, in an order and with times
// that no sane source would send: fields missing, null, repeated.
func histories(topic event.Topic) *rapid.Generator[[]event.Event] {
	var of []event.Type
	for _, e := range catalog.All() {
		if event.On(topic, e.Type) {
			of = append(of, e.Type)
		}
	}
	one := rapid.Custom(func(t *rapid.T) event.Event {
		typ := rapid.SampledFrom(of).Draw(t, "type")
		var fields map[string]json.RawMessage
		if err := json.Unmarshal(example(typ), &fields); err != nil {
			t.Fatal(err)
		}
		for k := range fields {
			switch rapid.IntRange(0, 4).Draw(t, "fate of "+k) {
			case 0:
				delete(fields, k)
			case 1:
				fields[k] = json.RawMessage("null")
			}
		}
		data, err := event.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		at := time.Unix(1_770_000_000, 0).Add(time.Duration(rapid.IntRange(-100, 100).Draw(t, "second")) * time.Second)
		return event.Event{Data: data, Envelope: event.Envelope{
			ID: fmt.Sprintf("e%d", rapid.IntRange(1, 1_000_000).Draw(t, "id")), Type: typ, Subject: "entity-1", Org: "org-1", Source: "api",
			OccurredAt: event.Time(at), RecordedAt: event.Time(at.Add(time.Second)),
		}}
	})
	return rapid.SliceOfN(one, 0, 12)
}

// TestFoldsArePure folds random histories: nothing panics, the same history
// gives the same state, the state before stays as it was, and a state that was
// stored and read between any two events goes on as if it had not been.
func TestFoldsArePure(t *testing.T) {
	t.Parallel()
	for _, topic := range event.PublicTopics() {
		t.Run(string(topic), func(t *testing.T) {
			t.Parallel()
			histories := histories(topic)
			rapid.Check(t, func(rt *rapid.T) {
				history := histories.Draw(rt, "history")
				once, _ := catalog.Entity(topic)
				again, _ := catalog.Entity(topic)
				stored, _ := catalog.Entity(topic)
				for _, e := range history {
					before := shallow(once)
					written := encode(rt, before)
					apply(rt, once, e)
					if encode(rt, before) != written {
						rt.Fatalf("%s wrote into the state before it", e.Type)
					}
					apply(rt, again, e)
					fresh, _ := catalog.Entity(topic)
					if err := json.Unmarshal([]byte(encode(rt, stored)), fresh); err != nil {
						rt.Fatal(err)
					}
					stored = fresh
					apply(rt, stored, e)
				}
				if a, b, c := encode(rt, once), encode(rt, again), encode(rt, stored); a != b || a != c {
					rt.Fatalf("the same history gave\n%s\n%s\n%s", a, b, c)
				}
			})
		})
	}
}

// shallow copies what a pointer points to, as a projector keeps the state before.
func shallow(s event.Entity) event.Entity {
	c := reflect.New(reflect.TypeOf(s).Elem())
	c.Elem().Set(reflect.ValueOf(s).Elem())
	return c.Interface().(event.Entity)
}

func apply(t *rapid.T, s event.Entity, e event.Event) {
	t.Helper()
	if err := catalog.Apply(s, event.Recorded{Event: e}); err != nil {
		t.Fatalf("%s %s: %v", e.Type, e.Data, err)
	}
}

func encode(t *rapid.T, v any) string {
	t.Helper()
	b, err := event.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// FuzzDecode decodes arbitrary bytes as each type. What is accepted can be
// encoded, and decodes to the same again.
func FuzzDecode(f *testing.F) {
	for i, name := range types() {
		f.Add(i, example(event.Type(name)))
	}
	f.Add(0, []byte(`{"phone":7,"custom_fields":{"":null}}`))
	f.Fuzz(func(t *testing.T, n int, data []byte) {
		all := catalog.All()
		typ := all[uint(n)%uint(len(all))].Type
		p, err := catalog.Decode(typ, data)
		if err != nil {
			return
		}
		if p.EventType() != typ {
			t.Fatalf("%s decoded to %s", typ, p.EventType())
		}
		first, err := event.New(event.Envelope{Subject: "x"}, p)
		if err != nil {
			t.Fatalf("%s cannot be encoded: %v", typ, err)
		}
		q, err := catalog.Decode(typ, first.Data)
		if err != nil {
			t.Fatalf("%s does not read what it wrote: %v", typ, err)
		}
		second, err := event.New(event.Envelope{Subject: "x"}, q)
		if err != nil || string(second.Data) != string(first.Data) {
			t.Fatalf("%s wrote %s, then %s (%v)", typ, first.Data, second.Data, err)
		}
		topic, err := event.TopicOf(typ)
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := catalog.Entity(topic); ok {
			if err := catalog.Apply(s, event.Recorded{Event: first}); err != nil {
				t.Fatal(err)
			}
		}
	})
}
