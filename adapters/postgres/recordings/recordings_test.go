package recordings_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	rows "trunkline.dev/trunkline/adapters/postgres/recordings"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func jsonInto(b []byte, v any) error { return json.Unmarshal(b, v) }

const where = "https://dialer.example/1.mp3"

var audio = bytes.Repeat([]byte("0123456789"), 5000)

func TestWhatIsAnnouncedIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.source.says(where, func() ([]byte, error) { return audio, nil })
	h := r.hub("a", nil)
	r.start(h)
	id := r.announce("c1", 0, where)
	r.set(1)
	r.eventually(func() error {
		if rec, err := h.Recording(t.Context(), "org", id); err != nil || rec.State != call.CopyStored {
			return fmt.Errorf("%+v, %w", rec, err)
		}
		return nil
	})
	got := payload[call.RecordingStored](r, event.Calls)
	want := call.RecordingStored{
		RecordingID: id, SourceID: "r1", Key: got.Key, SHA256: sha(audio), Bytes: int64(len(audio)), ContentType: "audio/mpeg", Format: "mp3", Attempts: 1, StoredAt: at(1),
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the fact (-want +got):\n%s", diff)
	}
	a, err := h.Open(t.Context(), "org", id)
	if err != nil {
		t.Fatal(err)
	}
	defer a.Close()
	if b, err := io.ReadAll(a); err != nil || !bytes.Equal(b, audio) || a.Size != int64(len(audio)) || a.SHA256 != sha(audio) || a.ContentType != "audio/mpeg" {
		t.Errorf("opened %d bytes, %+v, %v", len(b), a, err)
	}
	if _, err := h.Open(t.Context(), "another org", id); !errors.Is(err, recordings.ErrUnknown) {
		t.Errorf("another org: %v", err)
	}
	r.eventually(func() error { // the fact came back: nothing of the work is left
		var uploads int
		if err := r.pool.QueryRow(t.Context(), `SELECT count(*) FROM recording_uploads`).Scan(&uploads); err != nil || uploads != 0 {
			return fmt.Errorf("%d uploads, %w", uploads, err)
		}
		return nil
	})
}

func TestUploads(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	up := recordings.Upload{CallID: "c1", ContentType: "audio/x-wav", Body: bytes.NewReader(audio)}
	got, err := h.Upload(t.Context(), r.caller("k"), up)
	if err != nil {
		t.Fatal(err)
	}
	r.read(h)
	rec := r.known(h, got.Recording.ID)
	if rec.State != call.CopyStored || rec.SHA256 != sha(audio) || rec.ContentType != "audio/x-wav" || rec.URL != "" || !rec.Due.IsZero() {
		t.Errorf("it is %+v", rec)
	}
	up.Body = bytes.NewReader(audio)
	if again, err := h.Upload(t.Context(), r.caller("k"), up); err != nil || !again.Known || again.Recording.ID != got.Recording.ID {
		t.Errorf("again: %+v, %v", again, err)
	}
	before := len(r.files())
	for what, c := range map[string]struct {
		key  string
		in   recordings.Upload
		want error
	}{
		"other bytes":     {"k", recordings.Upload{CallID: "c1", ContentType: "audio/wav", Body: bytes.NewReader(audio[1:])}, recordings.ErrOtherBody},
		"an unknown call": {"", recordings.Upload{CallID: "unknown", ContentType: "audio/wav", Body: bytes.NewReader(audio)}, commands.ErrNotFound},
		"a page":          {"", recordings.Upload{CallID: "c1", ContentType: "text/html", Body: bytes.NewReader(audio)}, recordings.ErrNotAudio},
		"a broken body":   {"", recordings.Upload{CallID: "c1", ContentType: "audio/wav", Body: io.MultiReader(bytes.NewReader(audio), broken{})}, io.ErrUnexpectedEOF},
	} {
		if _, err := h.Upload(t.Context(), r.caller(c.key), c.in); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", what, err, c.want)
		}
	}
	if after := len(r.files()); after != before {
		t.Errorf("%d blobs were left behind", after-before)
	}
	if n := len(r.log.Events(event.Calls)); n != 2 {
		t.Errorf("%d events, want the two of the upload", n)
	}
}

type broken struct{}

func (broken) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

func TestRecordingsAreListed(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("a", nil)
	var want []string
	for i := range 5 {
		want = append([]string{r.announce(fmt.Sprint("c", i), i, fmt.Sprint("https://a.example/", i))}, want...)
	}
	r.read(h)
	var got []string
	for cursor := ""; ; {
		page, next, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 2, Cursor: cursor})
		if err != nil {
			t.Fatal(err)
		}
		for _, rec := range page {
			got = append(got, rec.ID)
		}
		if cursor = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
	one, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", CallID: "c3", State: call.CopyPending, Limit: 10})
	if err != nil || len(one) != 1 || one[0].CallID != "c3" {
		t.Errorf("of one call: %+v, %v", one, err)
	}
	if none, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "other", Limit: 10}); err != nil || len(none) != 0 {
		t.Errorf("of another org: %+v, %v", none, err)
	}
	if _, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 10, Cursor: "x"}); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("a made-up cursor: %v", err)
	}
	// What Postgres does not take was an error of the store: ask again, for ever.
	unkept := base64.RawURLEncoding.EncodeToString([]byte(`{"a":"2026-05-14T12:00:00Z","i":"\u0000"}`))
	if _, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", Limit: 10, Cursor: unkept}); !errors.Is(err, projections.ErrCursor) {
		t.Errorf("a made-up cursor with U+0000: %v", err)
	}
	for _, id := range []string{"c3\x00", "\xff"} {
		if none, _, err := h.Recordings(t.Context(), recordings.Filter{Org: "org", CallID: id, Limit: 10}); err != nil || len(none) != 0 {
			t.Errorf("of a call %q, which there cannot be: %+v, %v", id, none, err)
		}
	}
	if err := h.Await(t.Context(), event.Position{Topic: event.Calls, Offset: 4}); err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if err := h.Await(ctx, event.Position{Topic: event.Calls, Offset: 5}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("awaiting what is not there: %v", err)
	}
}

func TestAConfigMustBeWhole(t *testing.T) {
	t.Parallel()
	if _, err := rows.New(rows.Config{Patience: -1}); err == nil {
		t.Error("rows without anything were made")
	}
	if _, err := recordings.New(recordings.Config{AtOnce: -1}); err == nil {
		t.Error("a service without anything was made")
	}
}
