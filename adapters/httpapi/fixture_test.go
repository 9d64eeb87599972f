package httpapi_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The keys that every test has.
const (
	adminKey    = "admin-key"
	readKey     = "read-key"
	listKey     = "list-key"
	expiredKey  = "expired-key"
	otherOrgKey = "other-org-key"
)

var noon = time.Date(2026, 5, 14, 12, 0, 0, 0, time.UTC)

// api is a server on a log in memory, with the fold done on demand.
type api struct {
	t       testing.TB
	log     *memory.Log
	handler http.Handler
	server  *httpapi.Server
	logged  *bytes.Buffer

	mu  sync.Mutex
	now time.Time
}

func (a *api) clock() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.now
}

func (a *api) advance(d time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.now = a.now.Add(d)
}

func newAPI(t testing.TB, change func(*api, *httpapi.Config)) *api {
	t.Helper()
	a := &api{t: t, log: memory.NewLog(4), now: noon, logged: new(bytes.Buffer)}
	recorder, err := commands.NewRecorder(commands.RecorderConfig{
		Log: a.log, Phones: phone.Numbers{}, Known: nobody{}, Clock: a.clock,
		Regions: func(_, list string) string { return map[string]string{"l-de": "DE"}[list] },
	})
	if err != nil {
		t.Fatal(err)
	}
	cfg := httpapi.Config{
		Addr: "127.0.0.1:0", Recorder: recorder, Keys: keys(), OpenAPI: schemas.OpenAPI,
		Idempotency: memory.NewIdempotency(a.clock), Progress: upToDate{}, Versions: folded{a.log}, Verdicts: folded{a.log},
		Clock: a.clock, Logger: slog.New(slog.NewTextHandler(a.logged, nil)),
	}
	if change != nil {
		change(a, &cfg)
	}
	a.server, err = httpapi.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	a.handler = a.server.Handler()
	return a
}

// answer is a response as a test looks at it.
type answer struct {
	Status int
	Header http.Header
	Body   string
}

func (a answer) into(t testing.TB, v any) {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(a.Body))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		t.Fatalf("reading %s: %v", a.Body, err)
	}
}

// do sends a request as the admin unless a header says otherwise, and holds the
// answer to the API description.
func (a *api) do(method, path, body string, headers ...string) answer {
	a.t.Helper()
	r := httptest.NewRequestWithContext(context.Background(), method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Authorization", "Bearer "+adminKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	got := answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
	conforms(a.t, r, body, got)
	return got
}

// problem is an error answer.
type problem struct {
	Type     string                `json:"type"`
	Title    string                `json:"title"`
	Status   int                   `json:"status"`
	Detail   string                `json:"detail"`
	Instance string                `json:"instance"`
	Errors   []commands.FieldError `json:"errors"`
	Code     string                `json:"code"`
	EventIDs []string              `json:"event_ids"`
}

func (a *api) refused(got answer, status int) problem {
	a.t.Helper()
	if got.Status != status || got.Header.Get("Content-Type") != "application/problem+json" {
		a.t.Fatalf("got %d %s %s, want a problem of status %d", got.Status, got.Header.Get("Content-Type"), got.Body, status)
	}
	var p problem
	got.into(a.t, &p)
	if p.Status != status || p.Instance == "" || p.Instance != got.Header.Get("X-Request-Id") {
		a.t.Errorf("the problem says status %d, instance %q; the answer %d, %q", p.Status, p.Instance, status, got.Header.Get("X-Request-Id"))
	}
	return p
}

type keyring map[[32]byte]struct {
	key  tenant.Key
	org  tenant.Org
	list *tenant.List
}

func (k keyring) Key(hash [32]byte) (tenant.Key, tenant.Org, *tenant.List, bool) {
	e, ok := k[hash]
	return e.key, e.org, e.list, ok
}

func keys() keyring {
	org := tenant.Org{ID: "org-1", Secret: []byte("0123456789abcdef0123456789abcdef"), First: true}
	other := tenant.Org{ID: "org-2", Secret: []byte("fedcba9876543210fedcba9876543210")}
	list := tenant.List{ID: "l-de", Org: org.ID, Name: "Berlin", DefaultRegion: "DE"}
	ring := keyring{}
	add := func(text string, org tenant.Org, list *tenant.List, k tenant.Key) {
		k.ID, k.Org, k.Hash = "id-of-"+text, org.ID, sha256.Sum256([]byte(text))
		ring[k.Hash] = struct {
			key  tenant.Key
			org  tenant.Org
			list *tenant.List
		}{k, org, list}
	}
	add(adminKey, org, nil, tenant.Key{Scopes: []tenant.Scope{tenant.ScopeAdmin}})
	add(readKey, org, nil, tenant.Key{Scopes: []tenant.Scope{tenant.ScopeRead}})
	add(listKey, org, &list, tenant.Key{Scopes: []tenant.Scope{tenant.ScopeLeads}, ListID: list.ID})
	add(expiredKey, org, &list, tenant.Key{Scopes: []tenant.Scope{tenant.ScopeAdmin, tenant.ScopeLeads}, ExpiresAt: noon})
	add(otherOrgKey, other, nil, tenant.Key{Scopes: []tenant.Scope{tenant.ScopeWrite}})
	return ring
}

// nobody knows no entity but those of this process.
type nobody struct{}

func (nobody) Subject(context.Context, string, event.Topic, string) (bool, error) { return false, nil }

// upToDate is a read model that is never behind.
type upToDate struct{}

func (upToDate) Wait(ctx context.Context, _ string, _ ...event.Position) error { return ctx.Err() }

// behind is a read model that never gets there.
type behind struct{}

func (behind) Wait(ctx context.Context, _ string, _ ...event.Position) error {
	<-ctx.Done()
	return ctx.Err()
}

// folded answers by folding the log anew: each event once, in log order.
type folded struct{ log *memory.Log }

func (f folded) Versions(_ context.Context, topic event.Topic, ids []string) (map[string]int64, error) {
	versions, bySubject := map[string]int64{}, map[string]int64{}
	for _, e := range f.log.Events(topic) {
		if _, twice := versions[e.ID]; twice {
			continue
		}
		bySubject[e.Org+"/"+e.Subject]++
		versions[e.ID] = bySubject[e.Org+"/"+e.Subject]
	}
	out := map[string]int64{}
	for _, id := range ids {
		if v, ok := versions[id]; ok {
			out[id] = v
		}
	}
	return out, nil
}

func (f folded) Verdict(_ context.Context, org, agentID, eventID string) (agent.Verdict, bool, error) {
	var a agent.Agent
	for _, e := range f.log.Events(event.Agents) {
		if e.Org != org || e.Subject != agentID {
			continue
		}
		if err := catalog.Apply(&a, e); err != nil {
			return "", false, err
		}
		if e.ID == eventID {
			return a.Last, true, nil
		}
	}
	return "", false, nil
}

// lost is a store that cannot be reached.
type lost struct{}

var errLost = errors.New("connection refused")

func (lost) Begin(context.Context, string, string, string, [32]byte) (time.Time, *commands.StoredResponse, error) {
	return time.Time{}, nil, errLost
}

func (lost) Finish(context.Context, string, string, string, commands.StoredResponse) error {
	return errLost
}

func (lost) Abandon(context.Context, string, string, string) error { return errLost }

// drip is a body that breaks off.
type drip struct{ io.Reader }

func (d drip) Read(b []byte) (int, error) {
	n, err := d.Reader.Read(b)
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}
