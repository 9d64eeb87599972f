package dialects

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// reader reads one object of a received webhook. It notes what is wrong by
// JSON Pointer, all of it, and remembers what was read: what is left over is
// kept as source_data. A null is read as absent, since these systems write
// null for what they do not know.
type reader struct {
	at     string
	fields map[string]json.RawMessage
	read   map[string]bool
	errs   *[]commands.FieldError
}

// maxID bounds ids of other systems, which become parts of keys and rows.
const maxID = 256

// readBody starts reading a webhook's body, which must be a JSON object.
func readBody(body []byte) (reader, error) {
	if !json.Valid(body) {
		return reader{}, invalid("", "the body is not JSON")
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(body, &fields); err != nil || fields == nil {
		return reader{}, invalid("", "expected an object")
	}
	return reader{fields: fields, read: make(map[string]bool), errs: new([]commands.FieldError)}, nil
}

func invalid(pointer, detail string) error {
	return &commands.Invalid{Errors: []commands.FieldError{{Pointer: pointer, Detail: detail}}}
}

// err returns everything that was found wrong.
func (r reader) err() error {
	if len(*r.errs) == 0 {
		return nil
	}
	return &commands.Invalid{Errors: *r.errs}
}

func (r reader) wrong(key, detail string) {
	*r.errs = append(*r.errs, commands.FieldError{Pointer: r.pointer(key), Detail: detail})
}

func (r reader) pointer(key string) string {
	return r.at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}

// raw returns a field's JSON, and false when it is absent or null.
func (r reader) raw(key string) (json.RawMessage, bool) {
	r.read[key] = true
	v, ok := r.fields[key]
	if !ok || bytes.Equal(v, []byte("null")) {
		return nil, false
	}
	return v, true
}

// nothing reads a field that the hub has nothing to say in: null. Anything else
// that is in it is left over.
func (r reader) nothing(key string) {
	if v, ok := r.fields[key]; ok && bytes.Equal(v, []byte("null")) {
		r.read[key] = true
	}
}

// text reads a string; empty when it is absent.
func (r reader) text(key string) string {
	v, ok := r.raw(key)
	if !ok {
		return ""
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		r.wrong(key, "expected a string or null")
	}
	return s
}

// words reads a text that says something; "" when it is absent. One of blanks alone
// is left over.
func (r reader) words(key string) string {
	s := r.text(key)
	if s != "" && strings.TrimSpace(s) == "" {
		delete(r.read, key)
		return ""
	}
	return s
}

// opt reads a string for a merge: absent, null and "" keep what is known.
func (r reader) opt(key string) event.Opt[string] {
	if s := r.text(key); s != "" {
		return event.Some(s)
	}
	return event.Opt[string]{}
}

// id reads a required id: a string, or a number as its digits.
func (r reader) id(key string) string {
	v, ok := r.raw(key)
	if !ok {
		r.wrong(key, "is required")
		return ""
	}
	var s string
	if json.Unmarshal(v, &s) != nil {
		var n json.Number
		if v[0] == '"' || json.Unmarshal(v, &n) != nil {
			r.wrong(key, "expected a string or a number")
			return ""
		}
		s = n.String()
	}
	if s == "" || len(s) > maxID {
		r.wrong(key, fmt.Sprintf("must have 1 to %d bytes", maxID))
	}
	return s
}

// idIfAny reads an id that may be absent: a string, or a number as its digits.
func (r reader) idIfAny(key string) string {
	if v, ok := r.raw(key); !ok || bytes.Equal(v, []byte(`""`)) {
		return ""
	}
	return r.id(key)
}

// optID is idIfAny for a merge: absent, null and "" keep what is known.
func (r reader) optID(key string) event.Opt[string] {
	if s := r.idIfAny(key); s != "" {
		return event.Some(s)
	}
	return event.Opt[string]{}
}

// link reads a URL that may be absent. What is none ("n/a") is left over.
func (r reader) link(key string) string {
	s := r.text(key)
	if u, err := url.Parse(s); s != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		delete(r.read, key)
		return ""
	}
	return s
}

// when reads a time; nil when it is absent. One that is none, as in the examples of
// seeds 000 ("...") and 004 ("023-01-11T…"), is as good as absent, and left over.
func (r reader) when(key string) *time.Time {
	s := r.text(key)
	if s == "" {
		return nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil || !credible(t) {
		delete(r.read, key)
		return nil
	}
	t = event.Time(t)
	return &t
}

// credible reports whether a time can be one of a call, and be stored.
func credible(t time.Time) bool {
	y := t.UTC().Year()
	return y >= commands.FirstYear && y <= commands.LastYear
}

// whenRequired reads a time that must be there.
func (r reader) whenRequired(key string) time.Time {
	before := len(*r.errs)
	if t := r.when(key); t != nil {
		return *t
	}
	if len(*r.errs) == before { // it is text
		r.noTime(key)
	}
	return time.Time{}
}

// noTime notes that a time that must be there is not.
func (r reader) noTime(key string) {
	if _, given := r.raw(key); !given {
		r.wrong(key, "is required")
		return
	}
	r.wrong(key, "expected an RFC 3339 time such as 2026-05-14T16:30:00Z")
}

// number reads a number; nil when it is absent.
func (r reader) number(key string) *float64 {
	v, ok := r.raw(key)
	if !ok {
		return nil
	}
	var f float64
	if json.Unmarshal(v, &f) != nil {
		r.wrong(key, "expected a number or null")
		return nil
	}
	return &f
}

// upTo reads a number from 0 to most. Another one, such as the -1 of a length that
// nobody knows, is left over.
func (r reader) upTo(key string, most float64) *float64 {
	f := r.number(key)
	if f != nil && (*f < 0 || *f > most) {
		delete(r.read, key)
		return nil
	}
	return f
}

// length reads a duration in seconds.
func (r reader) length(key string) *float64 { return r.upTo(key, math.MaxInt32) }

// seconds reads a duration in whole seconds; fractions are cut off.
func (r reader) seconds(key string) *int64 { return wholeOf(r.length(key)) }

// whole reads a number of whole units; fractions are cut off.
func (r reader) whole(key string) *int64 { return wholeOf(r.upTo(key, 1<<53)) }

func wholeOf(f *float64) *int64 {
	if f == nil {
		return nil
	}
	n := int64(*f)
	return &n
}

// object reads a nested object; absent and null give an empty one.
func (r reader) object(key string) reader {
	o := reader{at: r.pointer(key), read: make(map[string]bool), errs: r.errs}
	v, ok := r.raw(key)
	if ok && json.Unmarshal(v, &o.fields) != nil {
		r.wrong(key, "expected an object")
	}
	return o
}

// objectRequired reads a nested object that must be there.
func (r reader) objectRequired(key string) reader {
	if v, ok := r.fields[key]; !ok || bytes.Equal(v, []byte("null")) {
		r.wrong(key, "is required")
	}
	return r.object(key)
}

// rest returns the fields that were not read, nil if there are none.
func (r reader) rest() map[string]json.RawMessage {
	var rest map[string]json.RawMessage
	for k, v := range r.fields {
		if r.read[k] {
			continue
		}
		if rest == nil {
			rest = make(map[string]json.RawMessage)
		}
		rest[k] = v
	}
	return rest
}

// with returns m with one more field, unless the value is empty.
func with(m map[string]json.RawMessage, key, value string) map[string]json.RawMessage {
	if value == "" {
		return m
	}
	if m == nil {
		m = make(map[string]json.RawMessage)
	}
	m[key] = appendString(nil, value)
	return m
}

// merged returns the unknown fields of several objects as one source_data,
// those of nested objects under the object's name.
func merged(top map[string]json.RawMessage, nested map[string]map[string]json.RawMessage) map[string]json.RawMessage {
	for name, fields := range nested {
		if len(fields) == 0 {
			continue
		}
		if top == nil {
			top = make(map[string]json.RawMessage)
		}
		if b, err := event.Marshal(fields); err == nil { // raw JSON of a valid body always encodes
			top[name] = b
		}
	}
	return top
}

// keptWithCall is what is recorded of a lead whose number is none: what the source
// says of it stays with the call that it is told with.
func keptWithCall(id string, at time.Time, name string, about reader) *commands.Fact {
	p := call.Corrected{SourceData: merged(nil, map[string]map[string]json.RawMessage{name: about.fields})}
	return &commands.Fact{Payload: p, ExternalID: id, OccurredAt: at, Pointer: about.at, EventKey: contentKey(p, name, id)}
}

// clock is when for a time for which no zone is UTC; zero when it is absent.
func (r reader) clock(key string) time.Time {
	s := r.text(key)
	if s == "" {
		return time.Time{}
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t, err = time.Parse("2006-01-02T15:04:05", s)
	}
	if err != nil || !credible(t) {
		delete(r.read, key)
		return time.Time{}
	}
	return event.Time(t)
}

// texts reads an array of strings; nil when it is absent.
func (r reader) texts(key string) []string {
	v, ok := r.raw(key)
	if !ok {
		return nil
	}
	all := []string{}
	if json.Unmarshal(v, &all) != nil {
		r.wrong(key, "expected an array of strings")
		return nil
	}
	return all
}

// objects reads an array of objects.
func (r reader) objects(key string) []reader {
	v, ok := r.raw(key)
	if !ok {
		return nil
	}
	var items []json.RawMessage
	if json.Unmarshal(v, &items) != nil {
		r.wrong(key, "expected an array")
		return nil
	}
	all := make([]reader, 0, len(items))
	for i, item := range items {
		o := reader{at: r.pointer(key) + "/" + strconv.Itoa(i), read: make(map[string]bool), errs: r.errs}
		if json.Unmarshal(item, &o.fields) != nil || o.fields == nil {
			*r.errs = append(*r.errs, commands.FieldError{Pointer: o.at, Detail: "expected an object"})
			continue
		}
		all = append(all, o)
	}
	return all
}
