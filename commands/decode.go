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
// a fact silently.
func Decode(body []byte, into any) error {
	if len(bytes.TrimSpace(body)) == 0 {
		return &Invalid{Errors: []FieldError{{Detail: "a JSON body is expected, this one is empty"}}}
	}
	t := reflect.TypeOf(into).Elem()
	// The usual case: every name is written as the type has it.
	if !veiled(t) && event.Read(body, into) {
		return nil
	}
	if json.Unmarshal(body, into) == nil && !veiled(t) && exact(bytes.TrimSpace(body), t) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(body))
	dec.DisallowUnknownFields()
	err := dec.Decode(into)
	if err == nil {
		if at := dec.InputOffset(); len(bytes.TrimSpace(body[at:])) > 0 {
			return behind(at)
		}
		if !veiled(t) {
			return nil
		}
	}
	// The standard decoder stops at the first mistake, says no pointer, and does
	// not look into types that decode themselves. The walk does.
	return explain(body, t, err)
}

func behind(offset int64) error {
	return &Invalid{Errors: []FieldError{{Detail: fmt.Sprintf("one JSON value is expected, there is more behind byte %d", offset)}}}
}

func explain(body []byte, t reflect.Type, cause error) error {
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
	if len(f.list) == 0 && cause != nil {
		f.add("", "%s", strings.TrimPrefix(cause.Error(), "json: "))
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

// veiled reports whether a type holds objects behind an UnmarshalJSON of their
// own, where the standard decoder does not refuse unknown fields.
func veiled(t reflect.Type) bool {
	if inner, ok := optional(t); ok {
		k := inner.Kind()
		return k == reflect.Struct || k == reflect.Slice || k == reflect.Map
	}
	if t == timeType || t == rawType {
		return false
	}
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Map:
		return veiled(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			if veiled(t.Field(i).Type) {
				return true
			}
		}
	}
	return false
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
	known := fieldsOf(t).folded
	for _, k := range slices.Sorted(maps.Keys(m)) {
		ft, ok := known[strings.ToLower(k)]
		if !ok {
			f.add(at+"/"+escape(k), "unknown field")
			continue
		}
		walk(m[k], ft, at+"/"+escape(k), f)
	}
}

// exact reports whether valid JSON names fields of the type only, and as they
// are written there. If not, it may be right all the same: encoding/json matches
// names without case.
func exact(raw []byte, t reflect.Type) bool {
	switch t.Kind() {
	case reflect.Pointer:
		return exact(raw, t.Elem())
	case reflect.Struct, reflect.Map, reflect.Slice, reflect.Array:
	default:
		return true
	}
	if reflect.PointerTo(t).Implements(unmarshalerType) || reflect.PointerTo(t).Implements(textType) {
		return true
	}
	switch raw[0] {
	case '{':
		named := t.Kind() == reflect.Struct
		var known map[string]reflect.Type
		if named {
			known = fieldsOf(t).exact
		}
		for m := range members(raw) {
			ft, ok := known[string(m.Name)]
			switch {
			case !named:
				ft = t.Elem()
			case !ok:
				return false
			}
			if !exact(m.Raw, ft) {
				return false
			}
		}
	case '[':
		for _, e := range Elements(raw) {
			if !exact(e, t.Elem()) {
				return false
			}
		}
	}
	return true // null, or []byte as text
}

var (
	unmarshalerType = reflect.TypeFor[json.Unmarshaler]()
	textType        = reflect.TypeFor[encoding.TextUnmarshaler]()
)

// jsonFields are the JSON fields of a struct, those of embedded structs
// included: by name, and by name in lower case.
type jsonFields struct{ exact, folded map[string]reflect.Type }

var knownFields sync.Map // reflect.Type → jsonFields

func fieldsOf(t reflect.Type) jsonFields {
	if f, ok := knownFields.Load(t); ok {
		return f.(jsonFields)
	}
	f := jsonFields{exact: fields(t), folded: make(map[string]reflect.Type)}
	for name, ft := range f.exact {
		f.folded[strings.ToLower(name)] = ft
	}
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
