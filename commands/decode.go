package commands

import (
	"bytes"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Decode reads one JSON value strictly into the value that into points to. An
// unknown field, a wrong type or anything behind the value is an *Invalid that
// names each place by its JSON Pointer: a typo in a field's name must not lose
// a fact silently. Names are exact: encoding/json would take one in another case
// too, and of "direction" and "Direction" the later would win.
func Decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return &Invalid{Errors: []FieldError{{Detail: "a JSON body is expected, this one is empty"}}}
	}
	// The usual case: each name is known, and comes once.
	if event.Read(body, into) {
		return nil
	}
	t := reflect.TypeOf(into).Elem()
	err := json.Unmarshal(body, into)
	if err != nil {
		// It stops at the first mistake, and says no pointer. The walk goes on.
		return explain(body, t, strings.TrimPrefix(err.Error(), "json: "))
	}
	if unknown, ok := exact(bytes.TrimSpace(body), t); !ok {
		return explain(body, t, "unknown field "+strconv.Quote(unknown))
	}
	return nil
}

func behind(offset int64) error {
	return &Invalid{Errors: []FieldError{{Detail: fmt.Sprintf("one JSON value is expected, there is more behind byte %d", offset)}}}
}

// explain names each place where a body is not what it should be. Where the walk
// finds none, as in the former of two members of one name, cause is what is said.
func explain(body []byte, t reflect.Type, cause string) error {
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return &Invalid{Errors: []FieldError{{Detail: malformed(err, len(body))}}}
	}
	if at := dec.InputOffset(); len(bytes.TrimSpace(body[at:])) > 0 {
		return behind(at)
	}
	var f faults
	walk(v, t, "", &f)
	if len(f.list) == 0 {
		f.add("", "%s", cause)
	}
	return f.err()
}

func malformed(err error, size int) string {
	var syn *json.SyntaxError
	if errors.As(err, &syn) {
		return fmt.Sprintf("invalid JSON at byte %d: %s", syn.Offset, syn.Error())
	}
	return fmt.Sprintf("invalid JSON: it breaks off at byte %d", size)
}

var (
	timeType = reflect.TypeFor[time.Time]()
	rawType  = reflect.TypeFor[json.RawMessage]()
)

// optional returns the T of an event.Opt[T].
func optional(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() != reflect.Struct || !strings.HasPrefix(t.Name(), "Opt[") {
		return nil, false
	}
	v, ok := t.FieldByName("Value")
	return v.Type, ok
}

// walk compares a decoded value with the type that it should have.
func walk(v any, t reflect.Type, at string, f *faults) {
	if inner, ok := optional(t); ok {
		if v != nil {
			walk(v, inner, at, f)
		}
		return
	}
	if t == rawType || t.Kind() == reflect.Interface {
		return
	}
	if v == nil {
		return // encoding/json leaves the zero value
	}
	if t == timeType {
		s, ok := v.(string)
		if !ok {
			f.add(at, "expected an RFC 3339 time, got %s", kindOf(v))
			return
		}
		if _, err := time.Parse(time.RFC3339, s); err != nil {
			f.add(at, "expected an RFC 3339 time such as 2026-05-14T16:30:00Z")
		}
		return
	}
	switch t.Kind() {
	case reflect.Pointer:
		walk(v, t.Elem(), at, f)
	case reflect.Struct:
		walkObject(v, t, at, f)
	case reflect.Map:
		m, ok := v.(map[string]any)
		if !ok {
			f.add(at, "expected an object, got %s", kindOf(v))
			return
		}
		for _, k := range slices.Sorted(maps.Keys(m)) {
			walk(m[k], t.Elem(), at+"/"+escape(k), f)
		}
	case reflect.Slice, reflect.Array:
		list, ok := v.([]any)
		if !ok {
			f.add(at, "expected an array, got %s", kindOf(v))
			return
		}
		for i, item := range list {
			walk(item, t.Elem(), at+"/"+strconv.Itoa(i), f)
		}
	default:
		walkScalar(v, t, at, f)
	}
}

func walkObject(v any, t reflect.Type, at string, f *faults) {
	m, ok := v.(map[string]any)
	if !ok {
		f.add(at, "expected an object, got %s", kindOf(v))
		return
	}
	known := fieldsOf(t)
	for _, k := range slices.Sorted(maps.Keys(m)) {
		ft, ok := known[k]
		if !ok {
			f.add(at+"/"+escape(k), "unknown field")
			continue
		}
		walk(m[k], ft, at+"/"+escape(k), f)
	}
}

// exact reports whether valid JSON names fields of the type only, as they are
// written there, also within an event.Opt. If not, it returns the first other name.
func exact(raw []byte, t reflect.Type) (string, bool) {
	if inner, ok := optional(t); ok {
		return exact(raw, inner)
	}
	switch t.Kind() {
	case reflect.Pointer:
		return exact(raw, t.Elem())
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
	default:
		return "", true
	}
	if reflect.PointerTo(t).Implements(unmarshalerType) || reflect.PointerTo(t).Implements(textType) {
		return "", true
	}
	switch raw[0] {
	case '{':
		named := t.Kind() == reflect.Struct
		var known map[string]reflect.Type
		if named {
			known = fieldsOf(t)
		}
		for m := range members(raw) {
			ft, ok := known[string(m.Name)]
			switch {
			case !named:
				ft = t.Elem()
			case !ok:
				return string(m.Name), false
			}
			if unknown, ok := exact(m.Raw, ft); !ok {
				return unknown, false
			}
		}
	case '[':
		for _, e := range Elements(raw) {
			if unknown, ok := exact(e, t.Elem()); !ok {
				return unknown, false
			}
		}
	}
	return "", true // null, or []byte as text
}

var (
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

var knownFields sync.Map // reflect.Type → map[string]reflect.Type

// fieldsOf returns the JSON fields of a struct by their names, those of embedded
// structs included.
func fieldsOf(t reflect.Type) map[string]reflect.Type {
	if f, ok := knownFields.Load(t); ok {
		return f.(map[string]reflect.Type)
	}
	f := fields(t)
	knownFields.Store(t, f)
	return f
}

func fields(t reflect.Type) map[string]reflect.Type {
	m := make(map[string]reflect.Type)
	for i := range t.NumField() {
		sf := t.Field(i)
		name, _, _ := strings.Cut(sf.Tag.Get("json"), ",")
		switch {
		case name == "-" || !sf.IsExported():
		case sf.Anonymous && name == "" && sf.Type.Kind() == reflect.Struct:
			maps.Copy(m, fields(sf.Type))
		case name == "":
			m[sf.Name] = sf.Type
		default:
			m[name] = sf.Type
		}
	}
	return m
}

func walkScalar(v any, t reflect.Type, at string, f *faults) {
	switch t.Kind() {
	case reflect.String:
		if _, ok := v.(string); !ok {
			f.add(at, "expected a string, got %s", kindOf(v))
		}
	case reflect.Bool:
		if _, ok := v.(bool); !ok {
			f.add(at, "expected true or false, got %s", kindOf(v))
		}
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n, ok := v.(json.Number)
		if !ok {
			f.add(at, "expected a whole number, got %s", kindOf(v))
			return
		}
		if _, err := strconv.ParseInt(n.String(), 10, t.Bits()); err != nil {
			f.add(at, "expected a whole number without a fraction or exponent")
		}
	case reflect.Float32, reflect.Float64:
		n, ok := v.(json.Number)
		if !ok {
			f.add(at, "expected a number, got %s", kindOf(v))
			return
		}
		if _, err := strconv.ParseFloat(n.String(), t.Bits()); err != nil {
			f.add(at, "the number is too large")
		}
	}
}

func kindOf(v any) string {
	switch v.(type) {
	case nil:
		return "null"
	case bool:
		return "a boolean"
	case json.Number:
		return "a number"
	case string:
		return "a string"
	case []any:
		return "an array"
	}
	return "an object"
}

// escape makes a key a reference token of a JSON Pointer (RFC 6901).
func escape(key string) string {
	return strings.ReplaceAll(strings.ReplaceAll(key, "~", "~0"), "/", "~1")
}
