package webhooks

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// changesMost bounds the lines of one comparison, shownMost the text of a value.
const (
	changesMost = 20
	shownMost   = 120
)

// changesOf says in lines how a body differs from one that was sent before: by
// the places in the JSON, or by the first byte when it is not JSON or says the
// same in other bytes. No lines mean equal bytes.
func changesOf(before, after []byte) []string {
	if bytes.Equal(before, after) {
		return nil
	}
	a, errA := decodeAny(before)
	b, errB := decodeAny(after)
	var lines []string
	if errA == nil && errB == nil {
		if lines = compareJSON(nil, "", a, b); len(lines) == 0 {
			lines = []string{"the same, but written otherwise " + firstByte(before, after)}
		}
	} else {
		lines = []string{firstByte(before, after)}
	}
	if more := len(lines) - changesMost; more > 0 {
		lines = append(lines[:changesMost], fmt.Sprintf("… and %d more", more))
	}
	return lines
}

// decodeAny keeps numbers as they are written.
func decodeAny(text []byte) (any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	var v any
	err := d.Decode(&v)
	return v, err
}

// compareJSON adds a line for each place that differs.
func compareJSON(lines []string, at string, a, b any) []string {
	switch x := a.(type) {
	case map[string]any:
		y, ok := b.(map[string]any)
		if !ok {
			break
		}
		keys := make(map[string]bool, len(x))
		for k := range x {
			keys[k] = true
		}
		for k := range y {
			keys[k] = true
		}
		for _, k := range slices.Sorted(maps.Keys(keys)) {
			place := at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k)
			was, had := x[k]
			is, has := y[k]
			switch {
			case !had:
				lines = append(lines, place+": new, "+show(is))
			case !has:
				lines = append(lines, place+": gone, was "+show(was))
			default:
				lines = compareJSON(lines, place, was, is)
			}
		}
		return lines
	case []any:
		y, ok := b.([]any)
		if !ok {
			break
		}
		for i := range max(len(x), len(y)) {
			place := at + "/" + strconv.Itoa(i)
			switch {
			case i >= len(x):
				lines = append(lines, place+": new, "+show(y[i]))
			case i >= len(y):
				lines = append(lines, place+": gone, was "+show(x[i]))
			default:
				lines = compareJSON(lines, place, x[i], y[i])
			}
		}
		return lines
	default:
		if a == b {
			return lines
		}
	}
	if at == "" {
		at = "/"
	}
	return append(lines, at+": "+show(a)+" → "+show(b))
}

func show(v any) string {
	text, err := json.Marshal(v)
	if err != nil {
		return "?"
	}
	return cutAt(string(text), shownMost)
}

// cutAt shortens a text to about n bytes.
func cutAt(s string, n int) string {
	if len(s) <= n {
		return s
	}
	return strings.ToValidUTF8(s[:n], "") + "…"
}

// firstByte shows the place where two texts part.
func firstByte(a, b []byte) string {
	n := 0
	for n < len(a) && n < len(b) && a[n] == b[n] {
		n++
	}
	around := func(t []byte) string {
		return strconv.Quote(strings.ToValidUTF8(string(t[max(0, n-20):min(len(t), n+40)]), "\uFFFD"))
	}
	return fmt.Sprintf("from byte %d on: %s → %s", n, around(a), around(b))
}
