package dialecttest

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Carried says what a dialect carries.
type Carried struct {
	// Events lists for each event, or for all that match "agent.*", the readings of
	// the state that its webhook carries: a path such as "call.from", several of
	// one object that are said together, "call.agent{name,email}", or one of
	// those in readings. "there -> here" is read otherwise in the hub that
	// received it. "!" behind it means that null is told too: it clears. "^" means
	// that what was said before is no news: the hub may stay with what came after.
	// "?" means that after a null the hub may work out what it was not told.
	Events map[string][]string
	// Exact is set where times have microseconds and numbers all their digits.
	Exact bool
	// National is set where numbers stand without their country.
	National bool
}

func (c Carried) row(name string) ([]string, bool) {
	if row, ok := c.Events[name]; ok {
		return row, true
	}
	var row []string
	found := false
	for pattern, r := range c.Events {
		if prefix, ok := strings.CutSuffix(pattern, "*"); ok && strings.HasPrefix(name, prefix) {
			row, found = append(row, r...), true
		}
	}
	return row, found
}

// reading is one line of what a dialect carries.
type reading struct {
	there, here           string
	clears, once, loosens bool
}

func parse(line string) reading {
	path := strings.TrimRight(line, "!^?")
	r := reading{
		clears: strings.Contains(line[len(path):], "!"), once: strings.Contains(line[len(path):], "^"), loosens: strings.Contains(line[len(path):], "?"),
	}
	line = path
	there, here, other := strings.Cut(line, " -> ")
	if !other {
		here = there
	}
	r.there, r.here = there, here
	return r
}

// topic is that of the entity in the second hub.
func (r reading) topic() event.Topic {
	kind, _, _ := strings.Cut(r.here, ".")
	return event.Topic("trunkline." + kind + "s.v1")
}

// subject names the entity that a path is read of.
func subject(v delivery.View, path string) string {
	kind, _, _ := strings.Cut(path, ".")
	switch {
	case kind == "lead" && v.Call != nil && v.CallLead != nil:
		return "lead " + v.CallLead.ID
	case kind == "lead" && v.Lead != nil:
		return "lead " + v.Lead.ID
	case kind == "call" && v.Call != nil:
		return "call " + v.Call.ID
	case kind == "message" && v.Message != nil:
		return "message " + v.Message.ID
	case kind == "agent" && v.Agent != nil:
		return "agent " + v.Agent.ID
	case kind == "alert" && v.Alert != nil:
		return "alert " + v.Alert.ID
	case kind == "contact" && v.Contact != nil:
		return "contact " + v.Contact.ID
	case kind == "contact" && v.Lead != nil: // told as a contact
		return "lead " + v.Lead.ID
	}
	return ""
}

// each is an object whose members are facts of their own, null among them.
type each map[string]any

// flat are such objects that a path leads to.
var flat = map[string]bool{"call.custom": true, "lead.custom_fields": true}

// read gives what stands at a path of a view, under the name of the path or, of
// what is flat, under that of each member.
func (reading) read(c Carried, v delivery.View, path string) map[string]any {
	var said any
	if special, ok := readings[path]; ok {
		said = special(v)
		if members, ok := said.(each); ok {
			for k := range members {
				members[k] = c.plain(members[k])
			}
			return members
		}
		said = c.plain(said)
	} else {
		said = c.path(v, path)
	}
	if members, ok := said.(map[string]any); ok && flat[path] {
		return members
	}
	if said == nil && flat[path] {
		return nil
	}
	return map[string]any{"": said}
}

// path reads "call.agent.name", "call.agent{name,email}" or, of a list,
// "call.segments[speaker,text]".
func (c Carried) path(v delivery.View, path string) any {
	way, members, _ := strings.Cut(strings.TrimRight(path, "}]"), "{")
	way, each, isList := strings.Cut(way, "[")
	steps := strings.Split(way, ".")
	var at any
	switch steps[0] {
	case "lead":
		if v.Call != nil {
			at = c.plain(v.CallLead)
			break
		}
		at = c.plain(v.Lead)
	default:
		at = c.plain(v.State())
	}
	for _, step := range steps[1:] {
		o, _ := at.(map[string]any)
		at = o[step]
	}
	if isList {
		list, _ := at.([]any)
		var all []any
		for _, item := range list {
			all = append(all, pick(item, each))
		}
		return none(all)
	}
	if members != "" {
		return pick(at, members)
	}
	return at
}

func pick(of any, members string) any {
	o, _ := of.(map[string]any)
	picked := make(map[string]any)
	for m := range strings.SplitSeq(members, ",") {
		if o[m] != nil {
			picked[m] = o[m]
		}
	}
	return none(picked)
}

// plain brings a value to what JSON can say of it; what is empty is nothing.
func (c Carried) plain(v any) any {
	b, err := event.Marshal(v)
	if err != nil {
		return err.Error()
	}
	dec := json.NewDecoder(bytes.NewReader(b))
	if c.Exact {
		dec.UseNumber()
	}
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return err.Error()
	}
	return c.tidy(tree)
}

func (c Carried) tidy(v any) any {
	switch v := v.(type) {
	case json.Number: // 1.50 and 1.5 say the same
		if exact, ok := new(big.Rat).SetString(v.String()); ok {
			return exact.RatString()
		}
	case string:
		if t, err := time.Parse(time.RFC3339Nano, v); err == nil && !c.Exact {
			return t.Truncate(time.Millisecond).Format(time.RFC3339Nano)
		}
		return none(v)
	case []any:
		for i := range v {
			v[i] = c.tidy(v[i])
		}
		return none(v)
	case map[string]any:
		for k := range v {
			if v[k] = c.tidy(v[k]); v[k] == nil {
				delete(v, k)
			}
		}
		return none(v)
	}
	return v
}

func none(v any) any {
	switch w := v.(type) {
	case string:
		if w == "" {
			return nil
		}
	case []any:
		if len(w) == 0 {
			return nil
		}
	case map[string]any:
		if len(w) == 0 {
			return nil
		}
	}
	return v
}
