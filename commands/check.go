package commands

import (
	"bytes"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"trunkline.dev/trunkline/domain/event"
)

// The bounds of texts, in bytes.
const (
	// maxShort is for names, words and ids of others.
	maxShort = 512
	// maxURL is what browsers and proxies agree on.
	maxURL = 4096
	// maxHost is the longest name (RFC 1035) and a port.
	maxHost = 253 + len(":65535")
	// maxText is for notes, summaries and message contents.
	maxText = 64 << 10
	// maxTranscript is what a body can hold.
	maxTranscript = 1 << 20
	// maxKeys and maxDepth bound custom fields.
	maxKeys  = 500
	maxDepth = 32
)

// checker validates one fact and brings it to its stored form.
type checker struct {
	faults
	phones  Phones
	regions func(org, listID string) string
	caller  Caller
	now     time.Time
}

// strict reports whether what is missing, or cannot be read, is a mistake. Another
// system's webhook may not know everything (a withheld number, an alert without
// severity), and some switch a webhook off that is refused (seed 001); who calls the
// API can be told.
func (k *checker) strict() bool { return k.caller.ConnectionID == "" }

// region reads numbers by the list that they belong to, else by the caller's.
func (k *checker) region(listID string) string {
	if listID != "" && k.regions != nil {
		if r := k.regions(k.caller.Org.ID, listID); r != "" {
			return r
		}
	}
	if k.caller.Region != "" {
		return k.caller.Region
	}
	return "US"
}

// phone returns a number as E.164. An empty one is a fault if required.
func (k *checker) phone(at, number, region string, required bool) string {
	if strings.TrimSpace(number) == "" {
		if required {
			k.add(at, "a phone number is required")
		}
		return ""
	}
	e164, err := k.phones.E164(number, region)
	if err != nil {
		k.add(at, "%s", err)
		return ""
	}
	return e164
}

// heard returns a party's number as E.164. What another system tells of a call or a
// message may be no line that can be called ("anonymous", a short code, an
// extension): that does not cost the rest of it, and is kept in rest as unread_ and
// its name.
func (k *checker) heard(name, number, region string, required bool, rest *map[string]json.RawMessage) string {
	if !k.strict() {
		if _, err := k.phones.E164(number, region); err != nil {
			if strings.TrimSpace(number) != "" {
				*rest = with(*rest, "unread_"+name, number)
			}
			return ""
		}
	}
	return k.phone("/"+name, number, region, required)
}

// with adds to what is kept of a source, in a map of its own.
func with(rest map[string]json.RawMessage, key string, v any) map[string]json.RawMessage {
	raw, err := event.Marshal(v)
	if err != nil {
		return rest // not of a string, a number or a list of them
	}
	kept := make(map[string]json.RawMessage, len(rest)+1)
	maps.Copy(kept, rest)
	kept[key] = raw
	return kept
}

func (k *checker) text(at, s string, limit int) {
	if len(s) > limit {
		k.add(at, "longer than %d bytes", limit)
	}
}

func (k *checker) need(at, s string, limit int) {
	if strings.TrimSpace(s) == "" {
		k.add(at, "required")
		return
	}
	k.text(at, s, limit)
}

func (k *checker) oneOf(at, s string, words ...string) {
	if !slices.Contains(words, s) {
		k.add(at, "expected one of %s", strings.Join(words, ", "))
	}
}

// The years that every store can hold (ClickHouse's DateTime64 is the
// narrowest), less a margin for zones.
const (
	FirstYear = 1970
	LastYear  = 2200
)

// when brings a time to what the stores keep.
func (k *checker) when(at string, t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	if y := t.UTC().Year(); y < FirstYear || y > LastYear {
		k.add(at, "expected a time between %d and %d", FirstYear, LastYear)
	}
	return event.Time(t)
}

func (k *checker) whenPtr(at string, t *time.Time) *time.Time {
	if t == nil || t.IsZero() {
		return nil
	}
	v := k.when(at, *t)
	return &v
}

func (k *checker) url(at, s string) {
	k.need(at, s, maxURL)
	if s == "" {
		return
	}
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		k.add(at, "expected an absolute http or https URL")
		return
	}
	if len(u.Host) > maxHost {
		k.add(at, "the host is longer than %d bytes", maxHost)
	}
}

func (k *checker) opt(at string, o event.Opt[string], limit int) {
	if o.Set && !o.Null {
		k.text(at, o.Value, limit)
	}
}

func (k *checker) nonNegative(at string, n *int64) {
	const century = 100 * 366 * 24 * 3600 * 1000
	if n != nil && (*n < 0 || *n > century) {
		k.add(at, "expected a number from 0 to %d", int64(century))
	}
}

func (k *checker) within(at string, n *float64, low, high float64) {
	if n != nil && (*n < low || *n > high || math.IsNaN(*n)) {
		k.add(at, "expected a number from %g to %g", low, high)
	}
}

// more checks values of which only their source knows what they are. What another
// system calls by a name that can be no key here, such as the column of an export
// that has none, does not cost the rest of what it says: it is kept in rest, nil for
// m itself, as unread_ and the name of m.
func (k *checker) more(name string, m map[string]json.RawMessage, rest *map[string]json.RawMessage) map[string]json.RawMessage {
	if k.strict() {
		return k.raws("/"+name, m)
	}
	var unread map[string]json.RawMessage
	for key, v := range m {
		if isKey(key) {
			continue
		}
		if unread == nil {
			unread = make(map[string]json.RawMessage)
		}
		unread[key] = v
	}
	if unread != nil {
		m = maps.Clone(m)
		maps.DeleteFunc(m, func(key string, _ json.RawMessage) bool { return !isKey(key) })
		if rest == nil {
			rest = &m
		}
		*rest = with(*rest, "unread_"+name, unread)
	}
	return k.raws("/"+name, m)
}

// isKey reports whether a value can be kept by a name.
func isKey(name string) bool { return name != "" && len(name) <= maxShort }

// raws checks values that are kept as they came.
func (k *checker) raws(at string, m map[string]json.RawMessage) map[string]json.RawMessage {
	if len(m) > maxKeys {
		k.add(at, "more than %d keys", maxKeys)
		return m
	}
	out := m
	copied := false
	for key, v := range m {
		here := at + "/" + escape(key)
		if !isKey(key) {
			k.add(here, "a key has 1 to %d bytes", maxShort)
		}
		clean, detail := cleanRaw(v)
		if detail != "" {
			k.add(here, "%s", detail)
			continue
		}
		if bytes.Equal(clean, v) {
			continue
		}
		if !copied {
			out = make(map[string]json.RawMessage, len(m))
			for key, v := range m {
				out[key] = v
			}
			copied = true
		}
		out[key] = clean
	}
	return out
}

// cleanRaw makes a JSON value storable: numbers that a double can hold and that are
// written in bounds, no half surrogates (Postgres refuses them), bounded depth.
func cleanRaw(raw json.RawMessage) (json.RawMessage, string) {
	if len(raw) == 0 {
		return json.RawMessage("null"), ""
	}
	if plain(raw) {
		return raw, ""
	}
	var v any
	if err := json.Unmarshal(raw, &v); err != nil {
		return nil, "not a JSON value that can be stored: " + strings.TrimPrefix(err.Error(), "json: ")
	}
	if depth(v) > maxDepth {
		return nil, "nested too deeply"
	}
	if !numbersFit(raw) {
		return nil, "a number has too many digits or is too small"
	}
	if !bytes.Contains(raw, []byte(`\u`)) && utf8.Valid(raw) {
		return raw, ""
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if err := dec.Decode(&v); err != nil {
		return nil, "not a JSON value"
	}
	out, err := event.Marshal(v)
	if err != nil {
		return nil, "not a JSON value"
	}
	return out, ""
}

// The bounds of a number as it is written: more than a double has, less than Postgres's
// numeric refuses, which is 16,383 digits behind the point and exponents of ten digits,
// of zero too. A JSON with such a number could not be cast.
const (
	maxNumber   = 1000
	maxExponent = 350
)

// numbersFit reports whether the numbers in valid JSON are within the bounds.
func numbersFit(raw []byte) bool {
	for i := 0; i < len(raw); {
		switch c := raw[i]; {
		case c == '"':
			i = skipString(raw, i)
		case c == '-' || c >= '0' && c <= '9':
			end := i + 1
			for end < len(raw) && strings.IndexByte("0123456789+-.eE", raw[end]) >= 0 {
				end++
			}
			if !numberFits(string(raw[i:end])) {
				return false
			}
			i = end
		default:
			i++
		}
	}
	return true
}

func numberFits(n string) bool {
	if len(n) > maxNumber {
		return false
	}
	e := strings.IndexAny(n, "eE")
	if e < 0 {
		return true
	}
	exponent, err := strconv.Atoi(n[e+1:])
	return err == nil && exponent >= -maxExponent && exponent <= maxExponent
}

// plain reports whether a value is a string without escapes, true, false or
// null: most are, and need no second look.
func plain(raw json.RawMessage) bool {
	switch raw[0] {
	case 't', 'f', 'n':
		return true
	case '"':
		return bytes.IndexByte(raw, '\\') < 0 && utf8.Valid(raw)
	}
	return false
}

func depth(v any) int {
	deepest := 0
	switch v := v.(type) {
	case map[string]any:
		for _, x := range v {
			deepest = max(deepest, depth(x))
		}
	case []any:
		for _, x := range v {
			deepest = max(deepest, depth(x))
		}
	default:
		return 0
	}
	return deepest + 1
}

// printable reports whether CloudEvents allows a string as an attribute: valid
// Unicode without control characters and noncharacters.
func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, func(r rune) bool {
		return unicode.IsControl(r) || (r >= 0xfdd0 && r <= 0xfdef) || r&0xfffe == 0xfffe
	})
}
