package recordings_test

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"log/slog"
	"math"
	"strings"
	"testing"

	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
)

// A B-tree takes no entry above 2,700 bytes. The host is of random letters because
// what can be compressed is measured as it is after that.
func TestALongHostStopsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	letters := make([]byte, 1950)
	if _, err := rand.Read(letters); err != nil {
		t.Fatal(err)
	}
	url := "https://" + hex.EncodeToString(letters) + "/1.mp3"
	long, next := r.announce("c1", 0, url), r.announce("c2", 1, where)
	r.set(1)
	r.read(h)
	if rec := r.known(h, long); rec.URL != url {
		t.Errorf("its URL is %d bytes, want %d", len(rec.URL), len(url))
	}
	if rec, ok := r.lease(h, recordings.SourceOf("org", url)); !ok || rec.ID != next {
		t.Errorf("its host has no slot, and leased is %+v, %v", rec, ok)
	}
	if rec, ok := r.lease(h); !ok || rec.ID != long {
		t.Errorf("leased is %+v, %v", rec, ok)
	}
}

// An int4 is narrower than JSON's numbers: what does not fit is no error of Postgres
// but of its driver, which says so before it sends anything.
func TestMoreAttemptsThanPostgresCountsStopNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	id := r.announce("c1", 0, where)
	r.append("c1", 1, call.RecordingFetchFailed{RecordingID: id, Attempts: math.MaxInt32 + 1, Error: "404"})
	r.append("c1", 2, call.RecordingStored{RecordingID: id, Key: "k", SHA256: "aa", Attempts: math.MaxInt, StoredAt: at(2)})
	r.read(h)
	if rec := r.known(h, id); rec.State != call.CopyStored || rec.Attempts != math.MaxInt32 {
		t.Errorf("it is %+v", rec)
	}
}

func TestWhatPostgresRefusesIsGonePast(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	if _, err := r.pool.Exec(t.Context(), `ALTER TABLE recordings ADD CHECK (call_id <> 'c3')`); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	r.logger = slog.New(slog.NewTextHandler(&said, nil))
	h := r.hub("a", nil)
	for _, c := range []string{"c1", "c2", "c3", "c4", "c5"} {
		r.announce(c, 0, where)
	}
	r.read(h)
	all, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 10})
	if err != nil || len(all) != 4 {
		t.Errorf("%d of the four others are known, %v", len(all), err)
	}
	if n := h.session.Next(); n != 5 {
		t.Errorf("it goes on at %d, want 5", n)
	}
	if lines := strings.Count(said.String(), "\n"); lines != 1 {
		t.Errorf("%d lines in the log:\n%s", lines, said.String())
	}
	for _, part := range []string{"level=ERROR", "projection=recordings", "position=trunkline.calls.v1/0@2", "event_id=e3", "23514"} {
		if !strings.Contains(said.String(), part) {
			t.Errorf("no %s in the log: %s", part, said.String())
		}
	}
}

// Whatever a call says is its list, retention goes on with the next recording.
func TestALongListStopsNoRetention(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	letters := make([]byte, 1950)
	if _, err := rand.Read(letters); err != nil {
		t.Fatal(err)
	}
	r.keptShortly()
	r.listOf = map[string]string{"c1": hex.EncodeToString(letters), "c2": "short"}
	h := r.hub("a", nil)
	r.start(h)
	long, over := r.keep(h, "c1"), r.keep(h, "c2")
	r.set(31 * 24 * 3600)
	if err := h.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if first, second := r.known(h, long), r.known(h, over); first.State != call.CopyStored || second.State != call.CopyDeleted {
		t.Errorf("they are %s and %s", first.State, second.State)
	}
}
