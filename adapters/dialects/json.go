package dialects

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"
)

// object is a JSON object that keeps the order of its members: receivers read
// bodies by eye and compare them with the documents they know.
type object []member

type member struct {
	key   string
	value any
}

// list is a JSON array.
type list []any

// render writes a body whose bytes are a fixed point of JavaScript's
// JSON.stringify(JSON.parse(body)). Receivers verify signatures over the body
// as they re-serialise it (seed 001 does), so `<` must stay `<`, U+2028 must
// stay itself and 180.0 must be 180.
func render(o object) ([]byte, error) {
	return appendObject(make([]byte, 0, 1024), o)
}

func appendObject(dst []byte, o object) ([]byte, error) {
	var err error
	dst = append(dst, '{')
	for i, m := range o {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(appendString(dst, m.key), ':')
		if dst, err = appendValue(dst, m.value); err != nil {
			return nil, fmt.Errorf("writing %s: %w", m.key, err)
		}
	}
	return append(dst, '}'), nil
}

func appendValue(dst []byte, v any) ([]byte, error) {
	switch v := v.(type) {
	case nil:
		return append(dst, "null"...), nil
	case string:
		return appendString(dst, v), nil
	case *string:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendString(dst, *v), nil
	case int64:
		return appendFloat(dst, float64(v)), nil
	case *int64:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendFloat(dst, float64(*v)), nil
	case float64:
		return appendFloat(dst, v), nil
	case *float64:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendFloat(dst, *v), nil
	case time.Time:
		return appendString(dst, stamp(v)), nil
	case *time.Time:
		if v == nil {
			return append(dst, "null"...), nil
		}
		return appendString(dst, stamp(*v)), nil
	case json.RawMessage:
		return appendRaw(dst, v, false)
	case map[string]json.RawMessage:
		return appendMap(dst, v)
	case object:
		return appendObject(dst, v)
	case list:
		return appendList(dst, v)
	}
	return nil, fmt.Errorf("a %T has no place in a body", v)
}

func appendList(dst []byte, l list) ([]byte, error) {
	var err error
	dst = append(dst, '[')
	for i, v := range l {
		if i > 0 {
			dst = append(dst, ',')
		}
		if dst, err = appendValue(dst, v); err != nil {
			return nil, fmt.Errorf("writing item %d: %w", i, err)
		}
	}
	return append(dst, ']'), nil
}

// appendMap writes a map as JavaScript would hold it: array indices first, in
// ascending order; the rest sorted, since a Go map has no order to keep.
func appendMap(dst []byte, m map[string]json.RawMessage) ([]byte, error) {
	members := make([]rawMember, 0, len(m))
	for _, k := range slices.Sorted(maps.Keys(m)) {
		value, err := appendRaw(nil, m[k], false)
		if err != nil {
			return nil, fmt.Errorf("writing %s: %w", k, err)
		}
		members = append(members, rawMember{key: appendString(nil, k), value: value})
	}
	return appendMembers(dst, members), nil
}

const hexDigits = "0123456789abcdef"

// appendString writes a string as JSON.stringify does. Bytes that are not UTF-8
// become U+FFFD, as they do in a JavaScript string.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf {
			r, n := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && n == 1 {
				dst = append(append(dst, s[start:i]...), "\uFFFD"...)
				start = i + 1
			}
			i += n
			continue
		}
		if c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		dst = appendEscaped(append(dst, s[start:i]...), c)
		i++
		start = i
	}
	return append(append(dst, s[start:]...), '"')
}

// appendEscaped writes an ASCII character that needs it as an escape.
func appendEscaped(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// appendFloat writes a number as ECMAScript's Number::toString does. What JSON
// cannot say is null, as in JSON.stringify; minus zero is 0.
func appendFloat(dst []byte, f float64) []byte {
	abs := math.Abs(f)
	switch {
	case math.IsNaN(f) || math.IsInf(f, 0):
		return append(dst, "null"...)
	case f == 0:
		return append(dst, '0')
	case abs >= 1e-6 && abs < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes two digits of exponent at least: 1e-07 where JavaScript has 1e-7.
	if n := len(dst); n >= 4 && dst[n-4] == 'e' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1]
		dst = dst[:n-1]
	}
	return dst
}

// stamp writes a time as the seeds do, "2025-05-14T16:30:00Z", with
// milliseconds only where there are any: that is all a JavaScript Date holds.
func stamp(t time.Time) string {
	t = t.UTC()
	if t.Nanosecond() < int(time.Millisecond) {
		return t.Format("2006-01-02T15:04:05Z")
	}
	return t.Format("2006-01-02T15:04:05.000Z")
}

// known is a string, or null when it is empty.
func known(s string) any {
	if s == "" {
		return nil
	}
	return s
}
