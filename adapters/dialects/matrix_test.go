package dialects_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// matrixNoon is when the webhooks of the matrix are sent.
var matrixNoon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

// TestMatrix sends a sample of each event of every system to a hub, and shows
// what the hub sends on as every system would: testdata/matrix/<in>.txtar has a
// section for each way out. A new dialect is a new file and a new section in the
// others; `go test -run TestMatrix -update` writes them.
func TestMatrix(t *testing.T) {
	t.Parallel()
	// Ours mirrors the log; the suite's round trip says all of it.
	systems := slices.DeleteFunc(dialects.All(), func(d dialects.Dialect) bool { return d == dialects.Trunkline{} })
	for _, from := range systems {
		in, ok := from.(dialects.Inbound)
		if !ok {
			continue
		}
		t.Run(from.Name(), func(t *testing.T) {
			t.Parallel()
			path := filepath.Join("testdata", "matrix", from.Name()+".txtar")
			if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) && *update {
				a := &txtar.Archive{Comment: []byte("What comes in as " + from.Name() + ", and what goes out of the hub for it.\n")}
				if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, txtar.Format(a), 0o644)); err != nil {
					t.Fatal(err)
				}
			}
			golden(t, path, "in", func(t *testing.T, _ *txtar.Archive) []byte {
				var b bytes.Buffer
				for _, m := range matrixMessages(t, from) {
					fmt.Fprintf(&b, "# %s\n%s\n", m.Name, m.Body)
				}
				return b.Bytes()
			})
			var sent [][]byte
			for _, to := range systems {
				golden(t, path, "out/"+to.Name(), func(t *testing.T, _ *txtar.Archive) []byte {
					text, bodies := matrixOut(t, from, in, to)
					sent = append(sent, bodies...)
					return text
				})
			}
			dialecttest.FixedPoint(t, sent...)
		})
	}
}

func matrixMessages(t *testing.T, d dialects.Dialect) []delivery.Message {
	t.Helper()
	var all []delivery.Message
	for i, name := range dialecttest.Audible(d) {
		m, err := d.Sample(name, delivery.Endpoint{ID: "endpoint-1", Org: "org-1"}, matrixNoon.Add(time.Duration(i)*time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, m)
	}
	return all
}

// matrixOut plays the webhooks of one dialect into a fresh hub and says what it
// sends on in another.
func matrixOut(t *testing.T, from dialects.Dialect, in dialects.Inbound, to dialects.Dialect) (text []byte, bodies [][]byte) {
	t.Helper()
	var out bytes.Buffer
	hub := dialecttest.NewHub("connection/conn-1")
	var record func(commands.Fact)
	record = func(f commands.Fact) {
		t.Helper()
		v, ok := hub.Record(t, f)
		if !ok {
			return
		}
		defer func() {
			for _, f := range dialecttest.Fetched(f, v) {
				record(f)
			}
		}()
		messages, err := to.Render(v, delivery.Endpoint{ID: "endpoint-2", IDs: "source"})
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range messages {
			fmt.Fprintf(&out, "%s\n%s\n", m.Name, m.Body)
			bodies = append(bodies, m.Body)
		}
	}
	var ended []commands.Fact
	for _, m := range matrixMessages(t, from) {
		fmt.Fprintf(&out, "# %s\n", m.Name)
		facts, err := in.Decode(dialecttest.Connection(from), dialecttest.Headers(t, from, m), m.Body)
		if err != nil {
			t.Fatalf("%s does not take its own %s: %v", from.Name(), m.Name, err)
		}
		for _, f := range facts {
			record(f)
			if _, ok := f.Payload.(call.Ended); ok {
				ended = append(ended, f)
			}
		}
	}
	fmt.Fprintln(&out, "# two minutes later")
	for _, f := range ended {
		for _, what := range []string{call.ForTranscript, call.ForDisposition} {
			f.Payload, f.EventKey = call.Settled{WaitedFor: what, AfterSec: 120}, "settled/"+what+"/"+f.ExternalID
			f.OccurredAt = f.OccurredAt.Add(time.Minute)
			record(f)
		}
	}
	return out.Bytes(), bodies
}
