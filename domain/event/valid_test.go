package event_test

import (
	"encoding/json"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
)

// validTexts are valid and invalid JSON, and nearly valid.
func validTexts() []string {
	return []string{
		``, ` `, `null`, ` true `, "\tfalse\r\n", `nul`, `nulls`, `True`, `{}`, `[]`, `{ }`, `[ ]`, `[1,2]`, `[1,]`, `[,1]`, `{"a":1}`, `{"a":1,}`,
		`{"a" : [ {"b":null} , "x" ] }`, `{a:1}`, `{"a"}`, `{"a":}`, `{"a":1 "b":2}`, `{`, `[`, `]`, `}`, `{"a":1}}`, `1 2`,
		`0`, `-0`, `01`, `-`, `1.`, `.1`, `1.5e+10`, `1e`, `1e+`, `1E-2`, `+1`, `0x1`, `1.0.0`, `-a`, `--1`, `1e5.2`,
		`""`, `"`, `"\"`, `"\\"`, `"\u12aF"`, `"\u12g0"`, `"\u12"`, `"\x"`, "\"a\nb\"", "\"\x7f\"", "\"\xff\"", `"<br>&   👩"`, `"\ud800"`, "\"\x00\"",
		"\ufeff{}", `{"a":"` + strings.Repeat("talk ", 100) + `"}`,
		strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001),
		strings.Repeat(`{"a":`, 10_000) + "1" + strings.Repeat("}", 10_000), strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001),
	}
}

func sameAsTheLibrary(t interface {
	Helper()
	Errorf(string, ...any)
}, data []byte,
) {
	t.Helper()
	if got, want := event.Valid(data), json.Valid(data); got != want {
		t.Errorf("Valid(%.200q) is %v, encoding/json says %v", data, got, want)
	}
}

func TestValidIsWhatTheLibrarySays(t *testing.T) {
	t.Parallel()
	for _, text := range validTexts() {
		sameAsTheLibrary(t, []byte(text))
	}
	// Texts of JSON's own characters are close to valid.
	rapid.Check(t, func(t *rapid.T) {
		parts := rapid.SliceOf(rapid.SampledFrom([]string{`{`, `}`, `[`, `]`, `:`, `,`, `"`, `\`, `"a"`, `1`, `-`, `0`, `.`, `e`, `+`, `null`, `true`, ` `, "\n", `\u00e9`, `"x":`})).Draw(t, "parts")
		sameAsTheLibrary(t, []byte(strings.Join(parts, "")))
	})
}

func FuzzValid(f *testing.F) {
	for _, text := range validTexts() {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) { sameAsTheLibrary(t, data) })
}

// BenchmarkValid looks at an event of a usual size, beside encoding/json.
func BenchmarkValid(b *testing.B) {
	data := []byte(`{"direction":"outbound","from":"+14143756757","to":"+14155550100","agent":{"id":"jsmith","name":"Jane Agent"},"custom":{"note":"` + strings.Repeat("talk ", 110) + `"}}`)
	for name, valid := range map[string]func([]byte) bool{"ours": event.Valid, "encoding/json": json.Valid} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(data)))
			for b.Loop() {
				if !valid(data) {
					b.Fatal("not valid")
				}
			}
		})
	}
}

func TestHasNULCountsBackslashes(t *testing.T) {
	t.Parallel()
	for data, want := range map[string]bool{
		`{}`: false, `"\u0000"`: true, `"\\u0000"`: false, `"\\\u0000"`: true, `"\\\\u0000"`: false, `{"a":"\\u0000","b":"x\u0000"}`: true,
		`{"\u0000":1}`: true, `"\u00000"`: true, `"u0000"`: false, `"\u0001\u000"`: false, `"\\u0000\\u0000"`: false,
	} {
		if got := event.HasNUL([]byte(data)); got != want {
			t.Errorf("%s: %v, want %v", data, got, want)
		}
	}
}

// What encoding/json reads is what is looked for.
func FuzzHasNUL(f *testing.F) {
	for _, text := range []string{`\u0000`, "\x00", `a\\u0000`, "\\\x00", `\`} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		data, err := event.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		if got, want := event.HasNUL(data), strings.Contains(text, "\x00"); got != want {
			t.Errorf("%q, written as %s: %v", text, data, got)
		}
	})
}
