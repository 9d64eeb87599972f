// Package foldtest checks folds by goldens: given these events, that state. A
// golden is read as a specification, so it is small and named by its case.
package foldtest

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/tools/txtar"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

var update = flag.Bool("update", false, "rewrite the goldens")

// Given is one event of a golden.
type Given struct {
	ID         string          `json:"id"`
	Type       event.Type      `json:"type"`
	Source     string          `json:"source,omitempty"`
	Actor      string          `json:"actor,omitempty"`
	OccurredAt time.Time       `json:"occurred_at"`
	RecordedAt time.Time       `json:"recorded_at,omitzero"`
	Data       json.RawMessage `json:"data"`
}

// Event is the event that a golden means: the entity is always "entity-1", and
// what is not said is recorded a second after it happened.
func (g Given) Event() event.Event {
	if g.RecordedAt.IsZero() {
		g.RecordedAt = g.OccurredAt.Add(time.Second)
	}
	return event.Event{Data: g.Data, Envelope: event.Envelope{
		ID: g.ID, Type: g.Type, Source: g.Source, Subject: "entity-1", Org: "org-1", Actor: g.Actor,
		OccurredAt: event.Time(g.OccurredAt), RecordedAt: event.Time(g.RecordedAt),
	}}
}

// Goldens folds the events.json of each testdata/*.txtar and compares the
// result with its state.json. Each event type of the topic must have the golden
// testdata/<type>.txtar, in which it occurs.
func Goldens(t *testing.T, topic event.Topic) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join("testdata", "*.txtar"))
	if err != nil {
		t.Fatal(err)
	}
	shown := make(map[string]bool)
	for _, path := range files {
		events := parse(t, path)
		for _, g := range events {
			if strings.TrimSuffix(filepath.Base(path), ".txtar") == string(g.Type) {
				shown[string(g.Type)] = true
			}
		}
		t.Run(strings.TrimSuffix(filepath.Base(path), ".txtar"), func(t *testing.T) {
			t.Parallel()
			golden(t, topic, path, events)
		})
	}
	for _, e := range catalog.All() {
		if event.On(topic, e.Type) && !shown[string(e.Type)] {
			t.Errorf("no golden shows %s: write testdata/%s.txtar", e.Type, e.Type)
		}
	}
}

func parse(t *testing.T, path string) []Given {
	t.Helper()
	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range a.Files {
		if f.Name != "events.json" {
			continue
		}
		var events []Given
		if err := json.Unmarshal(f.Data, &events); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		return events
	}
	t.Fatalf("%s has no events.json", path)
	return nil
}

func golden(t *testing.T, topic event.Topic, path string, events []Given) {
	t.Helper()
	state, ok := catalog.Entity(topic)
	if !ok {
		t.Fatalf("%s has no entity", topic)
	}
	for _, g := range events {
		if err := catalog.Apply(state, event.Recorded{Event: g.Event()}); err != nil {
			t.Fatal(err)
		}
	}
	compact, err := event.Marshal(state)
	if err != nil {
		t.Fatal(err)
	}
	var got bytes.Buffer
	if err := json.Indent(&got, compact, "", "  "); err != nil {
		t.Fatal(err)
	}
	got.WriteByte('\n')

	a, err := txtar.ParseFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		a.Files = append(a.Files[:1], txtar.File{Name: "state.json", Data: got.Bytes()})
		if err := os.WriteFile(path, txtar.Format(a), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	var want []byte
	for _, f := range a.Files {
		if f.Name == "state.json" {
			want = f.Data
		}
	}
	if diff := cmp.Diff(string(want), got.String()); diff != "" {
		t.Errorf("%s (-golden +now):\n%s", path, diff)
	}
}
