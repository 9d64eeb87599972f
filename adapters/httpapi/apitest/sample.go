package apitest

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Operation is what a client may send to one operation.
type Operation struct {
	ID, Method, Path string
	// Public is without a key.
	Public bool
	// Parameters are the names of all of its parameters, Query those of the query.
	Parameters, Query []string
	// Body has every field of the body, nil where no JSON is described; Closed says
	// that it has no others.
	Body   any
	Closed bool
}

// Operations are all that are described.
func (d *Document) Operations() []Operation {
	var all []Operation
	paths, _ := d.Root["paths"].(map[string]any)
	for _, path := range slices.Sorted(maps.Keys(paths)) {
		item, _ := paths[path].(map[string]any)
		for _, method := range slices.Sorted(maps.Keys(item)) {
			if method != "parameters" {
				all = append(all, d.described(path, method))
			}
		}
	}
	return all
}

func (d *Document) described(path, method string) Operation {
	c := check{Document: d, at: "/paths/" + escape(path) + "/" + method}
	op, _ := d.value(c.at).(map[string]any)
	o := Operation{Method: strings.ToUpper(method), Path: path}
	o.ID, _ = op["operationId"].(string)
	security, stated := op["security"].([]any)
	o.Public = stated && len(security) == 0
	for name := range c.parameters() {
		in, name, _ := strings.Cut(name, " ")
		o.Parameters = append(o.Parameters, name)
		if in == "query" {
			o.Query = append(o.Query, name)
		}
	}
	slices.Sort(o.Parameters)
	slices.Sort(o.Query)
	schema, _ := d.value(c.at + "/requestBody/content/application~1json/schema").(map[string]any)
	if schema != nil {
		o.Body = d.sample(schema)
		schema, _ = d.resolve(schema, "")
		o.Closed = schema["additionalProperties"] == false
	}
	return o
}

// sample is a value that a schema describes, with every member that it has.
func (d *Document) sample(schema map[string]any) any {
	schema, _ = d.resolve(schema, "")
	if v, ok := schema["const"]; ok {
		return v
	}
	if values, _ := schema["enum"].([]any); len(values) > 0 {
		return values[0]
	}
	for _, of := range []string{"oneOf", "anyOf", "allOf"} {
		for _, s := range listOf(schema[of]) {
			if s, _ := s.(map[string]any); s["type"] != "null" {
				return d.sample(s)
			}
		}
	}
	switch kind(schema) {
	case "object":
		return d.object(schema)
	case "array":
		items, _ := schema["items"].(map[string]any)
		return []any{d.sample(items)}
	case "integer", "number":
		if low, ok := schema["minimum"]; ok {
			return low
		}
		return json.Number("1")
	case "boolean":
		return true
	}
	if schema["format"] == "date-time" {
		return "2026-05-14T12:00:00Z"
	}
	return "x"
}

func (d *Document) object(schema map[string]any) any {
	v := make(map[string]any)
	properties, _ := schema["properties"].(map[string]any)
	for name, s := range properties {
		s, _ := s.(map[string]any)
		v[name] = d.sample(s)
	}
	if s, ok := schema["additionalProperties"].(map[string]any); ok {
		v["any"] = d.sample(s)
	}
	return v
}

// kind is the first type of a schema.
func kind(schema map[string]any) string {
	if types := listOf(schema["type"]); len(types) > 0 {
		return fmt.Sprint(types[0])
	}
	return fmt.Sprint(schema["type"])
}

func listOf(v any) []any {
	list, _ := v.([]any)
	return list
}
