package httpapi_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

func TestTheFeedIsReadByCursor(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	a.record("org-1", "c1", 1, call.Ended{EndedAt: noon, Status: "<busy>"})
	a.record("org-2", "c1", 2, call.Ended{EndedAt: noon})
	a.record("org-1", "a1", 3, agent.LogIn{})
	a.record("org-1", "c1", 4, call.Dispositioned{Disposition: "sale"})
	a.want("/v1/events?limit=1", `{"next_cursor":"1","data":[{
		"specversion":"1.0","id":"e-org-1-c1-1","type":"call.ended.v1","source":"api","subject":"c1","time":"2026-05-14T11:59:01Z",
		"datacontenttype":"application/json","dataschema":"https://trunkline.dev/schemas/events/call.ended.v1.json","org":"org-1","actor":"key/1",
		"recordedtime":"2026-05-14T12:00:01Z","data":{"ended_at":"2026-05-14T12:00:00Z","status":"<busy>"}}]}`)
	for _, tt := range []struct {
		query string
		want  []string
		next  string
	}{
		{"", []string{"e-org-1-c1-1", "e-org-1-a1-3", "e-org-1-c1-4"}, "4"},
		{"after=1", []string{"e-org-1-a1-3", "e-org-1-c1-4"}, "4"},
		{"after=1&limit=1", []string{"e-org-1-a1-3"}, "3"},
		{"after=4", []string{}, "4"},
		{"after=now", []string{}, "4"},
		{"types=call.*", []string{"e-org-1-c1-1", "e-org-1-c1-4"}, "4"},
		{"types=call.ended.v1,agent.logged_in.v1", []string{"e-org-1-c1-1", "e-org-1-a1-3"}, "4"},
		{"types=call.ended.v1&types=agent.*", []string{"e-org-1-c1-1", "e-org-1-a1-3"}, "4"},
		{"types=*", []string{"e-org-1-c1-1", "e-org-1-a1-3", "e-org-1-c1-4"}, "4"},
	} {
		got, next := a.page("/v1/events?" + tt.query)
		if diff := cmp.Diff(tt.want, got); diff != "" || next != tt.next {
			t.Errorf("%q: next %s, want %s (-want +got)\n%s", tt.query, next, tt.next, diff)
		}
	}
}

// frame is one server-sent event.
type frame struct{ ID, Event, Subject string }

// streaming is a stream that is being read.
type streaming struct {
	t    *testing.T
	resp *http.Response
	in   *bufio.Scanner
}

func (a *api) stream(t *testing.T, srv *httptest.Server, path string, headers ...string) *streaming {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	resp, err := srv.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%d %s", resp.StatusCode, resp.Header.Get("Content-Type"))
	}
	return &streaming{t, resp, bufio.NewScanner(resp.Body)}
}

// next reads up to the next frame; comments are skipped.
func (s *streaming) next() frame {
	s.t.Helper()
	var f frame
	for s.in.Scan() {
		name, value, _ := strings.Cut(s.in.Text(), ": ")
		switch name {
		case "id":
			f.ID = value
		case "event":
			f.Event = value
		case "data":
			var e struct{ Subject string }
			if err := json.Unmarshal([]byte(value), &e); err != nil {
				s.t.Fatalf("%v in %s", err, value)
			}
			f.Subject = e.Subject
		case "":
			if f.Event != "" {
				return f
			}
		}
	}
	s.t.Fatalf("the stream ended: %v", s.in.Err())
	return f
}

// toItsEnd reads the data of at most n frames.
func (s *streaming) toItsEnd(n int) []string {
	s.t.Helper()
	var got []string
	for len(got) < n && s.in.Scan() {
		if data, ok := strings.CutPrefix(s.in.Text(), "data: "); ok {
			got = append(got, data)
		}
	}
	if s.in.Err() != nil {
		s.t.Errorf("the stream broke off: %v", s.in.Err())
	}
	return got
}

func serveStream(t *testing.T, a *api) *httptest.Server {
	t.Helper()
	srv := httptest.NewServer(a.handler)
	t.Cleanup(srv.Close)
	t.Cleanup(srv.Client().CloseIdleConnections)
	return srv
}

func TestTheStreamGivesWhatIsThereAndWhatComes(t *testing.T) {
	t.Parallel()
	a := newReading(t, nil)
	srv := serveStream(t, a)
	a.record("org-1", "c1", 1, call.Ended{EndedAt: noon})
	s := a.stream(t, srv, "/v1/events/stream?types=call.*")
	want := []frame{{"1", "call.ended.v1", "c1"}, {"4", "call.dispositioned.v1", "c1"}}
	got := []frame{s.next()}
	a.record("org-1", "a1", 2, agent.LogIn{})
	a.record("org-2", "c1", 3, call.Ended{EndedAt: noon})
	a.record("org-1", "c1", 4, call.Dispositioned{Disposition: "sale"})
	if diff := cmp.Diff(want, append(got, s.next())); diff != "" {
		t.Error(diff)
	}

	// Last-Event-ID wins over the URL, which a browser repeats when it reconnects.
	again := a.stream(t, srv, "/v1/events/stream?after=0", "Last-Event-ID", "1")
	if diff := cmp.Diff([]frame{{"2", "agent.logged_in.v1", "a1"}, {"4", "call.dispositioned.v1", "c1"}}, []frame{again.next(), again.next()}); diff != "" {
		t.Error(diff)
	}

	fresh := a.stream(t, srv, "/v1/events/stream?after=now")
	a.record("org-1", "c1", 5, call.SummaryAdded{Summary: "s"})
	if diff := cmp.Diff(frame{"5", "call.summary_added.v1", "c1"}, fresh.next()); diff != "" {
		t.Error(diff)
	}
}

func TestAQuietStreamSaysThatItLivesAndEndsWhenTheServerDrains(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(cfg *httpapi.Config) { cfg.Heartbeat = time.Millisecond })
	srv := serveStream(t, a)
	s := a.stream(t, srv, "/v1/events/stream")
	beats := 0
	for beats < 2 && s.in.Scan() {
		if s.in.Text() == ": heartbeat" {
			beats++
		}
	}
	if beats < 2 {
		t.Fatalf("the stream ended: %v", s.in.Err())
	}
	if err := a.server.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for s.in.Scan() {
	}
	if s.in.Err() != nil {
		t.Errorf("the stream broke off: %v", s.in.Err())
	}
}

// endings is a keyring whose keys end.
type endings struct {
	keyring
	mu sync.Mutex
}

func (e *endings) Key(hash [32]byte) (tenant.Key, tenant.Org, *tenant.List, bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.keyring.Key(hash)
}

// become changes the key that the tests send; nil revokes it.
func (e *endings) become(change func(*tenant.Key)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	hash := tenant.HashKey(adminKey)
	if change == nil {
		delete(e.keyring, hash)
		return
	}
	is := e.keyring[hash]
	change(&is.key)
	e.keyring[hash] = is
}

func TestAStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	ends := map[string]func(*tenant.Key){
		"revoked":              nil,
		"expired":              func(k *tenant.Key) { k.ExpiresAt = noon },
		"without its scope":    func(k *tenant.Key) { k.Scopes = []tenant.Scope{tenant.ScopeLeads} },
		"as good as it was":    func(k *tenant.Key) { k.Scopes = []tenant.Scope{tenant.ScopeRead} },
		"to expire in an hour": func(k *tenant.Key) { k.ExpiresAt = noon.Add(time.Hour) },
	}
	stays := map[string]bool{"as good as it was": true, "to expire in an hour": true}
	for _, path := range []string{"/v1/events/stream", "/v1/webhooks/stream?dialect=trunkline"} {
		for name, change := range ends {
			t.Run(path+" "+name, func(t *testing.T) {
				t.Parallel()
				ring := &endings{keyring: keys()}
				a := newReading(t, func(cfg *httpapi.Config) {
					cfg.Keys = ring
					cfg.Settings.Dialects, cfg.Settings.Previewer = formats{}, logPreviews(cfg.Feed.(logFeed))
				})
				s := a.stream(t, serveStream(t, a), path)
				a.record("org-1", "c1", 1, call.Ended{EndedAt: noon})
				s.next()
				ring.become(change)
				a.record("org-1", "c2", 2, call.Ended{EndedAt: noon})
				if got := s.toItsEnd(1); (len(got) == 1) != stays[name] {
					t.Errorf("after its key became %s the stream gave %q", name, got)
				}
			})
		}
	}
}

func TestAQuietStreamEndsWithItsKey(t *testing.T) {
	t.Parallel()
	ring := &endings{keyring: keys()}
	a := newReading(t, func(cfg *httpapi.Config) { cfg.Keys, cfg.Heartbeat = ring, time.Millisecond })
	s := a.stream(t, serveStream(t, a), "/v1/events/stream")
	ring.become(func(k *tenant.Key) { k.ExpiresAt = noon.Add(time.Hour) })
	a.advance(time.Hour)
	if got := s.toItsEnd(1); len(got) > 0 {
		t.Errorf("it gave %q", got)
	}
}

// brokenFeed loses the log in the middle of a stream.
type brokenFeed struct{ logFeed }

func (brokenFeed) Follow(context.Context, string, string, []string, func(event.Recorded, string) error) error {
	return errors.New("no leader")
}

func TestAStreamEndsWhenTheLogIsLost(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(cfg *httpapi.Config) { cfg.Feed = brokenFeed{cfg.Feed.(logFeed)} })
	srv := serveStream(t, a)
	s := a.stream(t, srv, "/v1/events/stream")
	for s.in.Scan() {
	}
	if s.in.Err() != nil {
		t.Errorf("the stream broke off: %v", s.in.Err())
	}
	srv.Close() // waits for the handler, which writes the log after the stream
	if !strings.Contains(a.logged.String(), "no leader") {
		t.Error("nobody is told why")
	}
}
