package httpapi

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// keepable refuses, each at its place, the texts of a JSON body that JSON can write and
// Postgres cannot keep. What is no JSON is not its business.
func keepable(body []byte) error {
	if writable(body) || !event.Valid(body) {
		return nil
	}
	var bad commands.Invalid
	findUnkept(bytes.TrimSpace(body), "", 0, &bad)
	return &bad
}

// deepest bounds the search for the place: no settings are nested like that.
const deepest = 8

// findUnkept names the places in a value that is not writable; the value itself where
// it is a name in it.
func findUnkept(raw []byte, at string, depth int, bad *commands.Invalid) {
	known := len(bad.Errors)
	inside := func(name string, value []byte) {
		if !writable(value) {
			findUnkept(value, at+"/"+name, depth+1, bad)
		}
	}
	switch {
	case depth == deepest:
	case raw[0] == '{':
		for _, m := range commands.AppendMembers(nil, raw) {
			inside(strings.NewReplacer("~", "~0", "/", "~1").Replace(string(m.Name)), m.Raw)
		}
	case raw[0] == '[':
		for i, e := range commands.Elements(raw) {
			inside(strconv.Itoa(i), e)
		}
	}
	if len(bad.Errors) == known {
		bad.Errors = append(bad.Errors, commands.FieldError{Pointer: at, Detail: "U+0000 and halves of surrogate pairs cannot be kept"})
	}
}

// writable reports whether the strings of a JSON value have neither U+0000 nor half a
// surrogate pair.
func writable(raw []byte) bool {
	for len(raw) > 0 {
		r, size := escaped(raw)
		if r == 0 {
			return false
		}
		raw = raw[size:]
		if !utf16.IsSurrogate(r) {
			continue
		}
		low, size := escaped(raw)
		if utf16.DecodeRune(r, low) == utf8.RuneError {
			return false
		}
		raw = raw[size:]
	}
	return true
}

// escaped is the first unit of what is left, as far as it matters here: what a \u
// escape stands for, else any that can be kept.
func escaped(raw []byte) (unit rune, size int) {
	switch {
	case len(raw) < 2 || raw[0] != '\\':
		return ' ', min(1, len(raw))
	case raw[1] != 'u' || len(raw) < 6:
		return ' ', 2
	}
	n, err := strconv.ParseUint(string(raw[2:6]), 16, 16)
	if err != nil {
		return ' ', 2 // no JSON
	}
	return rune(n), 6
}
