package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	independent "github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/schemas"
)

const root = "../.."

func TestTheCommittedFilesAreWhatIsGenerated(t *testing.T) {
	t.Parallel()
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Errorf("run make gen: %v", err)
			continue
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Errorf("run make gen: %s (-generated +committed)\n%s", name, diff)
		}
	}
	committed, err := filepath.Glob(filepath.Join(root, "schemas/events/*.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range committed {
		if _, ok := files["schemas/events/"+filepath.Base(path)]; !ok {
			t.Errorf("%s describes no type of the catalogue", path)
		}
	}
}

// validator is a JSON Schema library that is not the one the generator uses.
func validator(t *testing.T, typ event.Type) *independent.Schema {
	t.Helper()
	raw, err := schemas.Events.ReadFile("events/" + string(typ) + ".json")
	if err != nil {
		t.Fatal(err)
	}
	doc, err := independent.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	c := independent.NewCompiler()
	c.AssertFormat()
	if err := c.AddResource(event.SchemaID(typ), doc); err != nil {
		t.Fatal(err)
	}
	s, err := c.Compile(event.SchemaID(typ))
	if err != nil {
		t.Fatalf("%s: %v", typ, err)
	}
	return s
}

func TestExamples(t *testing.T) {
	t.Parallel()
	for _, e := range catalog.All() {
		t.Run(string(e.Type), func(t *testing.T) {
			t.Parallel()
			raw, err := schemas.Events.ReadFile("events/examples/" + string(e.Type) + ".json")
			if err != nil {
				t.Fatal(err)
			}
			s := validator(t, e.Type)
			v, err := independent.UnmarshalJSON(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Validate(v); err != nil {
				t.Errorf("the example does not fit the schema: %v", err)
			}
			p, err := catalog.Decode(e.Type, raw)
			if err != nil {
				t.Fatal(err)
			}
			ev, err := event.New(event.Envelope{ID: "e1", Subject: "entity-1"}, p)
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, raw); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(compact.String(), string(ev.Data)); diff != "" {
				t.Errorf("the example is not what we would write (-example +ours):\n%s", diff)
			}
			topic, err := event.TopicOf(e.Type)
			if err != nil {
				t.Fatal(err)
			}
			if state, ok := catalog.Entity(topic); ok {
				if err := catalog.Apply(state, event.Recorded{Event: ev}); err != nil {
					t.Errorf("the example does not fold: %v", err)
				}
			}
			refuses(t, s, v)
		})
	}
}

// refuses checks that the schema can say no: every required field is missed,
// and unknown fields are welcome.
func refuses(t *testing.T, s *independent.Schema, v any) {
	t.Helper()
	object := v.(map[string]any)
	open := make(map[string]any, len(object)+1)
	for k, inner := range object {
		open[k] = inner
	}
	open["a_field_of_next_year"] = "x"
	if err := s.Validate(open); err != nil {
		t.Errorf("the schema is closed: %v", err)
	}
	for _, k := range s.Required {
		less := make(map[string]any, len(object))
		for name, inner := range object {
			if name != k {
				less[name] = inner
			}
		}
		if s.Validate(less) == nil {
			t.Errorf("%s is required and was not missed", k)
		}
	}
	if s.Validate("text") == nil || s.Validate([]any{}) == nil {
		t.Error("the schema takes what is no object")
	}
	wrong := map[string]any{}
	for k, inner := range object {
		wrong[k] = map[string]any{"no": []any{true}}
		if _, isObject := inner.(map[string]any); isObject {
			wrong[k] = "text"
		}
	}
	if s.Validate(wrong) == nil {
		t.Error("the schema takes fields of any type")
	}
}

// TestWhatWeWriteFits validates payloads with every field empty.
func TestWhatWeWriteFits(t *testing.T) {
	t.Parallel()
	for _, e := range catalog.All() {
		ev, err := event.New(event.Envelope{}, e.Payload)
		if err != nil {
			t.Fatal(err)
		}
		v, err := independent.UnmarshalJSON(bytes.NewReader(ev.Data))
		if err != nil {
			t.Fatal(err)
		}
		if err := validator(t, e.Type).Validate(v); err != nil {
			t.Errorf("%s is written as %s: %v", e.Type, ev.Data, err)
		}
	}
}

func TestPersonalDataIsMarked(t *testing.T) {
	t.Parallel()
	for typ, fields := range map[event.Type]map[string]string{
		"lead.upserted.v1":   {"phone": "phone", "name": "name", "email": "email", "zip": "address", "custom_fields": "content"},
		"call.started.v1":    {"from": "phone", "to": "phone", "custom": "content"},
		"call.note_added.v1": {"note": "content"},
		"message.sent.v1":    {"content": "content", "from": "phone", "from_name": "name"},
	} {
		raw, err := schemas.Events.ReadFile("events/" + string(typ) + ".json")
		if err != nil {
			t.Fatal(err)
		}
		var s struct {
			Properties map[string]struct {
				Class string `json:"x-personal-data"`
			}
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			t.Fatal(err)
		}
		for field, want := range fields {
			if got := s.Properties[field].Class; got != want {
				t.Errorf("%s of %s is marked %q, want %q", field, typ, got, want)
			}
		}
	}
}

// TestReleasedSchemasKeepTheirPromises compares with released.sum. A failure is
// no reason to rewrite that file: give the type a new version.
func TestReleasedSchemasKeepTheirPromises(t *testing.T) {
	t.Parallel()
	released, err := os.ReadFile(filepath.Join(root, releasedFile))
	if err != nil {
		t.Fatal(err)
	}
	files, err := generate(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, broken := range brokenPromises(t, string(released), files) {
		t.Errorf("released, and changed since: %s", broken)
	}
}

func brokenPromises(t *testing.T, released string, files map[string][]byte) []string {
	t.Helper()
	now, err := promises(files)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(now), "\n")
	var broken []string
	for line := range strings.Lines(released) {
		if !slices.Contains(lines, strings.TrimSpace(line)) {
			broken = append(broken, strings.TrimSpace(line))
		}
	}
	return broken
}

func TestPromises(t *testing.T) {
	t.Parallel()
	file := func(s string) map[string][]byte { return map[string][]byte{"schemas/events/a.b.v1.json": []byte(s)} }
	before := `{"description":"x","properties":{"a":{"type":"string","description":"a"},"b":{"$ref":"#/$defs/B"}},"required":["a"],"$defs":{"B":{"properties":{"c":{"type":"integer"}},"required":["c"]}}}`
	sums, err := promises(file(before))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		what, old, new string
		broken         int
	}{
		{"nothing", "", "", 0},
		{"a text", `"description":"a"`, `"description":"b"`, 0},
		{"a new optional property", `"b":{`, `"n":{"type":"string"},"b":{`, 0},
		{"a property's type", `"string"`, `"number"`, 1},
		{"a property's name", `"a":{`, `"z":{`, 1},
		{"what is required", `"required":["a"]`, `"required":["a","b"]`, 1},
		{"a definition", `"integer"`, `"number"`, 1},
	} {
		broken := brokenPromises(t, string(sums), file(strings.Replace(before, c.old, c.new, 1)))
		if len(broken) != c.broken {
			t.Errorf("changing %s breaks %v", c.what, broken)
		}
	}
}

func TestAsyncAPIListsTheCatalogue(t *testing.T) {
	t.Parallel()
	var doc map[string]any
	if err := yaml.Unmarshal(schemas.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	messages := doc["components"].(map[string]any)["messages"].(map[string]any)
	onTopic := make(map[string][]event.Topic)
	addresses := make(map[string]bool)
	for _, c := range doc["channels"].(map[string]any) {
		c := c.(map[string]any)
		addresses[c["address"].(string)] = true
		listed, _ := c["messages"].(map[string]any)
		for name := range listed {
			onTopic[name] = append(onTopic[name], event.Topic(c["address"].(string)))
		}
	}
	for _, topic := range event.Topics() {
		if !addresses[string(topic)] {
			t.Errorf("%s has no channel", topic)
		}
	}
	for _, e := range catalog.All() {
		topics, err := event.TopicsOf(e.Type)
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(topics)
		slices.Sort(onTopic[string(e.Type)])
		if !slices.Equal(onTopic[string(e.Type)], topics) || messages[string(e.Type)] == nil {
			t.Errorf("%s is on channels %q, want %q", e.Type, onTopic[string(e.Type)], topics)
		}
	}
	if len(messages) != len(catalog.All()) || len(addresses) != len(event.Topics()) {
		t.Errorf("%d messages for %d types, %d channels for %d topics", len(messages), len(catalog.All()), len(addresses), len(event.Topics()))
	}
	headers := doc["components"].(map[string]any)["schemas"].(map[string]any)["headers"].(map[string]any)
	described := headers["properties"].(map[string]any)
	all := event.Headers(event.Envelope{ID: "x", Actor: "x", CorrelationID: "x", CausationID: "x", Origin: event.OriginLive, TraceParent: "x"})
	for _, h := range all {
		if described[h.Name] == nil {
			t.Errorf("header %s is not described", h.Name)
		}
	}
	if len(described) != len(all) {
		t.Errorf("%d headers are described, %d are sent", len(described), len(all))
	}
}

// TestAsyncAPIRefsResolve follows every $ref of the document.
func TestAsyncAPIRefsResolve(t *testing.T) {
	t.Parallel()
	var doc any
	if err := yaml.Unmarshal(schemas.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	refs := 0
	var walk func(v any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok {
				refs++
				if err := resolve(doc, ref); err != nil {
					t.Error(err)
				}
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(doc)
	if refs < len(catalog.All()) {
		t.Errorf("only %d references", refs)
	}
}

func resolve(doc any, ref string) error {
	if file, ok := strings.CutPrefix(ref, "./"); ok {
		_, err := schemas.Events.ReadFile(file)
		return err
	}
	at := doc
	for name := range strings.SplitSeq(strings.TrimPrefix(ref, "#/"), "/") {
		m, _ := at.(map[string]any)
		if at = m[name]; at == nil {
			return fmt.Errorf("%s leads nowhere", ref)
		}
	}
	return nil
}
