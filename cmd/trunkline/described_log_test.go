package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"path"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/segmentio/kafka-go"
	"gopkg.in/yaml.v3"

	"trunkline.dev/trunkline/schemas"
)

// describedLog holds every record that the other parts left in the log to what
// readers go by: the channels and headers of the AsyncAPI document, and the JSON
// Schema that the record itself names.
func describedLog(t *testing.T, h *hub) {
	var doc struct {
		Channels map[string]struct {
			Address  string
			Messages map[string]any
		}
		Components struct{ Schemas map[string]any }
	}
	if err := yaml.Unmarshal(schemas.AsyncAPI, &doc); err != nil {
		t.Fatal(err)
	}
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ofEvents(t, c)
	headers, err := compiled(c, "file:///headers.json", doc.Components.Schemas["headers"])
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	seen, said := make(map[string]int), make(map[string]bool)
	for _, channel := range doc.Channels {
		err := eachRecord(ctx, h.env["TRUNKLINE_KAFKA_ADDR"], channel.Address, func(m kafka.Message) {
			kind, err := likeDescribed(c, headers, channel.Messages, m)
			seen[kind]++
			if err != nil && !said[kind] {
				said[kind] = true
				t.Errorf("%s/%d@%d %s: %v\n%.2048s", m.Topic, m.Partition, m.Offset, kind, err, m.Value)
			}
		})
		if err != nil {
			t.Fatalf("reading %s: %v", channel.Address, err)
		}
	}
	t.Logf("records by type: %v", seen)
}

// likeDescribed checks one record and says of which type it is.
func likeDescribed(c *jsonschema.Compiler, headers *jsonschema.Schema, messages map[string]any, m kafka.Message) (string, error) {
	have := make(map[string]any)
	for _, h := range m.Headers {
		have[h.Key] = string(h.Value)
	}
	kind := fmt.Sprint(have["ce_type"])
	if err := headers.Validate(have); err != nil {
		return kind, fmt.Errorf("the headers: %w", err)
	}
	if _, ok := messages[kind]; !ok {
		return kind, fmt.Errorf("the topic is not described to have it")
	}
	if want := fmt.Sprintf("%s/%s", have["ce_org"], have["ce_subject"]); string(m.Key) != want {
		return kind, fmt.Errorf("the key is %q, want %q", m.Key, want)
	}
	id := fmt.Sprint(have["ce_dataschema"])
	if path.Base(id) != kind+".json" {
		return kind, fmt.Errorf("its schema is that of another type: %s", id)
	}
	schema, err := c.Compile(id)
	if err != nil {
		return kind, err
	}
	data, err := jsonschema.UnmarshalJSON(bytes.NewReader(m.Value))
	if err != nil {
		return kind, err
	}
	return kind, schema.Validate(data)
}

// ofEvents adds the schemas of events by their ids. They are closed here: what they
// do not name is in no document, though readers are told to leave it alone.
func ofEvents(t *testing.T, c *jsonschema.Compiler) {
	t.Helper()
	files, err := fs.Glob(schemas.Events, "events/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		raw, err := schemas.Events.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		v, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		closed(v)
		id, _ := v.(map[string]any)["$id"].(string)
		if !strings.HasSuffix(id, "/"+path.Base(name)) {
			t.Errorf("%s has the $id %q", name, id)
		}
		if err := c.AddResource(id, v); err != nil {
			t.Fatal(err)
		}
	}
}

// closed lets the objects of a schema have no other members than it names.
func closed(schema any) {
	switch v := schema.(type) {
	case map[string]any:
		if _, ok := v["properties"].(map[string]any); ok && v["additionalProperties"] == nil {
			v["additionalProperties"] = false
		}
		for _, inner := range v {
			closed(inner)
		}
	case []any:
		for _, inner := range v {
			closed(inner)
		}
	}
}

func compiled(c *jsonschema.Compiler, id string, schema any) (*jsonschema.Schema, error) {
	if err := c.AddResource(id, schema); err != nil {
		return nil, err
	}
	return c.Compile(id)
}
