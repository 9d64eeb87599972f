package dialects_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// given is one event of a golden.
type given struct {
	Type       event.Type      `json:"type"`
	Subject    string          `json:"subject,omitempty"`
	ExternalID string          `json:"external_id,omitempty"`
	OccurredAt time.Time       `json:"occurred_at"`
	Data       json.RawMessage `json:"data"`
}

// TestOutbound plays the events of testdata/<dialect>/<event>.txtar and
// compares what the dialect sends at each of them.
func TestOutbound(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		for _, name := range dialecttest.Audible(d) {
			t.Run(d.Name()+"/"+name, func(t *testing.T) {
				t.Parallel()
				// A colon in a file's name would keep the module out of a zip.
				golden(t, filepath.Join("testdata", d.Name(), strings.ReplaceAll(name, ":", ".")+".txtar"), "webhooks", func(t *testing.T, a *txtar.Archive) []byte {
					return outbound(t, d, name, a)
				})
			})
		}
	}
}

func outbound(t *testing.T, d dialects.Dialect, name string, a *txtar.Archive) []byte {
	t.Helper()
	var events []given
	e := delivery.Endpoint{ID: "endpoint-1"}
	read(t, a, "events.json", &events)
	if file(a, "endpoint.json") != nil {
		read(t, a, "endpoint.json", &e)
	}
	hub := dialecttest.NewHub("api")
	var out bytes.Buffer
	fires := false
	for i, g := range events {
		p, err := catalog.Decode(g.Type, g.Data)
		if err != nil {
			t.Fatal(err)
		}
		v, _ := hub.Record(t, commands.Fact{Payload: p, Subject: g.Subject, EventKey: fmt.Sprint(i), OccurredAt: g.OccurredAt})
		msgs, err := d.Render(v, e)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&out, "# %d %s\n", i+1, g.Type)
		for _, m := range msgs {
			fires = fires || m.Name == name
			fmt.Fprintln(&out, m.Name)
			for _, h := range append(m.Headers, d.Sign(dialecttest.Secret, m.Body)...) {
				fmt.Fprintf(&out, "%s: %s\n", h.Name, h.Value)
			}
			fmt.Fprintf(&out, "%s\n", m.Body)
		}
	}
	if !fires {
		t.Errorf("%s is not among what was sent:\n%s", name, out.String())
	}
	return out.Bytes()
}

// TestInbound decodes the bodies of testdata/<dialect>/in/*.txtar.
func TestInbound(t *testing.T) {
	t.Parallel()
	for _, d := range dialects.All() {
		in, ok := d.(dialects.Inbound)
		if !ok {
			continue
		}
		files, err := filepath.Glob(filepath.Join("testdata", d.Name(), "in", "*.txtar"))
		if err != nil || len(files) == 0 {
			t.Errorf("%s has no goldens of what comes in: %v", d.Name(), err)
		}
		for _, path := range files {
			t.Run(d.Name()+"/"+strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
				t.Parallel()
				golden(t, path, "facts.json", func(t *testing.T, a *txtar.Archive) []byte { return inbound(t, d, in, a) })
			})
		}
	}
}

func inbound(t *testing.T, d dialects.Dialect, in dialects.Inbound, a *txtar.Archive) []byte {
	t.Helper()
	facts, err := in.Decode(dialecttest.Connection(d), http.Header{}, bytes.TrimSpace(file(a, "body.json")))
	if err != nil {
		return []byte(err.Error() + "\n")
	}
	var out bytes.Buffer
	for _, f := range facts {
		data, err := event.Marshal(f.Payload)
		if err != nil {
			t.Fatal(err)
		}
		line, err := event.Marshal(given{Type: f.Payload.EventType(), Subject: f.Subject, ExternalID: f.ExternalID, OccurredAt: f.OccurredAt, Data: data})
		if err != nil {
			t.Fatal(err)
		}
		out.Write(append(line, '\n'))
	}
	return out.Bytes()
}

// golden compares a section of a file with what the others give.
func golden(t *testing.T, path, section string, make func(*testing.T, *txtar.Archive) []byte) {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	got := make(t, a)
	if *update {
		kept := a.Files[:0]
		for _, f := range a.Files {
			if f.Name != section {
				kept = append(kept, f)
			}
		}
		a.Files = append(kept, txtar.File{Name: section, Data: got})
		if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if diff := cmp.Diff(string(file(a, section)), string(got)); diff != "" {
		t.Errorf("%s (-golden +now):\n%s", path, diff)
	}
}

func file(a *txtar.Archive, name string) []byte {
	for _, f := range a.Files {
		if f.Name == name {
			return f.Data
		}
	}
	return nil
}

func read(t *testing.T, a *txtar.Archive, name string, into any) {
	t.Helper()
	if err := json.Unmarshal(file(a, name), into); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}
