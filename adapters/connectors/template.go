package connectors

import (
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
	"unicode/utf16"

	"trunkline.dev/trunkline/domain/event"
)

// A template is text with {paths} into the document of a call:
// "{lead.name} - {timestamp}". Alone, a path keeps the type of its value; an
// unknown value is "".
var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// roots are what paths may begin with, and whether more must follow.
var roots = map[string]bool{
	"event": false, "occurred_at": false, "timestamp": false,
	"call": true, "lead": true, "agent": true, "list": true, "recording": true,
}

// checkTemplate says in words what is wrong with a template, or nil.
func checkTemplate(tpl string) error {
	rest := placeholder.ReplaceAllString(tpl, "")
	if strings.ContainsAny(rest, "{}") {
		return errors.New("a brace has no partner; expected text with {paths} such as {lead.name}")
	}
	for _, m := range placeholder.FindAllStringSubmatch(tpl, -1) {
		root, field, deeper := strings.Cut(m[1], ".")
		inside, known := roots[root]
		if !known || inside != deeper || inside && field == "" {
			return fmt.Errorf("{%.60s} is nothing that is known of a call; expected {timestamp} or {event}, or a field such as {call.disposition}, {call.custom.x}, {lead.name}, {lead.custom_fields.x}, {agent.name}, {list.name}, {recording.url}", m[1])
		}
	}
	return nil
}

// lookup is a document in the form that templates look into.
type lookup map[string]any

func (d document) lookup() (lookup, error) {
	b, err := event.Marshal(d)
	if err != nil {
		return nil, err
	}
	var l lookup
	return l, json.Unmarshal(b, &l)
}

// value is what stands at a path, nil if nothing does. Keys may contain dots.
func (l lookup) value(path string) any {
	var at any = map[string]any(l)
	for path != "" {
		m, ok := at.(map[string]any)
		if !ok {
			return nil
		}
		if v, ok := m[path]; ok {
			return v
		}
		var key string
		key, path, _ = strings.Cut(path, ".")
		at = m[key]
	}
	return at
}

// expand fills a template in as text. each, if not nil, is applied to what is
// filled in.
func (l lookup) expand(tpl string, each func(string) string) string {
	return placeholder.ReplaceAllStringFunc(tpl, func(p string) string {
		s := asText(l.value(p[1 : len(p)-1]))
		if each != nil {
			s = each(s)
		}
		return s
	})
}

// fill fills a template in for a field of another system: a single path as the
// JSON value that it is, anything else as text.
func (l lookup) fill(tpl string) any {
	if m := placeholder.FindString(tpl); m == tpl && m != "" {
		return l.value(m[1 : len(m)-1])
	}
	return l.expand(tpl, nil)
}

// flat is a value as fields of a CRM take it: of a list the items with ; between, which
// is how a choice of several is written, of an object its JSON.
func flat(v any) any {
	switch v := v.(type) {
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = asText(item)
		}
		return strings.Join(items, ";")
	case map[string]any:
		return asText(v)
	}
	return v
}

func asText(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	}
	b, err := event.Marshal(v)
	if err != nil {
		return ""
	}
	return string(b)
}

// defaultFileName is that of seed 000, without the extension.
const defaultFileName = "{lead.name} - {timestamp}"

// fileName names the recording by a template. A person without a name is called
// by the number.
func (a *attempt) fileName(tpl string) string {
	if a.doc.Lead.Name == "" {
		tpl = strings.ReplaceAll(tpl, "{lead.name}", a.doc.title())
	}
	name := fileName(a.look.expand(tpl, nil))
	if name == "" {
		return a.doc.Call.ID
	}
	return name
}

// maxFileName is as long as file systems and the other systems take.
const maxFileName = 180

// fileName makes text the name of a file: one line, no separators of folders,
// nothing that hides it.
func fileName(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '/' || r == '\\':
			return '-'
		case unicode.IsControl(r) || r == unicode.ReplacementChar:
			return ' '
		}
		return r
	}, s)
	s = strings.Trim(strings.Join(strings.Fields(s), " "), ". ")
	return strings.TrimSpace(clip(s, maxFileName))
}

// clip cuts text at a rune so that it has at most n bytes.
func clip(s string, n int) string {
	if len(s) <= n {
		return s
	}
	for n > 0 && s[n]&0xC0 == 0x80 {
		n--
	}
	return s[:n]
}

// within cuts text at a rune so that it has at most n characters, as the other systems
// count them: in UTF-16, where what is rare takes two.
func within(s string, n int) string {
	for at, r := range s {
		if n -= utf16.RuneLen(r); n < 0 {
			return s[:at]
		}
	}
	return s
}
