package httpapi_test

import (
	"context"
	"crypto/sha256"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
	"trunkline.dev/trunkline/projections"
)

// hub is the projections of a hub, as far as an operator sees them: the rules
// of projections.Rebuilder and projections.Parking on values in memory.
type hub struct {
	mu       sync.Mutex
	live     int
	rebuilt  *projections.RebuildStatus
	equal    bool
	parked   []projections.Parked
	skipped  []string
	building int
}

func (h *hub) Status(context.Context) ([]projections.Status, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return []projections.Status{
		{
			Name: "calls", State: projections.StateCatchingUp, Generation: h.live, LagEvents: 3, LagSeconds: 1.5, Parked: int64(len(h.parked)), Err: "host=10.0.0.1 refused",
			Partitions: []projections.PartitionStatus{{Topic: event.Calls, Partition: 1, Next: 5, End: 8}},
		},
		{Name: "leads", State: projections.StateLive, Generation: 1},
	}, nil
}

// rebuilds is the hub as a Rebuilder: the method names of both overlap.
type rebuilds struct{ *hub }

func (h rebuilds) known(name string) error {
	if name != "calls" {
		return fmt.Errorf("%w: %q", projections.ErrUnknownProjection, name)
	}
	return nil
}

func (h rebuilds) Begin(_ context.Context, name string, auto bool) (projections.RebuildStatus, error) {
	if err := h.known(name); err != nil {
		return projections.RebuildStatus{}, err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.building > 0 {
		return projections.RebuildStatus{}, projections.ErrRebuilding
	}
	h.building = h.live + 1
	h.rebuilt = &projections.RebuildStatus{
		Rebuild: projections.Rebuild{Projection: name, Generation: h.building, Stage: projections.StageBuilding, AutoSwitch: auto, StartedAt: noon, ChangedAt: noon},
		Done:    25, Total: 100, EventsPerSec: 50, Left: 1500 * time.Millisecond,
	}
	return *h.rebuilt, nil
}

func (h rebuilds) Status(_ context.Context, name string) (projections.RebuildStatus, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if name != "calls" || h.rebuilt == nil {
		return projections.RebuildStatus{}, projections.ErrNoRebuild
	}
	return *h.rebuilt, nil
}

func (h rebuilds) Diff(context.Context, string) (projections.Comparison, error) {
	if h.building == 0 {
		return projections.Comparison{}, projections.ErrNoRebuild
	}
	b := projections.TableDigest{Table: "calls", Rows: 2, Hash: "ab"}
	c := projections.Comparison{Tables: []projections.TableComparison{{Table: "calls", A: b, B: b}}}
	if !h.equal {
		c.Tables[0].B.Rows, c.Differences = 1, []string{"calls: org-2/c9 is missing"}
	}
	return c, nil
}

func (h rebuilds) end(stage projections.Stage, live int) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.rebuilt == nil {
		return projections.ErrNoRebuild
	}
	h.rebuilt.Stage, h.live, h.building = stage, live, 0
	return nil
}

func (h rebuilds) Switch(_ context.Context, name string) error {
	if h.building == 0 {
		return projections.ErrNoRebuild
	}
	return h.end(projections.StageSwitched, h.building)
}

func (h rebuilds) Rollback(context.Context, string) error {
	return h.end(projections.StageRolled, h.live-1)
}

func (h rebuilds) Drop(context.Context, string) error { return h.end(projections.StageDropped, h.live) }

func (h *hub) List(_ context.Context, name string, after event.Position, limit int) ([]projections.Parked, error) {
	if err := (rebuilds{h}).known(name); err != nil {
		return nil, err
	}
	i := 0
	for i < len(h.parked) && after != (event.Position{}) && h.parked[i].Position.Offset <= after.Offset {
		i++
	}
	return h.parked[i:min(len(h.parked), i+limit)], nil
}

func (h *hub) Retry(_ context.Context, _ string, k projections.Key) (projections.Released, error) {
	r := projections.Released{}
	for _, e := range h.parked {
		if e.Org == k.Org && e.Subject == k.ID {
			r.Parked, r.Reason = r.Parked+1, "still poison"
		}
	}
	if r.Parked == 0 {
		return r, projections.ErrNotParked
	}
	return r, nil
}

func (h *hub) Skip(_ context.Context, _ string, at event.Position, reason, actor string) (projections.Released, error) {
	i := slices.IndexFunc(h.parked, func(e projections.Parked) bool { return e.Position == at })
	if i < 0 {
		return projections.Released{}, fmt.Errorf("%w at %s", projections.ErrNotParked, at)
	}
	h.parked = slices.Delete(h.parked, i, i+1)
	h.skipped = append(h.skipped, at.String()+" "+reason+" "+actor)
	return projections.Released{Applied: 1}, nil
}

func newOperated(t *testing.T) (*api, *hub) {
	t.Helper()
	h := &hub{live: 1}
	return newReading(t, func(cfg *httpapi.Config) { cfg.Projections, cfg.Rebuilder, cfg.Parking = h, rebuilds{h}, h }), h
}

const callsProjection = `"name":"calls","state":"catching_up","lag_events":3,"lag_seconds":1.5,"parked":0,
	"partitions":[{"topic":"trunkline.calls.v1","partition":1,"next":5,"end":8}]`

func TestProjectionsAreListed(t *testing.T) {
	t.Parallel()
	a, _ := newOperated(t)
	position := event.EncodePositions(event.Position{Topic: event.Calls, Partition: 1, Offset: 4})
	leads := `{"name":"leads","state":"live","position":null,"lag_events":0,"lag_seconds":0,"parked":0,"generation":1,"partitions":[],"error":null}`
	a.want("/v1/projections", `{"next_cursor":null,"data":[{`+callsProjection+`,"position":"`+position+`","generation":1,"error":"host=10.0.0.1 refused"},`+leads+`]}`)
	if body := a.do(http.MethodGet, "/v1/projections", "", "Authorization", "Bearer "+readKey).Body; strings.Contains(body, "10.0.0.1") {
		t.Errorf("a reader sees the stores' addresses: %s", body)
	}
	a.refused(a.do(http.MethodGet, "/v1/projections/nothing", ""), http.StatusNotFound)
}

func TestARebuildFromBeginningToRollBack(t *testing.T) {
	t.Parallel()
	a, h := newOperated(t)
	position := event.EncodePositions(event.Position{Topic: event.Calls, Partition: 1, Offset: 4})
	shown := func(generation, rebuild string) string {
		return `{` + callsProjection + `,"position":"` + position + `","generation":` + generation + `,"error":"host=10.0.0.1 refused","rebuild":` + rebuild + `}`
	}
	rebuild := func(stage, how string) string {
		return `{"projection":"calls","generation":2,"stage":"` + stage + `","switch":"` + how + `","detail":null,"started_at":"2026-05-14T12:00:00Z","changed_at":"2026-05-14T12:00:00Z","done":25,"total":100,"rate":50,"eta_seconds":1.5}`
	}
	a.want("/v1/projections/calls", shown("1", "null"))
	a.refused(a.do(http.MethodGet, "/v1/projections/calls/diff", ""), http.StatusNotFound)
	a.refused(a.do(http.MethodPost, "/v1/projections/calls/switch", ""), http.StatusNotFound)
	a.wantPost("/v1/projections/calls/rebuild", `{"switch":"manual"}`, http.StatusAccepted, rebuild("building", "manual"))
	a.refused(a.do(http.MethodPost, "/v1/projections/calls/rebuild", ""), http.StatusConflict)
	a.want("/v1/projections/calls", shown("1", rebuild("building", "manual")))
	a.want("/v1/projections/calls/diff", `{"equal":false,"differences":["calls: org-2/c9 is missing"],"tables":[{"table":"calls","equal":false,"live":{"rows":2,"hash":"ab"},"other":{"rows":1,"hash":"ab"}}]}`)
	h.equal = true
	a.want("/v1/projections/calls/diff", `{"equal":true,"differences":[],"tables":[{"table":"calls","equal":true,"live":{"rows":2,"hash":"ab"},"other":{"rows":2,"hash":"ab"}}]}`)
	a.wantPost("/v1/projections/calls/switch", "", http.StatusOK, shown("2", rebuild("switched", "manual")))
	a.wantPost("/v1/projections/calls/rollback", "", http.StatusOK, shown("1", rebuild("rolled_back", "manual")))
	a.wantPost("/v1/projections/calls/rebuild", "", http.StatusAccepted, rebuild("building", "auto"))
	a.wantPost("/v1/projections/calls/drop", "{}", http.StatusOK, shown("1", rebuild("dropped", "auto")))
}

// wantPost is want for a POST.
func (a *api) wantPost(path, body string, status int, want string) {
	a.t.Helper()
	got := a.do(http.MethodPost, path, body)
	if got.Status != status {
		a.t.Fatalf("POST %s: %d %s", path, got.Status, got.Body)
	}
	if diff := cmp.Diff(asJSON(a.t, want), asJSON(a.t, got.Body)); diff != "" {
		a.t.Errorf("POST %s (-want +got)\n%s", path, diff)
	}
}

func TestParkedEventsAreListedRetriedAndSkipped(t *testing.T) {
	t.Parallel()
	a, h := newOperated(t)
	park := func(offset int64, org, subject, data string, behind bool) string {
		p := event.Position{Topic: event.Calls, Partition: 1, Offset: offset}
		h.parked = append(h.parked, projections.Parked{Reason: "bad", Behind: behind, Recorded: event.Recorded{
			Position: p, Event: event.Event{Envelope: event.Envelope{ID: "e1", Type: "call.ended.v1", Org: org, Subject: subject}, Data: []byte(data)},
		}})
		return p.String()
	}
	first, second, third := park(1, "org-1", "c/1", `{"a":1}`, false), park(2, "org-1", "c/1", `{}`, true), park(3, "", "", "no \xff json", false)
	item := func(position, entity, data, behind string) string {
		return `{"position":"` + position + `","event_id":"e1","type":"call.ended.v1","entity":` + entity + `,"occurred_at":null,"recorded_at":null,"reason":"bad","behind":` + behind + `,"data":` + data + `}`
	}
	a.want("/v1/projections/calls/parked?limit=2", `{"next_cursor":"`+second+`","data":[`+item(first, `"org-1/c/1"`, `{"a":1}`, "false")+`,`+item(second, `"org-1/c/1"`, `{}`, "true")+`]}`)
	a.want("/v1/projections/calls/parked?cursor="+second, `{"next_cursor":null,"data":[`+item(third, `null`, `"no `+"\uFFFD"+` json"`, "false")+`]}`)
	a.wantPost("/v1/projections/calls/parked/retry", `{"entity":"org-1/c/1"}`, http.StatusOK, `{"applied":0,"parked":2,"reason":"still poison"}`)
	a.wantPost("/v1/projections/calls/parked/skip", `{"position":"`+first+`","reason":"a test"}`, http.StatusOK, `{"applied":1,"parked":0,"reason":null}`)
	if diff := cmp.Diff([]string{first + " a test key/id-of-" + adminKey}, h.skipped); diff != "" {
		t.Error(diff)
	}
	for _, tt := range []struct {
		path, body string
		status     int
	}{
		{"/v1/projections/calls/parked/retry", `{"entity":"org-1/c2"}`, http.StatusNotFound},
		{"/v1/projections/calls/parked/retry", `{"entity":"c1"}`, http.StatusBadRequest},
		{"/v1/projections/calls/parked/retry", `{}`, http.StatusBadRequest},
		{"/v1/projections/calls/parked/skip", `{"position":"` + first + `","reason":"again"}`, http.StatusNotFound},
		{"/v1/projections/calls/parked/skip", `{"position":"calls/1@01","reason":"x"}`, http.StatusBadRequest},
		{"/v1/projections/calls/parked/skip", `{"position":"` + first + `"}`, http.StatusBadRequest},
		{"/v1/projections/calls/rebuild", `{"switch":"later"}`, http.StatusBadRequest},
		{"/v1/projections/calls/rebuild", `{"auto":true}`, http.StatusBadRequest},
		{"/v1/projections/calls/switch", `{"force":true}`, http.StatusBadRequest},
		{"/v1/projections/nothing/rebuild", ``, http.StatusNotFound},
	} {
		a.refused(a.do(http.MethodPost, tt.path, tt.body), tt.status)
	}
	a.refused(a.do(http.MethodGet, "/v1/projections/calls/parked?cursor=x", ""), http.StatusBadRequest)
	a.refused(a.do(http.MethodGet, "/v1/projections/nothing/parked", ""), http.StatusNotFound)
}

// The read models hold all orgs: another org's admin must neither see parked
// events of others nor touch what they read.
func TestOnlyTheFirstOrgsAdminOperatesProjections(t *testing.T) {
	t.Parallel()
	h := &hub{live: 1}
	const otherAdmin = "other-admin"
	a := newReading(t, func(cfg *httpapi.Config) {
		cfg.Projections, cfg.Rebuilder, cfg.Parking = h, rebuilds{h}, h
		cfg.Keys = withAdmin(otherAdmin)
	})
	for _, path := range []string{"/diff", "/parked"} {
		a.refused(a.do(http.MethodGet, "/v1/projections/calls"+path, "", "Authorization", "Bearer "+otherAdmin), http.StatusForbidden)
		a.refused(a.do(http.MethodGet, "/v1/projections/calls"+path, "", "Authorization", "Bearer "+readKey), http.StatusForbidden)
	}
	for _, path := range []string{"/rebuild", "/switch", "/rollback", "/drop", "/parked/retry", "/parked/skip"} {
		a.refused(a.do(http.MethodPost, "/v1/projections/calls"+path, "{}", "Authorization", "Bearer "+otherAdmin), http.StatusForbidden)
		a.refused(a.do(http.MethodPost, "/v1/projections/calls"+path, "{}", "Authorization", "Bearer "+readKey), http.StatusForbidden)
	}
	if h.rebuilt != nil {
		t.Error("a refused request began a rebuild")
	}
}

func withAdmin(text string) keyring {
	ring := keys()
	e := ring[sha256.Sum256([]byte(otherOrgKey))]
	e.key.Scopes = []tenant.Scope{tenant.ScopeAdmin}
	ring[sha256.Sum256([]byte(text))] = e
	return ring
}

// gone are the read models and the log while neither can be reached.
type gone struct{ logFeed }

func (gone) Status(context.Context) ([]projections.Status, error) { return nil, errLost }

func (gone) Read(context.Context, string, string, []string, int) ([]event.Recorded, string, error) {
	return nil, "", errLost
}

func (gone) End(context.Context) (string, error) { return "", errLost }

func (gone) Wait(context.Context, string, ...event.Position) error { return errLost }

type goneRebuilds struct{ rebuilds }

func (goneRebuilds) Begin(context.Context, string, bool) (projections.RebuildStatus, error) {
	return projections.RebuildStatus{}, errLost
}

func (goneRebuilds) Diff(context.Context, string) (projections.Comparison, error) {
	return projections.Comparison{}, errLost
}

func (goneRebuilds) Switch(context.Context, string) error { return errLost }

type goneParking struct{ *hub }

func (goneParking) List(context.Context, string, event.Position, int) ([]projections.Parked, error) {
	return nil, errLost
}

// A store that was away was "an unexpected error", with nothing about asking again.
func TestWhatIsAwayIsToBeAskedAgain(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(c *httpapi.Config) {
		c.Projections, c.Rebuilder, c.Parking, c.Feed = gone{}, goneRebuilds{}, goneParking{}, gone{}
	})
	b := newReading(t, func(c *httpapi.Config) { c.Progress = gone{} })
	token := event.EncodePositions(event.Position{Topic: event.Calls, Offset: 1})
	for what, got := range map[string]answer{
		"the read models":       a.do("GET", "/v1/projections", ""),
		"one of them":           a.do("GET", "/v1/projections/calls", ""),
		"a rebuild":             a.do("POST", "/v1/projections/calls/rebuild", ""),
		"a comparison":          a.do("GET", "/v1/projections/calls/diff", ""),
		"a switch":              a.do("POST", "/v1/projections/calls/switch", ""),
		"parked events":         a.do("GET", "/v1/projections/calls/parked", ""),
		"the feed":              a.do("GET", "/v1/events", ""),
		"the feed from now on":  a.do("GET", "/v1/events?after=now", ""),
		"the stream":            a.do("GET", "/v1/events/stream", ""),
		"how far they are":      b.do("GET", "/v1/calls", "", "Trunkline-Min-Position", token),
		"how far, for settings": b.do("GET", "/v1/webhooks", "", "Trunkline-Min-Position", token),
	} {
		if a.refused(got, http.StatusServiceUnavailable); got.Header.Get("Retry-After") == "" {
			t.Errorf("%s: no Retry-After", what)
		}
	}
}
