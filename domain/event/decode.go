package event

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Unmarshal does what json.Unmarshal does, errors included, at a fraction of the
// time and of the objects where v points to a zero value and Read can read it. A
// time that could not be written again is an error besides, ErrTime: who reads
// payloads keeps them in states, and all must agree on what cannot be kept.
func Unmarshal(data []byte, v any) error {
	if Read(data, v) {
		return nil
	}
	if err := json.Unmarshal(data, v); err != nil {
		return err
	}
	return checkTimes(reflect.ValueOf(v))
}

// Read decodes data into the zero value that v points to, as json.Unmarshal
// does, if it is written plainly: every name is known and exactly as the type
// has it, and comes once. If not, or if there is anything wrong, also with a time
// (see ErrTime), it returns false and leaves the value as it was: that is for
// encoding/json to judge. Nothing in the value refers to data; short texts are kept
// together, so whoever keeps one of them for long keeps it by a copy.
func Read(data []byte, v any) bool {
	to := reflect.ValueOf(v)
	if to.Kind() != reflect.Pointer || to.IsNil() {
		return false
	}
	to = to.Elem()
	s := shapeOf(to.Type())
	if s == nil || !to.IsZero() {
		return false
	}
	r := reading{jsonScan: jsonScan{data: data}}
	r.space()
	// Texts that are not UTF-8 are encoding/json's to mend.
	if r.into(s, to) && r.end() && utf8.Valid(data) {
		return true
	}
	to.SetZero()
	return false
}

// reading is a JSON text that is read into a value.
type reading struct {
	jsonScan
	short strings.Builder
}

const (
	// shortText is the longest text that is kept together with others.
	shortText = 128
	// shortTexts bounds what is kept alive by one of them.
	shortTexts = 512
	// rawDepth is how deep a part may be nested that is kept as it is; what is
	// nested deeper is encoding/json's to judge by its own bound.
	rawDepth = maxNesting / 2
)

// into reads a value; white space before it has been.
func (r *reading) into(s *shape, v reflect.Value) bool {
	if s.kind != asRaw && s.kind != asOpt && r.word("null") {
		return true // which leaves a zero value as it is
	}
	switch s.kind {
	case asText:
		text, ok := r.string()
		v.SetString(text)
		return ok
	case asInt:
		text, ok := r.figure()
		n, err := strconv.ParseInt(string(text), 10, v.Type().Bits())
		v.SetInt(n)
		return ok && err == nil
	case asUint:
		text, ok := r.figure()
		n, err := strconv.ParseUint(string(text), 10, 64)
		v.SetUint(n)
		return ok && err == nil
	case asFloat:
		text, ok := r.figure()
		f, err := strconv.ParseFloat(string(text), 64)
		v.SetFloat(f)
		return ok && err == nil
	case asBool:
		yes := r.word("true")
		v.SetBool(yes)
		return yes || r.word("false")
	case asTime:
		from, t := r.at, v.Addr().Interface().(*time.Time)
		return r.text() && t.UnmarshalJSON(r.data[from:r.at]) == nil && writable(*t)
	case asRaw:
		from := r.at
		if !r.value(rawDepth) {
			return false
		}
		v.SetBytes(bytes.Clone(r.data[from:r.at]))
		return true
	case asRawMap:
		return r.rawMap(v.Addr().Interface().(*map[string]json.RawMessage))
	case asPointer:
		v.Set(reflect.New(v.Type().Elem()))
		return r.into(s.elem, v.Elem())
	case asSlice:
		return r.slice(s.elem, v)
	case asOpt:
		v.Field(optSet).SetBool(true)
		if r.word("null") {
			v.Field(optNull).SetBool(true)
			return true
		}
		return r.into(s.elem, v.Field(optValue))
	default:
		return r.fields(s.fields, v)
	}
}

// fields reads an object into a struct. A name that is not known exactly as it
// is may be one in another case, and one that comes twice is merged.
func (r *reading) fields(fields []field, v reflect.Value) bool {
	if !r.take('{') {
		return false
	}
	var seen uint64
	next := 0 // they usually come in the order in which they are declared
	for first := true; ; first = false {
		r.space()
		if r.take('}') {
			return true
		}
		if !first && !r.take(',') {
			return false
		}
		r.space()
		name, ok := r.name()
		if !ok {
			return false
		}
		i, ok := find(fields, name, next)
		if !ok || seen&(1<<i) != 0 {
			return false
		}
		seen |= 1 << i
		next = i + 1
		if !r.into(fields[i].shape, fields[i].of(v)) {
			return false
		}
	}
}

func find(fields []field, name []byte, next int) (int, bool) {
	for range fields {
		if next >= len(fields) {
			next = 0
		}
		if fields[next].name == string(name) {
			return next, true
		}
		next++
	}
	return 0, false
}

// name steps over a name without escapes, and to the value behind it.
func (r *reading) name() ([]byte, bool) {
	from := r.at
	if !r.text() {
		return nil, false
	}
	name := r.data[from+1 : r.at-1]
	r.space()
	if !r.take(':') || bytes.IndexByte(name, '\\') >= 0 {
		return nil, false
	}
	r.space()
	return name, true
}

func (r *reading) slice(elem *shape, v reflect.Value) bool {
	n, ok := r.count()
	if !ok {
		return false
	}
	if n == 0 {
		v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // not nil
	}
	v.Grow(n)
	v.SetLen(n)
	r.take('[')
	for i := range n {
		r.space()
		if !r.into(elem, v.Index(i)) {
			return false
		}
		r.space()
		r.take(',')
	}
	r.space()
	return r.take(']')
}

// count tells how many values an array has, so that it is made in one piece.
func (s jsonScan) count() (int, bool) {
	if !s.take('[') {
		return 0, false
	}
	s.space()
	if s.take(']') {
		return 0, true
	}
	for n := 1; ; n++ {
		s.space()
		if !s.value(rawDepth) {
			return 0, false
		}
		s.space()
		if s.take(']') {
			return n, true
		}
		if !s.take(',') {
			return 0, false
		}
	}
}

// rawMap reads an object whose values are kept as they are, in one piece.
func (r *reading) rawMap(into *map[string]json.RawMessage) bool {
	start, after := r.at, r.jsonScan
	if after.at == len(after.data) || after.data[after.at] != '{' || !after.value(rawDepth) {
		return false
	}
	whole := bytes.Clone(r.data[start:after.at])
	m := make(map[string]json.RawMessage)
	r.at++
	for r.space(); !r.take('}'); r.space() {
		r.take(',')
		r.space()
		key, ok := r.string()
		if !ok {
			return false
		}
		r.space()
		r.take(':')
		r.space()
		from := r.at - start
		r.value(rawDepth)
		to := r.at - start
		m[key] = whole[from:to:to]
	}
	*into = m
	return true
}

// figure steps over a number, whatever its form.
func (r *reading) figure() ([]byte, bool) {
	from := r.at
	ok := r.number()
	return r.data[from:r.at], ok
}

// string reads a text.
func (r *reading) string() (string, bool) {
	from := r.at
	if !r.text() {
		return "", false
	}
	raw := r.data[from+1 : r.at-1]
	if len(raw) == 0 {
		return "", true
	}
	escaped := bytes.IndexByte(raw, '\\') >= 0
	if len(raw) > shortText {
		if !escaped {
			return string(raw), true
		}
		var long strings.Builder
		long.Grow(len(raw))
		ok := unescape(&long, raw)
		return long.String(), ok
	}
	if r.short.Cap()-r.short.Len() < len(raw) {
		r.short = strings.Builder{}
		r.short.Grow(max(len(raw), min(shortTexts, len(r.data)-from)))
	}
	start := r.short.Len()
	if !escaped {
		r.short.Write(raw)
	} else if !unescape(&r.short, raw) {
		return "", false
	}
	return r.short.String()[start:], true
}

// unescape writes what a valid text means. Halves of a pair are left to
// encoding/json.
func unescape(to *strings.Builder, raw []byte) bool {
	for {
		i := bytes.IndexByte(raw, '\\')
		if i < 0 {
			to.Write(raw)
			return true
		}
		to.Write(raw[:i])
		c := raw[i+1]
		raw = raw[i+2:]
		switch c {
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			n, err := strconv.ParseUint(string(raw[:4]), 16, 32)
			if err != nil || n >= 0xD800 && n < 0xE000 {
				return false
			}
			to.WriteRune(rune(n))
			raw = raw[4:]
			continue
		}
		to.WriteByte(c)
	}
}
