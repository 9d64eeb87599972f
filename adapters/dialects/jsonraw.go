package dialects

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf16"
	"unicode/utf8"

	"trunkline.dev/trunkline/domain/event"
)

// errNotJSON says that a stored value is not JSON, which intake cannot let in.
var errNotJSON = errors.New("not JSON")

// appendRaw writes a JSON value of a stranger's as JSON.stringify(JSON.parse())
// would: whitespace gone, escapes in JavaScript's form, lone surrogates kept as
// escapes, of a repeated key the last value in the first place, array-index
// keys first. exact keeps the digits of a number that a double cannot carry.
func appendRaw(dst []byte, raw json.RawMessage, exact bool) ([]byte, error) {
	if !event.Valid(raw) { // also bounds the nesting, so the recursion below ends
		return nil, errNotJSON
	}
	r := rawReader{b: raw, exact: exact}
	start := len(dst)
	dst = r.value(dst)
	if len(r.unordered) == 0 {
		return dst, nil
	}
	slices.SortFunc(r.unordered, func(a, b unordered) int { return a.start - b.start })
	return r.order(dst[:start], bytes.Clone(dst), start, len(dst)), nil
}

// rawReader walks over JSON that is known to be valid.
type rawReader struct {
	b     []byte
	i     int
	exact bool
	// spans are the members written of the objects that are open.
	spans []span
	// unordered are the objects written that JavaScript holds otherwise.
	unordered []unordered
}

// unordered is an object as it stands in what is written.
type unordered struct {
	start, end int
	members    []span
}

type rawMember struct{ key, value []byte }

// span is a member as it stands in what is written: its key, a colon, its value.
type span struct{ key, colon, end int }

func (r *rawReader) space() {
	for r.i < len(r.b) {
		switch r.b[r.i] {
		case ' ', '\t', '\n', '\r':
			r.i++
		default:
			return
		}
	}
}

func (r *rawReader) value(dst []byte) []byte {
	r.space()
	switch r.b[r.i] {
	case '{':
		dst = r.object(dst)
	case '[':
		dst = r.array(dst)
	case '"':
		dst = r.str(dst)
	case 't', 'n':
		dst = append(dst, r.b[r.i:r.i+4]...)
		r.i += 4
	case 'f':
		dst = append(dst, "false"...)
		r.i += 5
	default:
		dst = r.number(dst)
	}
	r.space()
	return dst
}

// object writes the members as they come. JavaScript would hold them otherwise
// where a key is repeated or an array index; then it is noted, to be put in order when
// all is written: whoever nests such objects would have each written once more for
// every one around it.
func (r *rawReader) object(dst []byte) []byte {
	start := len(dst)
	dst, members := r.members(append(dst, '{'))
	ordered := inOrder(dst, members)
	dst = append(dst, '}')
	if !ordered {
		r.unordered = append(r.unordered, unordered{start, len(dst), slices.Clone(members)})
	}
	return dst
}

// order appends what is written from one place to another, with the objects in it as
// JavaScript holds them.
func (r *rawReader) order(dst, written []byte, from, to int) []byte {
	for from < to {
		i, _ := slices.BinarySearchFunc(r.unordered, from, func(o unordered, at int) int { return o.start - at })
		if i == len(r.unordered) || r.unordered[i].start >= to {
			return append(dst, written[from:to]...)
		}
		o := r.unordered[i]
		dst = append(append(dst, written[from:o.start]...), '{')
		members := places(written, o.members)
		slices.SortStableFunc(members, func(a, b place) int { return asHeld(a.key, b.key) })
		for n, m := range members {
			if n > 0 {
				dst = append(dst, ',')
			}
			dst = r.order(append(append(dst, m.key...), ':'), written, m.from, m.to)
		}
		dst = append(dst, '}')
		from = o.end
	}
	return dst
}

// members writes the members of an object with commas between them. The spans
// are good until the next one is read.
func (r *rawReader) members(dst []byte) ([]byte, []span) {
	if r.spans == nil {
		r.spans = make([]span, 0, fewKeys)
	}
	first := len(r.spans)
	r.i++ // {
	for r.space(); r.b[r.i] != '}'; r.space() {
		if r.b[r.i] == ',' {
			r.i++
			r.space()
			dst = append(dst, ',')
		}
		at := span{key: len(dst)}
		dst = r.str(dst)
		r.space()
		r.i++ // :
		at.colon = len(dst)
		dst = r.value(append(dst, ':'))
		at.end = len(dst)
		r.spans = append(r.spans, at)
	}
	r.i++ // }
	members := r.spans[first:]
	r.spans = r.spans[:first]
	return dst, members
}

// fewKeys are compared with each other faster than they are put into a map.
const fewKeys = 16

// inOrder reports whether JavaScript holds members as they were written.
func inOrder(b []byte, members []span) bool {
	for i, m := range members {
		key := b[m.key:m.colon]
		if _, is := arrayIndex(key); is {
			return false
		}
		if len(members) > fewKeys {
			continue
		}
		for _, o := range members[:i] {
			if bytes.Equal(b[o.key:o.colon], key) {
				return false
			}
		}
	}
	return len(members) <= fewKeys || len(places(b, members)) == len(members)
}

// place is a member whose value stands somewhere in what is written.
type place struct {
	key      []byte
	from, to int
}

// places returns members with each key once: the last value in the first place.
func places(b []byte, spans []span) []place {
	members := make([]place, 0, len(spans))
	at := make(map[string]int, len(spans))
	for _, s := range spans {
		m := place{b[s.key:s.colon], s.colon + 1, s.end}
		if n, repeated := at[string(m.key)]; repeated {
			members[n] = m
			continue
		}
		at[string(m.key)] = len(members)
		members = append(members, m)
	}
	return members
}

func (r *rawReader) array(dst []byte) []byte {
	dst = append(dst, '[')
	r.i++ // [
	for r.space(); r.b[r.i] != ']'; r.space() {
		if r.b[r.i] == ',' {
			r.i++
			dst = append(dst, ',')
		}
		dst = r.value(dst)
	}
	r.i++ // ]
	return append(dst, ']')
}

func (r *rawReader) str(dst []byte) []byte {
	dst = append(dst, '"')
	r.i++ // opening quote
	from := r.i
	for {
		c := r.b[r.i]
		switch {
		case c == '"':
			dst = append(dst, r.b[from:r.i]...)
			r.i++
			return append(dst, '"')
		case c == '\\':
			dst = r.escape(append(dst, r.b[from:r.i]...))
			from = r.i
		case c < utf8.RuneSelf:
			r.i++
		default:
			ch, n := utf8.DecodeRune(r.b[r.i:])
			r.i += n
			if ch == utf8.RuneError && n == 1 { // what is not UTF-8 becomes U+FFFD
				dst = utf8.AppendRune(append(dst, r.b[from:r.i-1]...), ch)
				from = r.i
			}
		}
	}
}

func (r *rawReader) escape(dst []byte) []byte {
	c := r.b[r.i+1]
	r.i += 2
	switch c {
	case 'u':
		return r.unicode(dst)
	case '/':
		return append(dst, '/')
	}
	return append(dst, '\\', c) // " \ b f n r t are written as they are read
}

func (r *rawReader) unicode(dst []byte) []byte {
	ch := r.hex4()
	if utf16.IsSurrogate(ch) {
		if r.i+1 < len(r.b) && r.b[r.i] == '\\' && r.b[r.i+1] == 'u' {
			mark := r.i
			r.i += 2
			if pair := utf16.DecodeRune(ch, r.hex4()); pair != utf8.RuneError {
				return utf8.AppendRune(dst, pair)
			}
			r.i = mark
		}
		return append(dst, '\\', 'u', hexDigits[ch>>12], hexDigits[ch>>8&0xf], hexDigits[ch>>4&0xf], hexDigits[ch&0xf])
	}
	if ch < 0x20 || ch == '"' || ch == '\\' {
		return appendEscaped(dst, byte(ch))
	}
	return utf8.AppendRune(dst, ch)
}

func (r *rawReader) hex4() rune {
	n, _ := strconv.ParseUint(string(r.b[r.i:r.i+4]), 16, 16) // valid JSON has four hex digits here
	r.i += 4
	return rune(n)
}

func (r *rawReader) number(dst []byte) []byte {
	start := r.i
	plain := true // an integer's digits only
	for ; r.i < len(r.b); r.i++ {
		c := r.b[r.i]
		if c >= '0' && c <= '9' {
			continue
		}
		if c != '+' && c != '-' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		plain = false
	}
	text := r.b[start:r.i]
	if plain && len(text) <= 15 {
		return append(dst, text...)
	}
	f, _ := strconv.ParseFloat(string(text), 64) // out of range is ±Inf, as in JavaScript
	n := len(dst)
	dst = appendFloat(dst, f)
	if r.exact && !sameDecimal(string(text), string(dst[n:])) {
		return append(dst[:n], text...)
	}
	return dst
}

// sameDecimal reports whether two JSON numbers are the same decimal.
func sameDecimal(a, b string) bool {
	da, ea, okA := decimal(a)
	db, eb, okB := decimal(b)
	return okA && okB && da == db && ea == eb
}

// decimal splits a number into significant digits and the power of ten of the
// last of them. Zero has no digits and no sign.
func decimal(s string) (digits string, exponent int, ok bool) {
	neg := s != "" && s[0] == '-'
	out := make([]byte, 0, len(s))
	afterPoint := false
	for i, c := range []byte(s) {
		switch {
		case c >= '0' && c <= '9':
			out = append(out, c)
			if afterPoint {
				exponent--
			}
		case c == '.':
			afterPoint = true
		case c == 'e' || c == 'E':
			e, err := strconv.Atoi(s[i+1:])
			if err != nil {
				return "", 0, false
			}
			return trimDecimal(neg, out, exponent+e)
		case c != '-':
			return "", 0, false
		}
	}
	return trimDecimal(neg, out, exponent)
}

func trimDecimal(neg bool, digits []byte, exponent int) (string, int, bool) {
	digits = bytes.TrimLeft(digits, "0")
	n := len(digits)
	digits = bytes.TrimRight(digits, "0")
	exponent += n - len(digits)
	if len(digits) == 0 {
		return "", 0, true
	}
	if neg {
		return "-" + string(digits), exponent, true
	}
	return string(digits), exponent, true
}

// appendMembers writes an object in the order in which JavaScript holds its
// members: array indices ascending, then the others as they came.
func appendMembers(dst []byte, members []rawMember) []byte {
	slices.SortStableFunc(members, func(a, b rawMember) int { return asHeld(a.key, b.key) })
	dst = append(dst, '{')
	for i, m := range members {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = append(append(append(dst, m.key...), ':'), m.value...)
	}
	return append(dst, '}')
}

// asHeld compares quoted keys in the order in which JavaScript holds them; it keeps that
// of keys that are no array indices.
func asHeld(a, b []byte) int {
	ia, aIndex := arrayIndex(a)
	ib, bIndex := arrayIndex(b)
	switch {
	case aIndex && bIndex:
		return int(ia - ib)
	case aIndex:
		return -1
	case bIndex:
		return 1
	}
	return 0
}

// arrayIndex reads a quoted key as an ECMAScript array index: a canonical
// decimal from 0 to 2^32-2.
func arrayIndex(quoted []byte) (int64, bool) {
	key := quoted[1 : len(quoted)-1]
	if len(key) == 0 || len(key) > 10 || (key[0] == '0' && len(key) > 1) {
		return 0, false
	}
	var n int64
	for _, c := range key {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, n < 1<<32-1
}
