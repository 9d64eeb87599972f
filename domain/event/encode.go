package event

import (
	"encoding/json"
	"math"
	"math/bits"
	"reflect"
	"slices"
	"strconv"
	"unicode/utf8"
)

// append writes a value behind b, byte for byte what encoding/json writes. It
// returns false where it is encoding/json's to say what is wrong with the value
// or how it is written.
func (s *shape) append(b []byte, v reflect.Value) (_ []byte, ok bool) {
	switch s.kind {
	case asText:
		return appendText(b, v.String()), true
	case asInt:
		return strconv.AppendInt(b, v.Int(), 10), true
	case asUint:
		return strconv.AppendUint(b, v.Uint(), 10), true
	case asFloat:
		return appendFloat(b, v.Float())
	case asBool:
		return strconv.AppendBool(b, v.Bool()), true
	case asTime:
		b, err := timeIn(v).AppendText(append(b, '"'))
		return append(b, '"'), err == nil
	case asRaw:
		return appendRaw(b, v.Bytes())
	case asRawMap:
		m, _ := reflect.TypeAssert[map[string]json.RawMessage](v)
		return appendRawMap(b, m)
	case asPointer:
		if v.IsNil() {
			return append(b, "null"...), true
		}
		return s.elem.append(b, v.Elem())
	case asSlice:
		if v.IsNil() {
			return append(b, "null"...), true
		}
		return s.appendSlice(b, v)
	case asOpt:
		if !v.Field(optSet).Bool() || v.Field(optNull).Bool() {
			return append(b, "null"...), true
		}
		return s.elem.append(b, v.Field(optValue))
	default:
		return s.appendStruct(b, v)
	}
}

func (s *shape) appendStruct(b []byte, v reflect.Value) (_ []byte, ok bool) {
	b = append(b, '{')
	first := true
	for i := range s.fields {
		f := &s.fields[i]
		value := f.of(v)
		if f.omitted(value) {
			continue
		}
		if !first {
			b = append(b, ',')
		}
		first = false
		b = append(b, '"')
		b = append(b, f.name...)
		b = append(b, '"', ':')
		if b, ok = f.shape.append(b, value); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

func (s *shape) appendSlice(b []byte, v reflect.Value) (_ []byte, ok bool) {
	b = append(b, '[')
	for i := range v.Len() {
		if i > 0 {
			b = append(b, ',')
		}
		if b, ok = s.elem.append(b, v.Index(i)); !ok {
			return b, false
		}
	}
	return append(b, ']'), true
}

// appendFloat leaves to encoding/json what it writes with an exponent.
func appendFloat(b []byte, f float64) ([]byte, bool) {
	if abs := math.Abs(f); abs != 0 && (abs < 1e-6 || abs >= 1e21) || abs != abs {
		return b, false
	}
	return strconv.AppendFloat(b, f, 'f', -1, 64), true
}

func appendRawMap(b []byte, m map[string]json.RawMessage) (_ []byte, ok bool) {
	if m == nil {
		return append(b, "null"...), true
	}
	b = append(b, '{')
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	for i, key := range keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendText(b, key), ':')
		if b, ok = appendRaw(b, m[key]); !ok {
			return b, false
		}
	}
	return append(b, '}'), true
}

// appendRaw writes a JSON text without the white space between its parts.
func appendRaw(b []byte, raw json.RawMessage) ([]byte, bool) {
	if raw == nil {
		return append(b, "null"...), true
	}
	s := jsonScan{data: raw}
	if !s.whole() {
		return b, false
	}
	if !s.spaced {
		return append(b, raw...), true
	}
	from, inText := 0, false
	for i := 0; i < len(raw); i++ {
		switch c := raw[i]; {
		case c == '"':
			inText = !inText
		case c == '\\':
			i++
		case c <= ' ' && !inText:
			b = append(b, raw[from:i]...)
			from = i + 1
		}
	}
	return append(b, raw[from:]...), true
}

// unescaped are the bytes that encoding/json writes as they are, of those that
// are characters by themselves.
var unescaped = func() (t [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		t[c] = plain[c]
	}
	return t
}()

const hexDigits = "0123456789abcdef"

// appendText writes a string.
func appendText(b []byte, s string) []byte {
	b = append(b, '"')
	from := 0
	for i := 0; i < len(s); {
		if i+8 <= len(s) {
			w := uint64(s[i]) | uint64(s[i+1])<<8 | uint64(s[i+2])<<16 | uint64(s[i+3])<<24 |
				uint64(s[i+4])<<32 | uint64(s[i+5])<<40 | uint64(s[i+6])<<48 | uint64(s[i+7])<<56
			n := bits.TrailingZeros64(marked(w)|w&highs) / 8
			i += n
			if n == 8 {
				continue
			}
		}
		c := s[i]
		if unescaped[c] {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			switch {
			case r == utf8.RuneError && size == 1:
				b = append(append(b, s[from:i]...), `\ufffd`...)
				from = i + size
			case r == '\u2028', r == '\u2029':
				b = append(append(b, s[from:i]...), `\u202`...)
				b = append(b, hexDigits[r&0xF])
				from = i + size
			}
			i += size
			continue
		}
		b = append(b, s[from:i]...)
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		default:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xF])
		}
		i++
		from = i
	}
	return append(append(b, s[from:]...), '"')
}
