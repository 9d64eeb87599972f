package recordings_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/blob"
	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	rows "trunkline.dev/trunkline/adapters/postgres/recordings"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

var noon = time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)

func at(second int) time.Time { return noon.Add(time.Duration(second) * time.Second) }

// rig is a database, a log of one partition, a folder of blobs, a source and a
// clock that stands still.
type rig struct {
	t      *testing.T
	pool   *pgxpool.Pool
	log    *memory.Log
	blobs  *blob.Store
	store  recordings.Blobs // what hubs get; nil is blobs
	dir    string
	source *source
	logger *slog.Logger
	now    atomic.Int64 // seconds after noon, by set
	lists  []recordings.Retention
	listOf map[string]string // by call
	offset int
}

func newRig(t *testing.T) *rig {
	t.Helper()
	r := &rig{t: t, log: memory.NewLog(1), dir: t.TempDir(), source: &source{serve: make(map[string]func() ([]byte, error))}, logger: slog.New(slog.DiscardHandler), listOf: make(map[string]string)}
	r.emptyDatabase()
	var err error
	if r.blobs, err = blob.Open(t.Context(), (&url.URL{Scheme: "file", Path: r.dir}).String()); err != nil {
		t.Fatal(err)
	}
	return r
}

// emptyDatabase gives the rig another database, as if the first were lost.
func (r *rig) emptyDatabase() {
	r.t.Helper()
	r.pool = pgtest.OpenAt(r.t, 8, r.clock())
}

func (r *rig) clock() time.Time { return at(int(r.now.Load())) }

// set sets the clocks of the hubs and of the database to so many seconds after noon.
func (r *rig) set(second int) {
	r.t.Helper()
	r.now.Store(int64(second))
	pgtest.SetClock(r.t, r.pool, r.clock())
}

// hub is one process: its rows and its service, which is not started.
type hub struct {
	*recordings.Service
	rows    *rows.Store
	session projections.Session
}

func (r *rig) hub(name string, log commands.Log) *hub {
	r.t.Helper()
	return r.hubAt(name, log, 0)
}

// hubAt is a hub whose machine's clock is so far ahead of the database's.
func (r *rig) hubAt(name string, log commands.Log, ahead time.Duration) *hub {
	r.t.Helper()
	if log == nil {
		log = r.log
	}
	store, err := rows.New(rows.Config{Pool: r.pool, Log: log, Ends: r.log, Logger: r.logger, Owner: name})
	if err != nil {
		r.t.Fatal(err)
	}
	var blobs recordings.Blobs = r.blobs
	if r.store != nil {
		blobs = r.store
	}
	s, err := recordings.New(recordings.Config{
		Jobs: store, Catalogue: store, Blobs: blobs, Fetcher: r.source, Lists: r, Calls: r, Keys: r, Known: r, Log: log, PublicURL: "https://hub.example/",
		Clock: func() time.Time { return r.clock().Add(ahead) }, Logger: slog.New(slog.DiscardHandler), FollowWait: time.Second, PerHost: 2, AtOnce: 4,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return &hub{Service: s, rows: store}
}

// read lets a hub read the log to its end.
func (r *rig) read(h *hub) {
	r.t.Helper()
	if h.session == nil {
		var err error
		if h.session, err = h.rows.Claim(r.t.Context(), event.Calls, 0); err != nil {
			r.t.Fatal(err)
		}
	}
	if rest := r.log.Events(event.Calls)[h.session.Next():]; len(rest) > 0 {
		if err := h.session.Apply(r.t.Context(), rest); err != nil {
			r.t.Fatal(err)
		}
	}
}

// start runs a hub until the test ends, reading as it goes.
func (r *rig) start(h *hub) {
	r.t.Helper()
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Projection: rows.Name, Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{event.Calls},
		Source: r.log, Applier: h.rows, Log: slog.New(slog.DiscardHandler), Now: time.Now, Backoff: time.Millisecond,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := errors.Join(h.Start(r.t.Context()), runner.Start(r.t.Context())); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := errors.Join(runner.Stop(ctx), h.Stop(ctx), h.Stop(ctx)); err != nil {
			r.t.Error(err)
		}
	})
}

func (r *rig) append(callID string, second int, p event.Payload) {
	r.t.Helper()
	r.appendOf("org", callID, second, p)
}

// appendOf appends a fact of an org's call.
func (r *rig) appendOf(org, callID string, second int, p event.Payload) {
	r.t.Helper()
	r.offset++
	e, err := event.New(event.Envelope{
		ID: fmt.Sprint("e", r.offset), Source: "api", Subject: callID, Org: org, CorrelationID: "corr", OccurredAt: at(second), RecordedAt: at(second),
	}, p)
	if err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.log.Append(r.t.Context(), e); err != nil {
		r.t.Fatal(err)
	}
}

// announce tells of a recording r1 of a call.
func (r *rig) announce(callID string, second int, url string) string {
	r.t.Helper()
	r.append(callID, second, call.RecordingReady{Recording: call.Recording{ID: "r1", URL: url, Format: "mp3"}})
	return call.RecordingID("org", callID, "r1")
}

// said are the types of what the hub said in a topic, in log order, each id once.
func (r *rig) said(topic event.Topic) []event.Type {
	var types []event.Type
	seen := make(map[string]bool)
	for _, e := range r.log.Events(topic) {
		if e.Source == "hub" && !seen[e.ID] {
			types = append(types, e.Type)
		}
		seen[e.ID] = true
	}
	return types
}

// payload is what the last event of a type says.
func payload[P event.Payload](r *rig, topic event.Topic) P {
	r.t.Helper()
	var p P
	events := r.log.Events(topic)
	for i := len(events) - 1; i >= 0; i-- {
		if events[i].Type == p.EventType() {
			if err := jsonInto(events[i].Data, &p); err != nil {
				r.t.Fatal(err)
			}
			return p
		}
	}
	r.t.Fatalf("no %s", p.EventType())
	return p
}

// known is what a hub knows of a recording.
func (r *rig) known(h *hub, id string) recording.Recording {
	r.t.Helper()
	rec, err := h.Recording(r.t.Context(), "org", id)
	if err != nil {
		r.t.Fatal(err)
	}
	return rec
}

// files are the names of the blobs there are, half ones too.
func (r *rig) files() []string {
	r.t.Helper()
	names, err := filepath.Glob(filepath.Join(r.dir, "*", "*", "*", "*", "*"))
	if err != nil {
		r.t.Fatal(err)
	}
	return names
}

func (r *rig) eventually(check func() error) {
	r.t.Helper()
	testenv.Eventually(r.t, check)
}

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// The rig is the settings, the read model and the intake of a hub.

func (r *rig) Retentions() []recordings.Retention { return r.lists }

func (r *rig) ListOf(_ context.Context, _, callID string) (string, bool, error) {
	l, ok := r.listOf[callID]
	return l, ok, nil
}

func (r *rig) LinkKey(org string) ([]byte, bool) { return []byte("key of " + org), org == "org" }

func (r *rig) MustKnowCall(_ context.Context, _ commands.Caller, id string) error {
	if id == "unknown" {
		return commands.ErrNotFound
	}
	return nil
}

func (r *rig) caller(key string) commands.Caller {
	return commands.Caller{Org: tenant.Org{ID: "org"}, Actor: "key/1", Source: "api", IdempotencyKey: key, Route: "PUT /x"}
}

// source is a dialer: what it serves by URL, how often it was asked, how many
// requests it has under way.
type source struct {
	mu     sync.Mutex
	serve  map[string]func() ([]byte, error)
	asked  []string
	active map[string]int
	most   map[string]int
}

func (s *source) says(url string, say func() ([]byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.serve[url] = say
}

func (s *source) times(url string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.asked {
		if u == url {
			n++
		}
	}
	return n
}

// all is how often it was asked for anything.
func (s *source) all() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.asked)
}

// Fetch implements recordings.Fetcher.
func (s *source) Fetch(ctx context.Context, o recordings.Offer, open func(string) (io.Writer, error)) error {
	host := recordings.Host(o.URL)
	s.mu.Lock()
	s.asked = append(s.asked, o.URL)
	if s.active == nil {
		s.active, s.most = make(map[string]int), make(map[string]int)
	}
	s.active[host]++
	s.most[host] = max(s.most[host], s.active[host])
	say := s.serve[o.URL]
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.active[host]--
	}()
	if say == nil {
		return &recordings.FetchError{Reason: "404"}
	}
	b, err := say()
	hanging := errors.Is(err, errHang)
	if err != nil && !hanging {
		return err
	}
	w, oerr := open("audio/mpeg")
	if oerr != nil {
		return oerr
	}
	for part := range slices.Chunk(b, 1000) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if _, werr := w.Write(part); werr != nil {
			return werr
		}
	}
	if hanging {
		<-ctx.Done()
		return ctx.Err()
	}
	return nil
}

// errHang makes a source stand still after what it gave.
var errHang = errors.New("hang")

func hangs() ([]byte, error) { return make([]byte, 1500), errHang }
