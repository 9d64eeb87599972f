package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/recording"
)

// tape is one stored recording, and what following its link asks for.
type tape struct {
	recordings.Jobs
	recordings.Catalogue
	recordings.Blobs
	recordings.Fetcher
	recordings.Lists
	recordings.Calls
	recordings.Knower
}

const audioOfTape = "0123456789"

func (tape) Recording(_ context.Context, id string) (recording.Recording, error) {
	if id != "rec-1" {
		return recording.Recording{}, recordings.ErrUnknown
	}
	return recording.Recording{ID: id, Org: "org-1", CallID: "call-1", State: call.CopyStored, ContentType: "audio/mpeg", SHA256: "00", Bytes: 10, StoredAt: noon}, nil
}

func (tape) Lives(context.Context, string, time.Time) (time.Time, error) { return time.Time{}, nil }

func (tape) LinkKey(org string) ([]byte, bool) { return []byte("key of " + org), true }

func (tape) Open(context.Context, string) (recordings.Blob, error) {
	return blob{strings.NewReader(audioOfTape)}, nil
}

type blob struct{ *strings.Reader }

func (blob) Close() error { return nil }

// TestALinkToARecordingEndsAfter72Hours follows a link as receivers do, without a
// key, to its last second and after it (seed 000).
func TestALinkToARecordingEndsAfter72Hours(t *testing.T) {
	t.Parallel()
	var library *recordings.Service
	a := newAPI(t, func(a *api, c *httpapi.Config) {
		var shelf tape
		var err error
		library, err = recordings.New(recordings.Config{
			Jobs: shelf, Catalogue: shelf, Blobs: shelf, Fetcher: shelf, Lists: shelf, Calls: shelf, Keys: shelf, Known: shelf,
			Log: memory.NewLog(1), Logger: slog.New(slog.DiscardHandler), Clock: a.clock,
		})
		if err != nil {
			t.Fatal(err)
		}
		c.Recordings = library
	})
	link, ends := library.Link("org-1", "rec-1", noon)
	if !ends.Equal(noon.Add(72 * time.Hour)) {
		t.Errorf("it ends at %s", ends)
	}
	follow := func(header ...string) answer { return a.do("GET", link, "", append(header, "Authorization", "")...) }
	a.advance(72*time.Hour - time.Second)
	if got := follow(); got.Status != http.StatusOK || got.Body != audioOfTape || got.Header.Get("Content-Type") != "audio/mpeg" || got.Header.Get("Accept-Ranges") != "bytes" {
		t.Errorf("in its last second: %+v", got)
	}
	if got := follow("Range", "bytes=2-4"); got.Status != http.StatusPartialContent || got.Body != "234" || got.Header.Get("Content-Range") != fmt.Sprint("bytes 2-4/", len(audioOfTape)) {
		t.Errorf("a range: %+v", got)
	}
	got := follow("Range", "bytes=10-")
	if p := a.refused(got, http.StatusRequestedRangeNotSatisfiable); got.Header.Get("Content-Range") != "bytes */10" || got.Header.Get("ETag") != "" || !strings.Contains(p.Detail, "10 bytes") {
		t.Errorf("a range behind the end: %+v", got)
	}
	a.refused(follow("If-Match", `"other"`), http.StatusPreconditionFailed)
	a.advance(time.Second)
	for _, got := range []answer{follow(), follow("Range", "bytes=2-4")} {
		if p := a.refused(got, http.StatusGone); !strings.Contains(p.Detail, "ended at "+ends.Format(time.RFC3339)) {
			t.Errorf("it says %q", p.Detail)
		}
	}
}

// lostTape is one recording whose fetch was given up.
type lostTape struct {
	tape
	source string
}

func (l lostTape) Recording(ctx context.Context, id string) (recording.Recording, error) {
	r, err := l.tape.Recording(ctx, id)
	r.State, r.URL, r.Announced.RecordedAt = call.CopyFailed, l.source, noon
	return r, err
}

// A link of ours was an open redirect: it led to whatever address a source had
// named, also to one that the outbound guard had refused to fetch it from.
func TestALinkLeadsNowhereThatTheGuardRefuses(t *testing.T) {
	t.Parallel()
	const public, private = "https://public.example/a.mp3", "https://private.example/a.mp3"
	judge := func(_ context.Context, url string) error {
		if url == private {
			return errors.New("private.example leads to 10.0.0.1, which is not a public address")
		}
		return nil
	}
	for name, c := range map[string]struct {
		source string
		judge  func(context.Context, string) error
		status int
	}{
		"a source that may be reached":     {public, judge, http.StatusFound},
		"a source that may not be reached": {private, judge, http.StatusNotFound},
		"without a judge":                  {public, nil, http.StatusNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var library *recordings.Service
			a := newAPI(t, func(a *api, cfg *httpapi.Config) {
				shelf := lostTape{source: c.source}
				var err error
				library, err = recordings.New(recordings.Config{
					Jobs: shelf, Catalogue: shelf, Blobs: shelf, Fetcher: shelf, Lists: shelf, Calls: shelf, Keys: shelf, Known: shelf,
					Log: memory.NewLog(1), Logger: slog.New(slog.DiscardHandler), Clock: a.clock,
				})
				if err != nil {
					t.Fatal(err)
				}
				cfg.Recordings, cfg.Destination = library, c.judge
			})
			link, _ := library.Link("org-1", "rec-1", noon)
			got := a.do("GET", link, "", "Authorization", "")
			if c.status == http.StatusFound {
				if got.Status != c.status || got.Header.Get("Location") != c.source {
					t.Errorf("it answers %+v", got)
				}
				return
			}
			if p := a.refused(got, c.status); got.Header.Get("Location") != "" || strings.Contains(p.Detail, ".example") || strings.Contains(p.Detail, "10.0.0.1") {
				t.Errorf("it tells where: %+v, %q", got.Header, p.Detail)
			}
		})
	}
}

// heldTape counts the facts that are said of it.
type heldTape struct {
	tape
	said *int
}

func (h heldTape) Settle(ctx context.Context, id string, decide func(recordings.Locked) (recordings.Decision, error)) error {
	r, err := h.Recording(ctx, id)
	if err != nil {
		return err
	}
	r.SHA256 = strings.Repeat("0", 64)
	d, err := decide(recordings.Locked{Recording: r})
	*h.said += len(d.Facts)
	return err
}

func (heldTape) Retentions() []recordings.Retention { return nil }

// A hold with a reason that Postgres cannot keep was said in the log, held nothing, and
// was answered with 503 each time.
func TestAReasonThatCannotBeKeptIsRefused(t *testing.T) {
	t.Parallel()
	said := 0
	a := newAPI(t, func(a *api, c *httpapi.Config) {
		shelf := heldTape{said: &said}
		var err error
		c.Recordings, err = recordings.New(recordings.Config{
			Jobs: shelf, Catalogue: shelf, Blobs: shelf, Fetcher: shelf, Lists: shelf, Calls: shelf, Keys: shelf, Known: shelf,
			Log: memory.NewLog(1), Logger: slog.New(slog.DiscardHandler), Clock: a.clock,
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	for _, method := range []string{"POST", "DELETE"} {
		p := a.refused(a.do(method, "/v1/recordings/rec-1/hold", `{"reason":"case\u0000 17"}`), http.StatusBadRequest)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != "/reason" {
			t.Errorf("%s: %+v", method, p)
		}
	}
	if said != 0 {
		t.Errorf("%d facts were said", said)
	}
	if got := a.do("POST", "/v1/recordings/rec-1/hold", `{"reason":"case 17"}`); got.Status != http.StatusOK || said != 1 {
		t.Errorf("another one: %+v", got)
	}
}

// knownTape has each upload already.
type knownTape struct{ tape }

func (k knownTape) Recording(ctx context.Context, _ string) (recording.Recording, error) {
	return k.tape.Recording(ctx, "rec-1")
}

func (knownTape) MustKnowCall(context.Context, commands.Caller, string) error { return nil }

// A client that broke an upload off which it had made before was told that the hub
// cannot store it now, and so was the operator.
func TestARepeatedUploadThatBreaksOffIsTheClients(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(a *api, c *httpapi.Config) {
		var shelf knownTape
		var err error
		c.Recordings, err = recordings.New(recordings.Config{
			Jobs: shelf, Catalogue: shelf, Blobs: shelf, Fetcher: shelf, Lists: shelf, Calls: shelf, Keys: shelf, Known: shelf,
			Log: memory.NewLog(1), Logger: slog.New(slog.DiscardHandler), Clock: a.clock,
		})
		if err != nil {
			t.Fatal(err)
		}
	})
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPut, "/v1/calls/call-1/recording", drip{strings.NewReader(audioOfTape)})
	r.Header.Set("Authorization", "Bearer "+adminKey)
	r.Header.Set("Content-Type", "audio/mpeg")
	r.Header.Set("Idempotency-Key", "k")
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	a.refused(answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}, http.StatusBadRequest)
	if a.logged.Len() > 0 {
		t.Errorf("an operator is told: %s", a.logged)
	}
}
