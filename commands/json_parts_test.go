package commands_test

import (
	"bytes"
	"encoding/json"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands"
)

// FuzzJSONParts: what is taken apart by its brackets is what encoding/json
// finds.
func FuzzJSONParts(f *testing.F) {
	for _, s := range []string{
		`[]`, ` [ ] `, `[1,"a",null,true,-1.5e3,[],{}]`, "[ 1 ,\t\"a\" ,\n[ { } ] ]", `["\\","\"","\\\"",""]`, `[{"a":[{"b":"]}"}]},{"c":"{["}]`,
		`{}`, `{ "a" : 1 , "b":{"c":"\u0041"},"a":2}`, `{"\u0061":"x","\\\"":[1,{"d":[]}],"":null}`, "{\"\xff\":\"\xff\"}",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, body string) {
		b := []byte(body)
		if !json.Valid(b) {
			return
		}
		switch bytes.TrimLeft(b, " \n\r\t")[0] {
		case '[':
			var want, got []string
			var all []json.RawMessage
			if err := json.Unmarshal(b, &all); err != nil {
				t.Fatal(err)
			}
			for _, e := range all {
				want = append(want, string(e))
			}
			for _, e := range commands.Elements(b) {
				got = append(got, string(e))
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		case '{':
			want, got := map[string]json.RawMessage{}, map[string]json.RawMessage{}
			if err := json.Unmarshal(b, &want); err != nil {
				t.Fatal(err)
			}
			for _, m := range commands.AppendMembers(nil, b) {
				got[string(m.Name)] = m.Raw
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Error(d)
			}
		}
	})
}
