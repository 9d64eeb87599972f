package commands

import (
	"bytes"
	"encoding/json"
	"iter"
)

// What is read once as valid JSON (json.Valid) can be taken apart by its
// brackets and quotes: encoding/json would scan a batch once more for the list,
// for each event and for each of its attributes.

// Member is a name of a JSON object with its value.
type Member struct {
	Name []byte
	Raw  json.RawMessage
}

// Elements returns the elements of a valid JSON array.
func Elements(array []byte) []json.RawMessage {
	var all []json.RawMessage
	for i := skipSpace(array, skipSpace(array, 0)+1); array[i] != ']'; {
		end := skipValue(array, i)
		all = append(all, array[i:end:end])
		i = skipComma(array, end)
	}
	return all
}

// AppendMembers adds the members of a valid JSON object, in their order.
func AppendMembers(all []Member, object []byte) []Member {
	for m := range members(object) {
		all = append(all, m)
	}
	return all
}

// members goes through the members of a valid JSON object.
func members(object []byte) iter.Seq[Member] {
	return func(yield func(Member) bool) {
		for i := skipSpace(object, skipSpace(object, 0)+1); object[i] != '}'; {
			end := skipValue(object, i)
			name := nameOf(object[i:end:end])
			i = skipSpace(object, skipSpace(object, end)+1)
			end = skipValue(object, i)
			if !yield(Member{name, object[i:end:end]}) {
				return
			}
			i = skipComma(object, end)
		}
	}
}

// nameOf reads the name of a member, which is a string.
func nameOf(raw []byte) []byte {
	if plain(raw) {
		return raw[1 : len(raw)-1]
	}
	s, _ := Text(raw)
	return []byte(s)
}

// Text reads a JSON string; anything else is an error.
func Text(raw []byte) (string, error) {
	if len(raw) >= 2 && raw[0] == '"' && plain(raw) {
		return string(raw[1 : len(raw)-1]), nil
	}
	var s string
	err := json.Unmarshal(raw, &s)
	return s, err
}

func skipSpace(b []byte, i int) int {
	for b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t' {
		i++
	}
	return i
}

func skipComma(b []byte, i int) int {
	if i = skipSpace(b, i); b[i] == ',' {
		i = skipSpace(b, i+1)
	}
	return i
}

// skipValue returns where the value that begins at i ends.
func skipValue(b []byte, i int) int {
	depth := 0
	for {
		switch b[i] {
		case '"':
			i = skipString(b, i)
		case '{', '[':
			depth++
			i++
			continue
		case '}', ']':
			depth--
			i++
		case ' ', '\n', '\r', '\t', ',', ':':
			i++
			continue
		default:
			for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != ']' && b[i] != '}' { // a number or a word
				i++
			}
		}
		if depth == 0 {
			return i
		}
	}
}

func skipString(b []byte, i int) int {
	for i++; ; i++ {
		i += bytes.IndexByte(b[i:], '"')
		slashes := 0
		for b[i-1-slashes] == '\\' {
			slashes++
		}
		if slashes%2 == 0 {
			return i + 1
		}
	}
}
