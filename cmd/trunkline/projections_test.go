package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// scriptedHub answers each "METHOD path" with its answers in turn, the last of
// them again and again, and keeps what it was asked.
type scriptedHub struct {
	answers map[string][]scripted

	mu    sync.Mutex
	asked []string
}

type scripted struct {
	status int
	body   string
}

func (h *scriptedHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	key := r.Method + " " + r.URL.RequestURI()
	var body json.RawMessage
	_ = json.NewDecoder(r.Body).Decode(&body) // none is none
	h.asked = append(h.asked, strings.TrimSpace(key+" "+string(body)))
	if r.Header.Get("Authorization") != "Bearer operator-key" {
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	script := h.answers[key]
	if len(script) == 0 {
		w.WriteHeader(http.StatusNotFound)
		_, _ = w.Write([]byte(`{"title":"Not Found","detail":"nothing at ` + key + `"}`))
		return
	}
	if len(script) > 1 {
		h.answers[key] = script[1:]
	}
	w.WriteHeader(script[0].status)
	_, _ = w.Write([]byte(script[0].body))
}

// command runs a command against a hub that answers as scripted.
func command(t *testing.T, answers map[string][]scripted, args ...string) (code int, out, errs string, asked []string) {
	t.Helper()
	hub := &scriptedHub{answers: answers}
	srv := httptest.NewServer(hub)
	defer srv.Close()
	t.Setenv("TRUNKLINE_HTTP_ADDR", strings.TrimPrefix(srv.URL, "http://"))
	t.Setenv("TRUNKLINE_ADMIN_KEY", "operator-key")
	var stdout, stderr strings.Builder
	code = run(context.Background(), args, streams{&stdout, &stderr})
	return code, stdout.String(), stderr.String(), hub.asked
}

func rebuilding(stage string, done int, detail string) string {
	return fmt.Sprintf(`{"projection":"calls","generation":2,"stage":%q,"switch":"auto","detail":%s,"done":%d,"total":100,"rate":50,"eta_seconds":1.5}`, stage, detail, done)
}

func shownWith(rebuild string) scripted {
	return scripted{200, `{"name":"calls","state":"rebuilding","generation":1,"rebuild":` + rebuild + `}`}
}

func TestProjectionsRebuildWait(t *testing.T) {
	begun := map[string][]scripted{"POST /v1/projections/calls/rebuild": {{202, rebuilding("building", 0, "null")}}}
	for _, tt := range []struct {
		name  string
		polls []scripted
		args  []string
		code  int
		out   string
		err   string
		asks  string
	}{
		{
			name:  "ends well once switched",
			polls: []scripted{shownWith(rebuilding("building", 40, "null")), shownWith(rebuilding("comparing", 100, "null")), shownWith(rebuilding("switched", 0, "null"))},
			out:   "calls: generation 2 is switched\n", asks: `{"switch":"auto"}`,
			err: "calls generation 2: building 40 / 100 events (40 %), 50 events/s, 1.5s left\ncalls generation 2: comparing 100 / 100 events (100 %), 50 events/s, 1.5s left\ncalls generation 2: switched 0 / 100 events (0 %), 50 events/s, 1.5s left\n",
		},
		{
			name:  "fails with the differences",
			polls: []scripted{shownWith(rebuilding("differs", 100, `"calls differs (2 rows live, 1 rows new)"`))},
			code:  1, asks: `{"switch":"auto"}`,
			err: "differs from the live one and was not switched to (see: trunkline projections diff calls): calls differs (2 rows live, 1 rows new)",
		},
		{
			name:  "is content with ready where no switch was asked for",
			polls: []scripted{shownWith(rebuilding("ready", 100, "null"))}, args: []string{"--no-switch"},
			out: "calls: generation 2 is ready\n", asks: `{"switch":"manual"}`, err: "ready 100 / 100",
		},
		{
			name:  "fails when somebody dropped it",
			polls: []scripted{shownWith(rebuilding("dropped", 0, "null"))}, code: 1, asks: `{"switch":"auto"}`,
			err: "the rebuild of calls ended as dropped",
		},
		{
			name:  "fails when another rebuild took its place",
			polls: []scripted{shownWith(strings.Replace(rebuilding("building", 0, "null"), `"generation":2`, `"generation":3`, 1))},
			code:  1, asks: `{"switch":"auto"}`, err: "was replaced by another",
		},
		{
			name:  "outlives a hub that is away for a moment",
			polls: []scripted{{503, `{"title":"Service Unavailable"}`}, shownWith(rebuilding("switched", 0, "null"))},
			out:   "calls: generation 2 is switched\n", asks: `{"switch":"auto"}`, err: "switched",
		},
		{
			name:  "fails when the hub refuses",
			polls: []scripted{{403, `{"title":"Forbidden","detail":"not you"}`}}, code: 1, asks: `{"switch":"auto"}`, err: "the hub answered 403: not you",
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answers := map[string][]scripted{"GET /v1/projections/calls": tt.polls}
			for k, v := range begun {
				answers[k] = v
			}
			code, out, errs, asked := command(t, answers, append([]string{"projections", "rebuild", "calls", "--wait", "--every=1ms"}, tt.args...)...)
			if code != tt.code || out != tt.out || !strings.Contains(errs, tt.err) {
				t.Errorf("exit code %d, out %q, err %q; want %d, %q, %q", code, out, errs, tt.code, tt.out, tt.err)
			}
			if want := "POST /v1/projections/calls/rebuild " + tt.asks; asked[0] != want {
				t.Errorf("asked %q, want %q", asked[0], want)
			}
		})
	}
}

func TestProjectionsCommands(t *testing.T) {
	answers := map[string][]scripted{
		"GET /v1/projections": {{200, `{"data":[{"name":"calls","state":"live","lag_events":2,"lag_seconds":0.25,"parked":1,"generation":3,"error":null},
			{"name":"events","state":"stopped","lag_events":20,"lag_seconds":75.4,"parked":0,"generation":1,"error":"down"}],"next_cursor":null}`}},
		"POST /v1/projections/calls/rebuild":                          {{202, rebuilding("building", 0, "null")}},
		"POST /v1/projections/calls/switch":                           {{200, `{"name":"calls","state":"live","generation":2}`}},
		"POST /v1/projections/calls/rollback":                         {{200, `{"name":"calls","state":"live","generation":1}`}},
		"POST /v1/projections/calls/drop":                             {{409, `{"title":"Conflict","detail":"no"}`}},
		"GET /v1/projections/calls/diff":                              {{200, `{"equal":false,"differences":["c9 is missing"],"tables":[{"table":"calls","equal":false,"live":{"rows":2,"hash":"ab"},"other":{"rows":1,"hash":"cd"}}]}`}},
		"GET /v1/projections/leads/diff":                              {{200, `{"equal":true,"differences":[],"tables":[]}`}},
		"GET /v1/projections/calls/parked?limit=200&cursor=":          {{200, `{"data":[{"position":"t/0@1","entity":"o/c1","type":"call.ended.v1","event_id":"e1","behind":false,"reason":"bad"}],"next_cursor":"t/0@1"}`}},
		"GET /v1/projections/calls/parked?limit=200&cursor=t%2F0%401": {{200, `{"data":[{"position":"t/0@2","entity":null,"type":"","event_id":"","behind":true,"reason":"worse"}],"next_cursor":null}`}},
		"POST /v1/projections/calls/parked/retry":                     {{200, `{"applied":2,"parked":1,"reason":"bad"}`}},
		"POST /v1/projections/calls/parked/skip":                      {{200, `{"applied":0,"parked":0,"reason":null}`}},
	}
	for _, tt := range []struct {
		args string
		code int
		out  string
		err  string
		last string
	}{
		{args: "status", out: "NAME    STATE    LAG  AGE    PARKED  GENERATION  ERROR\ncalls   live     2    300ms  1       3           \nevents  stopped  20   1m15s  0       1           down\n", last: "GET /v1/projections"},
		{args: "rebuild calls", out: "rebuilding calls as generation 2; see: trunkline projections status\n", last: `POST /v1/projections/calls/rebuild {"switch":"auto"}`},
		{args: "rebuild calls --json", out: rebuilding("building", 0, "null") + "\n", last: `POST /v1/projections/calls/rebuild {"switch":"auto"}`},
		{args: "switch calls", out: "calls: generation 2 is live, state live\n", last: "POST /v1/projections/calls/switch"},
		{args: "rollback calls", out: "calls: generation 1 is live, state live\n", last: "POST /v1/projections/calls/rollback"},
		{args: "drop calls", code: 1, err: "trunkline: the hub answered 409: no\n", last: "POST /v1/projections/calls/drop"},
		{args: "diff calls", code: 1, out: "TABLE  LIVE ROWS  OTHER ROWS  LIVE HASH  OTHER HASH  \ncalls  2          1           ab         cd          DIFFERS\nc9 is missing\n", err: "trunkline: the generations differ\n", last: "GET /v1/projections/calls/diff"},
		{args: "diff leads --json", out: `{"equal":true,"differences":[],"tables":[]}` + "\n", last: "GET /v1/projections/leads/diff"},
		{args: "parked calls", out: "POSITION  ENTITY  TYPE           EVENT  BEHIND  REASON\nt/0@1     o/c1    call.ended.v1  e1     false   bad\nt/0@2     –                             true    worse\n", last: "GET /v1/projections/calls/parked?limit=200&cursor=t%2F0%401"},
		{args: "parked calls --retry o/c1", out: "2 applied, 1 stay parked\nbad\nwebhooks are not told of what was parked by this; to tell them: trunkline replay run --webhook '*' --entity c1 --from TIME\n", last: `POST /v1/projections/calls/parked/retry {"entity":"o/c1"}`},
		{args: "parked calls --skip t/0@1 --reason test", out: "0 applied, 0 stay parked\n", last: `POST /v1/projections/calls/parked/skip {"position":"t/0@1","reason":"test"}`},
		{args: "parked calls --skip t/0@1", code: 2, err: "trunkline: usage: --skip needs --reason\n"},
		{args: "rebuild nothing", code: 1, err: "trunkline: the hub answered 404: nothing at POST /v1/projections/nothing/rebuild\n", last: `POST /v1/projections/nothing/rebuild {"switch":"auto"}`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			code, out, errs, asked := command(t, answers, append([]string{"projections"}, strings.Fields(tt.args)...)...)
			last := ""
			if len(asked) > 0 {
				last = asked[len(asked)-1]
			}
			type seen struct {
				Code           int
				Out, Err, Last string
			}
			if diff := cmp.Diff(seen{tt.code, tt.out, tt.err, tt.last}, seen{code, out, errs, last}); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

// A bar must end, whatever became of the rebuild: the command waits for it.
func TestTheProgressBarEnds(t *testing.T) {
	t.Parallel()
	for _, good := range []bool{true, false} {
		var out strings.Builder
		p := barProgress(&out, rebuildState{Projection: "calls"}.progress())
		p.update(rebuildState{Projection: "calls", Stage: "building", Done: 40, Total: 100, Rate: 50}.progress())
		p.update(rebuildState{Projection: "calls", Stage: "comparing", Done: 100, Total: 120}.progress())
		p.end(good)
		if !strings.Contains(out.String(), "calls") {
			t.Errorf("nothing was drawn: %q", out.String())
		}
	}
}
