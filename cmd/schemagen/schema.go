package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/google/jsonschema-go/jsonschema"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// generate returns the derived files by their path below the module's root.
func generate(root string) (map[string][]byte, error) {
	comments, err := readDocs(filepath.Join(root, "domain"))
	if err != nil {
		return nil, err
	}
	files := make(map[string][]byte)
	for _, e := range catalog.All() {
		s, err := schemaOf(e, comments)
		if err != nil {
			return nil, fmt.Errorf("describing %s: %w", e.Type, err)
		}
		if files["schemas/events/"+string(e.Type)+".json"], err = encode(s); err != nil {
			return nil, fmt.Errorf("encoding the schema of %s: %w", e.Type, err)
		}
	}
	if files["schemas/asyncapi.yaml"], err = asyncAPI(comments); err != nil {
		return nil, err
	}
	return files, nil
}

// reading is the order in which a person wants the members of a schema.
var reading = []string{"$schema", "$id", "title", "description", "x-topic", "x-personal-data", "type", "required", "properties"}

func encode(s *jsonschema.Schema) ([]byte, error) {
	b, err := event.Marshal(s)
	if err != nil {
		return nil, err
	}
	if b, err = forReading(b); err != nil {
		return nil, err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		return nil, err
	}
	out.WriteByte('\n')
	return out.Bytes(), nil
}

// forReading orders the members of a schema and of its definitions.
func forReading(schema []byte) ([]byte, error) {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(schema, &members); err != nil {
		return nil, err
	}
	if raw, ok := members["$defs"]; ok {
		var defs map[string]json.RawMessage
		if err := json.Unmarshal(raw, &defs); err != nil {
			return nil, err
		}
		for name, d := range defs {
			ordered, err := forReading(d)
			if err != nil {
				return nil, err
			}
			defs[name] = ordered
		}
		b, err := event.Marshal(defs)
		if err != nil {
			return nil, err
		}
		members["$defs"] = b
	}
	order := slices.Clone(reading)
	for _, k := range slices.Sorted(maps.Keys(members)) {
		if !slices.Contains(order, k) {
			order = append(order, k)
		}
	}
	var out bytes.Buffer
	for _, k := range order {
		if v, ok := members[k]; ok {
			_, _ = fmt.Fprintf(&out, ",%q:%s", k, v)
		}
	}
	return append(append([]byte{'{'}, bytes.TrimPrefix(out.Bytes(), []byte(","))...), '}'), nil
}

// generator makes the schema of one event type.
type generator struct {
	docs docs
	defs map[string]*jsonschema.Schema
}

func schemaOf(e catalog.Entry, comments docs) (*jsonschema.Schema, error) {
	topic, err := event.TopicOf(e.Type)
	if err != nil {
		return nil, err
	}
	g := generator{docs: comments, defs: make(map[string]*jsonschema.Schema)}
	s, err := g.structure(reflect.TypeOf(e.Payload))
	if err != nil {
		return nil, err
	}
	s.Schema = "https://json-schema.org/draft/2020-12/schema"
	s.ID = event.SchemaID(e.Type)
	s.Title = string(e.Type)
	s.Extra = map[string]any{"x-topic": string(topic)}
	if len(g.defs) > 0 {
		s.Defs = g.defs
	}
	return s, nil
}

// structure describes a struct. It is open: a reader ignores what it does not
// know, so that a newer writer does not stop it.
func (g *generator) structure(t reflect.Type) (*jsonschema.Schema, error) {
	s := &jsonschema.Schema{Type: "object", Description: g.docs[docName(t)], Properties: make(map[string]*jsonschema.Schema)}
	if err := g.fields(t, s); err != nil {
		return nil, err
	}
	return s, nil
}

func (g *generator) fields(t reflect.Type, s *jsonschema.Schema) error {
	for i := range t.NumField() {
		f := t.Field(i)
		tag, tagged := f.Tag.Lookup("json")
		name, options, _ := strings.Cut(tag, ",")
		switch {
		case name == "-":
			continue
		case f.Anonymous && name == "":
			if err := g.fields(f.Type, s); err != nil {
				return err
			}
			continue
		case !f.IsExported():
			continue
		case !tagged || name == "":
			return fmt.Errorf("%s.%s has no name on the wire", t, f.Name)
		}
		optional := strings.Contains(options, "omit")
		p, err := g.value(f.Type, !optional)
		if err != nil {
			return fmt.Errorf("%s.%s: %w", t, f.Name, err)
		}
		if doc := g.docs[docName(t)+"."+f.Name]; doc != "" {
			p.Description = doc
		}
		if class := f.Tag.Get("pii"); class != "" {
			p.Extra = map[string]any{"x-personal-data": class}
		}
		s.Properties[name] = p
		s.PropertyOrder = append(s.PropertyOrder, name)
		if !optional {
			s.Required = append(s.Required, name)
		}
	}
	return nil
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// value describes a field's type. written says that a nil is written as null,
// which it is unless the field is left out then.
func (g *generator) value(t reflect.Type, written bool) (*jsonschema.Schema, error) {
	if inner, ok := optOf(t); ok {
		s, err := g.value(inner, false)
		if err != nil {
			return nil, err
		}
		return nullable(s), nil
	}
	switch t {
	case timeType:
		return &jsonschema.Schema{Type: "string", Format: "date-time"}, nil
	case rawType:
		return &jsonschema.Schema{}, nil
	}
	switch t.Kind() {
	case reflect.String:
		return &jsonschema.Schema{Type: "string"}, nil
	case reflect.Bool:
		return &jsonschema.Schema{Type: "boolean"}, nil
	case reflect.Int, reflect.Int64:
		return &jsonschema.Schema{Type: "integer"}, nil
	case reflect.Float64:
		return &jsonschema.Schema{Type: "number"}, nil
	case reflect.Pointer:
		s, err := g.value(t.Elem(), false)
		if err == nil && written {
			s = nullable(s)
		}
		return s, err
	case reflect.Slice:
		items, err := g.value(t.Elem(), true)
		if err != nil {
			return nil, err
		}
		return orNull(&jsonschema.Schema{Type: "array", Items: items}, written), nil
	case reflect.Map:
		values, err := g.value(t.Elem(), true)
		if err != nil {
			return nil, err
		}
		return orNull(&jsonschema.Schema{Type: "object", AdditionalProperties: values}, written), nil
	case reflect.Struct:
		return g.ref(t)
	}
	return nil, fmt.Errorf("a %s has no JSON Schema", t)
}

// ref describes a struct once, by its name.
func (g *generator) ref(t reflect.Type) (*jsonschema.Schema, error) {
	if _, known := g.defs[t.Name()]; !known {
		g.defs[t.Name()] = nil // a type that holds itself ends here
		s, err := g.structure(t)
		if err != nil {
			return nil, err
		}
		g.defs[t.Name()] = s
	}
	return &jsonschema.Schema{Ref: "#/$defs/" + t.Name()}, nil
}

func orNull(s *jsonschema.Schema, null bool) *jsonschema.Schema {
	if null {
		return nullable(s)
	}
	return s
}

func nullable(s *jsonschema.Schema) *jsonschema.Schema {
	switch {
	case s.Ref != "":
		return &jsonschema.Schema{AnyOf: []*jsonschema.Schema{s, {Type: "null"}}}
	case s.Type != "":
		s.Types, s.Type = []string{s.Type, "null"}, ""
	}
	return s
}

// optOf returns the T of an event.Opt[T].
func optOf(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() != reflect.Struct || t.PkgPath() != reflect.TypeFor[event.Envelope]().PkgPath() || !strings.HasPrefix(t.Name(), "Opt[") {
		return nil, false
	}
	f, ok := t.FieldByName("Value")
	return f.Type, ok
}

// docName is how a type is called in the docs: "call.Started".
func docName(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }
