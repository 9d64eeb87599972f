package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/domain/delivery"
)

const docs = "../../adapters/dialects/docs"

// TestThePagesAreWhatTheGeneratorWrites compares the committed pages with what
// make gen would write, and looks for pages of dialects that are gone.
func TestThePagesAreWhatTheGeneratorWrites(t *testing.T) {
	t.Parallel()
	want := make(map[string]bool)
	for _, d := range dialects.All() {
		want[file(d)] = true
		text, err := page(docs, d)
		if err != nil {
			t.Fatal(err)
		}
		have, err := os.ReadFile(filepath.Join(docs, file(d)))
		if err != nil {
			t.Errorf("%v: run make gen", err)
			continue
		}
		if diff := cmp.Diff(string(have), string(text)); diff != "" {
			t.Errorf("%s: run make gen (-committed +generated):\n%s", file(d), diff)
		}
	}
	pages, err := filepath.Glob(filepath.Join(docs, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range pages {
		if !want[filepath.Base(p)] {
			t.Errorf("%s is the page of no dialect", p)
		}
	}
}

// A receiver that looks for gaps needs trunkline-previous-sequence: events that are not
// for it leave numbers of trunkline-sequence out.
func TestThePagesNameEachHeaderOfTheHub(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		text, err := os.ReadFile(filepath.Join(docs, file(d)))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"webhook-id", "trunkline-event-type", "trunkline-sequence", "trunkline-previous-sequence", "trunkline-replay"} {
			if !strings.Contains(string(text), "`"+name+"`") {
				t.Errorf("%s does not name %s", file(d), name)
			}
		}
	}
}

// fences returns the code of a page's fences of a language, in their order.
func fences(t *testing.T, d dialects.Dialect, language string) []string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(docs, file(d)))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, m := range regexp.MustCompile("(?s)\n```"+language+"\n(.*?)```\n").FindAllSubmatch(text, -1) {
		all = append(all, string(m[1]))
	}
	return all
}

// TestTheBodiesOfThePagesAreTheSamples reads the bodies out of the pages as a
// reader would.
func TestTheBodiesOfThePagesAreTheSamples(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		shown, names := fences(t, d, "json"), dialecttest.Audible(d)
		if len(shown) != len(names) {
			t.Fatalf("%s shows %d bodies of %d events", d.Name(), len(shown), len(names))
		}
		for i, name := range names {
			m, err := d.Sample(name, sampleEndpoint, sampleTime)
			if err != nil {
				t.Fatal(err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, []byte(shown[i])); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(m.Body), compact.String()); diff != "" {
				t.Errorf("%s %s (-sample +page):\n%s", d.Name(), name, diff)
			}
		}
	}
}

// verification is one request that a snippet judges. A []byte is base64 in JSON.
type verification struct {
	what    string
	Body    []byte            `json:"body"`
	Headers map[string]string `json:"headers"`
	Secret  string            `json:"secret"`
	want    bool
}

const otherSecret = "whsec_QUJDREVGR0hJSktMTU5PUFFSU1RVVldY"

// verifications are requests of each event of a dialect, right and wrong.
func verifications(t *testing.T, d dialects.Dialect) []verification {
	t.Helper()
	own := len(d.Sign(sampleSecret, nil)) > 0
	signed := func(body []byte, at time.Time, secrets ...string) map[string]string {
		h := make(map[string]string)
		list := d.Sign(secrets[0], body)
		if !own {
			var err error
			if list, err = dialects.SignStandard("msg-1", at, body, secrets...); err != nil {
				t.Fatal(err)
			}
		}
		for _, header := range list {
			h[header.Name] = header.Value
		}
		return h
	}
	now := time.Now()
	var all []verification
	for _, name := range dialecttest.Audible(d) {
		m, err := d.Sample(name, delivery.Endpoint{ID: "e", Org: "o"}, now)
		if err != nil {
			t.Fatal(err)
		}
		add := func(what string, body []byte, headers map[string]string, want bool) {
			all = append(all, verification{name + ": " + what, body, headers, sampleSecret, want})
		}
		good := signed(m.Body, now, sampleSecret)
		add("as sent", m.Body, good, true)
		add("another value", bytes.Replace(m.Body, []byte(`":"`), []byte(`":"x`), 1), good, false)
		add("another secret", m.Body, signed(m.Body, now, otherSecret), false)
		add("no headers", m.Body, nil, false)
		for header, value := range good {
			for what, changed := range map[string]string{"empty": "", "short": value[:len(value)/2], "odd": "é☎", "longer": value + "0"} {
				h := make(map[string]string)
				for k, v := range good {
					h[k] = v
				}
				h[header] = changed
				add(header+" "+what, m.Body, h, false)
			}
		}
		if !own {
			add("an hour old", m.Body, signed(m.Body, now.Add(-time.Hour), sampleSecret), false)
			add("an hour ahead", m.Body, signed(m.Body, now.Add(time.Hour), sampleSecret), false)
			add("two secrets", m.Body, signed(m.Body, now, otherSecret, sampleSecret), true)
		}
	}
	return all
}

// TestTheSnippetsOfThePagesRun takes each snippet out of its page and has it
// judge requests in its own language.
func TestTheSnippetsOfThePagesRun(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		cases := verifications(t, d)
		for _, l := range languages {
			t.Run(d.Name()+"/"+l[1], func(t *testing.T) {
				t.Parallel()
				code := fences(t, d, l[2])
				if len(code) != 1 {
					t.Fatalf("%d snippets", len(code))
				}
				var got []any
				runners[l[0]](t, map[string]any{"code": code[0], "cases": cases}, &got)
				if len(got) != len(cases) {
					t.Fatalf("it judged %d of %d requests: %v", len(got), len(cases), got)
				}
				for i, c := range cases {
					if got[i] != c.want {
						t.Errorf("%s: it says %v", c.what, got[i])
					}
				}
			})
		}
	}
}

// runners run a snippet by language.
var runners = map[string]func(t *testing.T, in map[string]any, out any){
	"js": func(t *testing.T, in map[string]any, out any) {
		t.Helper()
		dialecttest.Node(t, "snippet.js", in, out)
	},
	"php": func(t *testing.T, in map[string]any, out any) {
		t.Helper()
		dialecttest.NodePackage(t, "adapters/dialects/testdata/php", "run.js", in, out)
	},
	"py": func(t *testing.T, in map[string]any, out any) {
		t.Helper()
		program(t, in, out, "python3", filepath.Join("testdata", "snippet.py"))
	},
	"go": func(t *testing.T, in map[string]any, out any) {
		t.Helper()
		harness, err := os.ReadFile(filepath.Join("testdata", "main.go.txt"))
		if err != nil {
			t.Fatal(err)
		}
		dir := t.TempDir()
		for name, text := range map[string]string{
			"go.mod": "module snippet\n\ngo 1.26\n", "main.go": string(harness), "verify.go": fmt.Sprint("package main\n\n", in["code"]),
		} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		program(t, in, out, "go", "-C", dir, "run", ".")
	},
}

// program runs a program with JSON in and out.
func program(t *testing.T, in, out any, name string, args ...string) {
	t.Helper()
	given, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Stdin = bytes.NewReader(given)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	answer, err := cmd.Output()
	if err != nil {
		t.Fatalf("running %s: %v\n%s", name, err, stderr.String())
	}
	if err := json.Unmarshal(answer, out); err != nil {
		t.Fatalf("%s answered %q: %v", name, answer, err)
	}
}
