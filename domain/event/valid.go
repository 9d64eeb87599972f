package event

import (
	"bytes"
	"encoding/binary"
	"math/bits"
)

// Valid reports whether data is one JSON value, as encoding/json's Valid does,
// several times faster: every record is looked at when it is appended, and once
// more by each process that reads it.
func Valid(data []byte) bool {
	s := jsonScan{data: data}
	return s.whole()
}

// HasNUL reports whether a text in a JSON value has the character U+0000, which
// Postgres cannot store. A backslash with u0000 behind it is another text.
func HasNUL(data []byte) bool {
	esc := []byte(`\u0000`)
	for from := 0; ; {
		i := bytes.Index(data[from:], esc)
		if i < 0 {
			return false
		}
		// An even number of backslashes before it makes the first one of ours
		// the start of an escape.
		slashes := 0
		for j := from + i - 1; j >= 0 && data[j] == '\\'; j-- {
			slashes++
		}
		if slashes%2 == 0 {
			return true
		}
		from += i + len(esc)
	}
}

// jsonScan goes through a JSON text once.
type jsonScan struct {
	data []byte
	at   int
	// spaced says that there was white space between its parts.
	spaced bool
}

// maxNesting is encoding/json's: what is nested deeper cannot be decoded.
const maxNesting = 10_000

// plain are the bytes that stand for themselves in a string.
var plain = func() (t [256]bool) {
	for c := 0x20; c < 256; c++ {
		t[c] = c != '"' && c != '\\'
	}
	return t
}()

func (s *jsonScan) whole() bool {
	s.space()
	return s.value(0) && s.end()
}

func (s *jsonScan) end() bool {
	s.space()
	return s.at == len(s.data)
}

func (s *jsonScan) space() {
	for s.at < len(s.data) {
		switch s.data[s.at] {
		case ' ', '\t', '\r', '\n':
			s.at++
			s.spaced = true
		default:
			return
		}
	}
}

// take steps over a byte if it comes next.
func (s *jsonScan) take(c byte) bool {
	if s.at < len(s.data) && s.data[s.at] == c {
		s.at++
		return true
	}
	return false
}

// value steps over a value; white space before it has been.
func (s *jsonScan) value(depth int) bool {
	if s.at == len(s.data) {
		return false
	}
	switch c := s.data[s.at]; {
	case c == '"':
		return s.text()
	case c == '{':
		return depth < maxNesting && s.object(depth+1)
	case c == '[':
		return depth < maxNesting && s.array(depth+1)
	case c == '-', c >= '0' && c <= '9':
		return s.number()
	default:
		return s.word("true") || s.word("false") || s.word("null")
	}
}

func (s *jsonScan) word(w string) bool {
	if len(s.data)-s.at < len(w) || string(s.data[s.at:s.at+len(w)]) != w {
		return false
	}
	s.at += len(w)
	return true
}

func (s *jsonScan) object(depth int) bool {
	s.at++
	s.space()
	if s.take('}') {
		return true
	}
	for {
		s.space()
		if !s.text() {
			return false
		}
		s.space()
		if !s.take(':') {
			return false
		}
		s.space()
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take('}') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

func (s *jsonScan) array(depth int) bool {
	s.at++
	s.space()
	if s.take(']') {
		return true
	}
	for {
		s.space()
		if !s.value(depth) {
			return false
		}
		s.space()
		if s.take(']') {
			return true
		}
		if !s.take(',') {
			return false
		}
	}
}

// text steps over a string.
func (s *jsonScan) text() bool {
	if !s.take('"') {
		return false
	}
	for {
		s.at = s.plainUntil(s.at)
		switch {
		case s.take('"'):
			return true
		case s.take('\\'):
			if !s.escape() {
				return false
			}
		default: // a control character, or the end
			return false
		}
	}
}

// plainUntil is where the bytes from i on that stand for themselves end.
func (s *jsonScan) plainUntil(i int) int {
	for ; i+8 <= len(s.data); i += 8 {
		if m := marked(binary.LittleEndian.Uint64(s.data[i:])); m != 0 {
			return i + bits.TrailingZeros64(m)/8
		}
	}
	for i < len(s.data) && plain[s.data[i]] {
		i++
	}
	return i
}

// A word of eight bytes is looked at at once: of what is longer than a few
// letters, nearly all stands for itself.
const (
	lows  = 0x0101010101010101
	highs = lows << 7
)

// marked sets the high bit of the first byte that does not stand for itself,
// and none before it.
func marked(w uint64) uint64 {
	quote, slash := w^lows*'"', w^lows*'\\'
	return ((w-lows*' ')&^w | (quote-lows)&^quote | (slash-lows)&^slash) & highs
}

func (s *jsonScan) escape() bool {
	if s.at == len(s.data) {
		return false
	}
	c := s.data[s.at]
	s.at++
	switch c {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return true
	case 'u':
		for range 4 {
			if s.at == len(s.data) || !hexDigit(s.data[s.at]) {
				return false
			}
			s.at++
		}
		return true
	}
	return false
}

func hexDigit(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func (s *jsonScan) number() bool {
	s.take('-')
	if !s.take('0') && !s.digits() {
		return false
	}
	if s.take('.') && !s.digits() {
		return false
	}
	if s.take('e') || s.take('E') {
		if !s.take('+') {
			s.take('-')
		}
		return s.digits()
	}
	return true
}

// digits steps over digits, of which there must be one.
func (s *jsonScan) digits() bool {
	from := s.at
	for s.at < len(s.data) && s.data[s.at] >= '0' && s.data[s.at] <= '9' {
		s.at++
	}
	return s.at > from
}
