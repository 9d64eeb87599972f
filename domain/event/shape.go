package event

import (
	"encoding"
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
)

// shape says how the values of a Go type stand in JSON. It is made once of the
// type's struct tags, so that encoding and decoding an event neither asks for
// them again nor makes an object for each little thing, as encoding/json does.
// What encoding/json treats in a way of its own has no shape, and is left to it.
type shape struct {
	kind   kind
	elem   *shape  // of a pointer, a slice or an Opt
	fields []field // of a struct, those of embedded ones among them
}

type kind uint8

const (
	asText kind = iota
	asInt
	asUint
	asFloat
	asBool
	asTime
	asRaw    // json.RawMessage
	asRawMap // map[string]json.RawMessage
	asPointer
	asSlice
	asStruct
	asOpt // Opt[T]
)

// maxFields is how many fields a shape can keep apart (see reading.object).
const maxFields = 64

type field struct {
	name  string
	index []int
	shape *shape
	// omitEmpty and omitZero are encoding/json's options.
	omitEmpty, omitZero bool
}

// of is the field of a struct.
func (f *field) of(v reflect.Value) reflect.Value {
	for _, i := range f.index {
		v = v.Field(i)
	}
	return v
}

// omitted reports whether a value is left out.
func (f *field) omitted(v reflect.Value) bool {
	if f.omitZero {
		switch f.shape.kind {
		case asOpt:
			return !v.Field(optSet).Bool()
		case asTime:
			return timeIn(v).IsZero()
		default:
			return v.IsZero()
		}
	}
	if !f.omitEmpty {
		return false
	}
	switch f.shape.kind {
	case asText, asRaw, asRawMap, asSlice:
		return v.Len() == 0
	case asInt, asUint, asFloat, asBool, asPointer:
		return v.IsZero()
	default:
		return false
	}
}

// timeIn is the time in v; without a copy on the heap.
func timeIn(v reflect.Value) time.Time {
	t, _ := reflect.TypeAssert[time.Time](v)
	return t
}

// The fields of an Opt.
const (
	optSet = iota
	optNull
	optValue
)

// shapes keeps the *shape of each reflect.Type that was asked for.
var shapes sync.Map

// shapeOf returns the shape of a type, nil for one that has none.
func shapeOf(t reflect.Type) *shape {
	if s, ok := shapes.Load(t); ok {
		return s.(*shape)
	}
	s, _ := newShape(t, nil)
	shapes.Store(t, s)
	return s
}

var (
	timeType   = reflect.TypeFor[time.Time]()
	rawType    = reflect.TypeFor[json.RawMessage]()
	rawMapType = reflect.TypeFor[map[string]json.RawMessage]()
	optPackage = reflect.TypeFor[Opt[bool]]().PkgPath()
	// ownWays are what makes encoding/json ask the type.
	ownWays = []reflect.Type{
		reflect.TypeFor[json.Marshaler](), reflect.TypeFor[json.Unmarshaler](),
		reflect.TypeFor[encoding.TextMarshaler](), reflect.TypeFor[encoding.TextUnmarshaler](),
		reflect.TypeFor[interface{ IsZero() bool }](),
	}
)

// newShape makes the shape of a type that stands within others.
func newShape(t reflect.Type, within []reflect.Type) (*shape, bool) {
	switch {
	case t == timeType:
		return &shape{kind: asTime}, true
	case t == rawType:
		return &shape{kind: asRaw}, true
	case t == rawMapType:
		return &shape{kind: asRawMap}, true
	case t.PkgPath() == optPackage && strings.HasPrefix(t.Name(), "Opt["):
		return containing(asOpt, t.Field(optValue).Type, within)
	case t.Kind() == reflect.Pointer && t.Name() == "":
		return containing(asPointer, t.Elem(), within)
	case slices.ContainsFunc(ownWays, func(way reflect.Type) bool { return reflect.PointerTo(t).Implements(way) }):
		return nil, false
	}
	switch t.Kind() {
	case reflect.String:
		return &shape{kind: asText}, true
	case reflect.Int, reflect.Int32, reflect.Int64:
		return &shape{kind: asInt}, true
	case reflect.Uint64:
		return &shape{kind: asUint}, true
	case reflect.Float64:
		return &shape{kind: asFloat}, true
	case reflect.Bool:
		return &shape{kind: asBool}, true
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return nil, false // bytes are base64
		}
		return containing(asSlice, t.Elem(), within)
	case reflect.Struct:
		if slices.Contains(within, t) {
			return nil, false // it has no end
		}
		fields, ok := fieldsOf(t, nil, append(within, t))
		if !ok || len(fields) > maxFields {
			return nil, false
		}
		return &shape{kind: asStruct, fields: fields}, true
	default:
		return nil, false
	}
}

func containing(k kind, t reflect.Type, within []reflect.Type) (*shape, bool) {
	elem, ok := newShape(t, within)
	if !ok {
		return nil, false
	}
	return &shape{kind: k, elem: elem}, true
}

// fieldsOf lists the fields of a struct in the order in which they are written.
func fieldsOf(t reflect.Type, index []int, within []reflect.Type) ([]field, bool) {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		tag := f.Tag.Get("json")
		if tag == "-" || !f.IsExported() && !f.Anonymous {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		at := append(slices.Clone(index), i)
		if f.Anonymous {
			if name != "" || !f.IsExported() || f.Type.Kind() != reflect.Struct {
				return nil, false
			}
			s, ok := newShape(f.Type, within)
			if !ok || s.kind != asStruct {
				return nil, false
			}
			for _, inner := range s.fields {
				inner.index = append(slices.Clone(at), inner.index...)
				fields = append(fields, inner)
			}
			continue
		}
		if name == "" {
			name = f.Name
		}
		s, ok := newShape(f.Type, within)
		if !ok || !usual(name) {
			return nil, false
		}
		added := field{name: name, index: at, shape: s}
		for option := range strings.SplitSeq(options, ",") {
			switch option {
			case "":
			case "omitempty":
				added.omitEmpty = true
			case "omitzero":
				if s.kind == asPointer {
					return nil, false // it asks what is pointed to
				}
				added.omitZero = true
			default:
				return nil, false
			}
		}
		fields = append(fields, added)
	}
	for i, f := range fields {
		if slices.ContainsFunc(fields[:i], func(other field) bool { return strings.EqualFold(other.name, f.name) }) {
			return nil, false
		}
	}
	return fields, true
}

// usual reports whether a name stands for itself between quotes.
func usual(name string) bool {
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return true
}
