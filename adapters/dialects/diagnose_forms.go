package dialects

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"trunkline.dev/trunkline/domain/delivery"
)

// form is something in one of the forms that people give it; the right one has
// no mistake.
type form struct {
	key, body []byte
	mistake   Mistake
	says      string
}

func joinMistakes(forms ...form) []Mistake {
	var all []Mistake
	for _, f := range forms {
		if f.mistake != "" {
			all = append(all, f.mistake)
		}
	}
	return all
}

func joinSays(forms ...form) []string {
	var all []string
	for _, f := range forms {
		if f.mistake != "" {
			all = append(all, f.says)
		}
	}
	return all
}

func macOf(key, content []byte) []byte {
	m := hmac.New(sha256.New, key)
	m.Write(content)
	return m.Sum(nil)
}

// keysOf lists the keys that people make of a secret. decoded says that the
// right one is the base64 after whsec_, else it is the text as it is shown.
func keysOf(secret string, decoded bool) []form {
	var forms []form
	add := func(key []byte, right bool, says string) {
		f := form{key: key}
		if !right {
			f.mistake, f.says = SecretForm, says
		}
		forms = append(forms, f)
	}
	text := strings.TrimSpace(secret)
	bare := strings.TrimPrefix(text, SecretPrefix)
	if key, err := base64.StdEncoding.DecodeString(bare); err == nil && len(key) > 0 {
		add(key, decoded, "the secret was base64-decoded; here the key is its whole text, "+SecretPrefix+" included")
	}
	add([]byte(text), !decoded, "the key is the secret's text; here it is what base64 after "+SecretPrefix+" decodes to")
	if bare != text {
		add([]byte(bare), false, "the key is the secret without "+SecretPrefix+map[bool]string{
			true: "; here that is base64-decoded first", false: "; here the prefix belongs to the key",
		}[decoded])
	}
	add([]byte(text+"\n"), false, "the key ends in a line break, perhaps from the file that it was read from")
	return forms
}

// bodiesOf lists what may have been signed where a body does not fit: the same
// value as others write it.
func bodiesOf(d Dialect, body []byte) []form {
	forms := []form{{body: body}}
	add := func(b []byte, says string) {
		if b != nil && !slices.ContainsFunc(forms, func(f form) bool { return bytes.Equal(f.body, b) }) {
			forms = append(forms, form{body: b, mistake: ReformattedBody, says: says + "; verify the bytes of the request, before any JSON parser"})
		}
	}
	add(bytes.TrimSpace(body), "white space was added around the body")
	add(append(bytes.Clone(body), '\n'), "the line break at the end of the body was taken away")
	compact, err := appendRaw(nil, body, false)
	if err != nil {
		return forms
	}
	add(compact, "the body was parsed and written again: its white space, escapes or numbers are not those that were signed")
	for _, name := range d.Events() {
		if m, err := d.Sample(name, delivery.Endpoint{}, time.Unix(0, 0)); err == nil {
			add(inOrderOf(m.Body, compact), "the body was parsed and written again with its keys in another order")
		}
	}
	var indented bytes.Buffer
	if json.Indent(&indented, compact, "", "  ") == nil {
		add(indented.Bytes(), "an indented body was signed and a compact one sent")
	}
	var escaped bytes.Buffer
	json.HTMLEscape(&escaped, compact)
	add(escaped.Bytes(), "a body with escaped <, > and & was signed and another one sent")
	add(pythonic(compact), "a body as Python's json.dumps writes it was signed and another one sent")
	return forms
}

// inOrderOf writes a value with the members of its objects in the order that a
// model has, those that it does not have behind; nil if either is no JSON.
func inOrderOf(model, body []byte) []byte {
	var members, order []rawMember
	if members = membersOf(body); members == nil {
		return body
	}
	order = membersOf(model)
	at := func(key []byte) int {
		if i := slices.IndexFunc(order, func(m rawMember) bool { return bytes.Equal(m.key, key) }); i >= 0 {
			return i
		}
		return len(order)
	}
	for i, m := range members {
		if n := at(m.key); n < len(order) {
			members[i].value = inOrderOf(order[n].value, m.value)
		}
	}
	slices.SortStableFunc(members, func(a, b rawMember) int { return at(a.key) - at(b.key) })
	return appendMembers(nil, members)
}

// membersOf returns the members of an object in their order; nil if it is none.
func membersOf(object []byte) []rawMember {
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return nil
	}
	r := rawReader{b: object}
	written, spans := r.members(nil)
	members := make([]rawMember, 0, len(spans))
	for _, m := range places(written, spans) {
		value, err := appendRaw(nil, written[m.from:m.to], false)
		if err != nil {
			return nil
		}
		members = append(members, rawMember{key: m.key, value: value})
	}
	return members
}

// pythonic writes compact JSON with a space behind each colon and comma and
// with ASCII only, as json.dumps does unless it is told otherwise.
func pythonic(compact []byte) []byte {
	dst := make([]byte, 0, len(compact)+64)
	inString := false
	for i := 0; i < len(compact); {
		c := compact[i]
		switch {
		case inString && c == '\\':
			dst = append(dst, c, compact[i+1])
			i += 2
			continue
		case c == '"':
			inString = !inString
		case !inString && (c == ':' || c == ','):
			dst = append(dst, c, ' ')
			i++
			continue
		}
		if c < 0x80 {
			dst = append(dst, c)
			i++
			continue
		}
		r, n := utf8.DecodeRune(compact[i:])
		for _, unit := range utf16.AppendRune(nil, r) {
			dst = append(dst, '\\', 'u', hexDigits[unit>>12], hexDigits[unit>>8&0xf], hexDigits[unit>>4&0xf], hexDigits[unit&0xf])
		}
		i += n
	}
	return dst
}

// unixSeconds reads a timestamp; milliseconds are told by their length.
func unixSeconds(stamp string) (time.Time, bool) {
	n, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil || n < 0 {
		return time.Time{}, false
	}
	if len(stamp) >= 13 {
		return time.UnixMilli(n), true
	}
	return time.Unix(n, 0), true
}
