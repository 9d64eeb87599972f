package dialecttest

import (
	"encoding/json"
	"slices"
	"strconv"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/delivery"
)

// unknown adds a field that no format knows to each object of each sample, and
// looks for its value in the facts that are made of it: what a system says more
// than its documents is kept.
func unknown(t *testing.T, d dialects.Dialect, in dialects.Inbound, o Options) {
	const name, value = "field_of_tomorrow", "value of tomorrow"
	for _, sample := range Audible(d) {
		if slices.Contains(o.Ignores, sample) {
			continue
		}
		m, err := d.Sample(sample, delivery.Endpoint{ID: "endpoint-1"}, noon)
		if err != nil {
			t.Fatal(err)
		}
		for _, at := range objects(m.Body) {
			where := strings.Join(at, "/")
			closed := slices.Contains(o.Closed, where) || slices.Contains(o.Closed, "*")
			if closed && !slices.Contains(o.Open, where) {
				continue
			}
			var tree any
			if err := json.Unmarshal(m.Body, &tree); err != nil {
				t.Fatal(err)
			}
			at.in(tree)[name] = value
			body, err := json.Marshal(tree)
			if err != nil {
				t.Fatal(err)
			}
			facts, err := in.Decode(Connection(d), Headers(t, d, m), body)
			if err != nil {
				t.Errorf("%s with a field more in /%s: %v", sample, where, err)
				continue
			}
			kept := ""
			for _, f := range facts {
				kept += encode(t, f.Payload)
			}
			if !strings.Contains(kept, value) {
				t.Errorf("%s: a field more in /%s is lost", sample, where)
			}
		}
	}
}

// place is the way to an object: members, and items by their index.
type place []string

// in returns the object of a tree at a place.
func (p place) in(tree any) map[string]any {
	for _, step := range p {
		if list, ok := tree.([]any); ok {
			i, _ := strconv.Atoi(step)
			tree = list[i]
			continue
		}
		tree = tree.(map[string]any)[step]
	}
	return tree.(map[string]any)
}

// objects lists the places of the objects of a body, the whole of it first.
func objects(body []byte) []place {
	var tree any
	if json.Unmarshal(body, &tree) != nil {
		return nil
	}
	var all []place
	var walk func(v any, at place)
	walk = func(v any, at place) {
		switch v := v.(type) {
		case map[string]any:
			all = append(all, slices.Clone(at))
			for name, inner := range v {
				walk(inner, append(at, name))
			}
		case []any:
			for i, inner := range v {
				walk(inner, append(at, strconv.Itoa(i)))
			}
		}
	}
	walk(tree, nil)
	return all
}
