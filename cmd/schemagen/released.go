package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// releasedFile notes what released schemas promise: a hash of each property
// and of the required list, without their texts. A new optional property is no
// breach, a changed or missing one is: that needs a new version of the type.
const releasedFile = "schemas/events/released.sum"

// promises lists what schemas promise, one line each: hash, type, pointer.
func promises(files map[string][]byte) ([]byte, error) {
	var out bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if path.Dir(name) != "schemas/events" || path.Ext(name) != ".json" {
			continue
		}
		var s map[string]any
		if err := json.Unmarshal(files[name], &s); err != nil {
			return nil, fmt.Errorf("reading %s: %w", name, err)
		}
		if err := promise(&out, strings.TrimSuffix(path.Base(name), ".json"), "", s); err != nil {
			return nil, err
		}
	}
	return out.Bytes(), nil
}

func promise(out *bytes.Buffer, of, at string, s map[string]any) error {
	if properties, ok := s["properties"].(map[string]any); ok {
		for _, k := range slices.Sorted(maps.Keys(properties)) {
			if err := sum(out, of, at+"/properties/"+k, properties[k]); err != nil {
				return err
			}
		}
		if err := sum(out, of, at+"/required", s["required"]); err != nil {
			return err
		}
	}
	defs, _ := s["$defs"].(map[string]any)
	for _, k := range slices.Sorted(maps.Keys(defs)) {
		d, _ := defs[k].(map[string]any)
		if err := promise(out, of, at+"/$defs/"+k, d); err != nil {
			return err
		}
	}
	return nil
}

func sum(out *bytes.Buffer, of, at string, v any) error {
	b, err := json.Marshal(withoutTexts(v))
	if err != nil {
		return fmt.Errorf("reading %s of %s: %w", at, of, err)
	}
	h := sha256.Sum256(b)
	_, _ = fmt.Fprintf(out, "%s %s %s\n", hex.EncodeToString(h[:8]), of, at)
	return nil
}

func withoutTexts(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	kept := make(map[string]any, len(m))
	for k, inner := range m {
		if k != "description" && k != "title" {
			kept[k] = withoutTexts(inner)
		}
	}
	return kept
}
