package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

func TestKeysAndScopes(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	for name, tc := range map[string]struct {
		auth   string
		status int
	}{
		"no key":               {"", 401},
		"an unknown key":       {"Bearer guess", 401},
		"an expired key":       {"Bearer " + expiredKey, 401},
		"another scheme":       {"Basic " + adminKey, 401},
		"the key alone":        {adminKey, 401},
		"a key that may read":  {"Bearer " + readKey, 403},
		"the key of a list":    {"Bearer " + listKey, 403},
		"the admin's key":      {"Bearer " + adminKey, 201},
		"the scheme any case":  {"bearer " + adminKey, 201},
		"a key of another org": {"Bearer " + otherOrgKey, 201},
	} {
		t.Run(name, func(t *testing.T) {
			got := a.do("POST", "/v1/calls", aCall, "Authorization", tc.auth)
			if got.Status != tc.status {
				t.Fatalf("%d %s, want %d", got.Status, got.Body, tc.status)
			}
			if challenge := got.Header.Get("WWW-Authenticate"); (tc.status == 401) != (challenge != "") {
				t.Errorf("WWW-Authenticate %q with %d", challenge, tc.status)
			}
		})
	}
}

func TestUnknownRoutesAreProblems(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	a.refused(a.do("GET", "/v1/nothing", ""), 404)
	a.refused(a.do("GET", "/", ""), 404)
	got := a.do("DELETE", "/v1/alerts/x/resolve", "")
	a.refused(got, 405)
	if got.Header.Get("Allow") != "POST" {
		t.Errorf("Allow: %q", got.Header.Get("Allow"))
	}
}

func TestAProcessMayServeProbesOnly(t *testing.T) {
	t.Parallel()
	a := newReading(t, func(cfg *httpapi.Config) {
		cfg.ProbesOnly = true
		cfg.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "trunkline_build_info 1") })
	})
	for _, path := range []string{"/healthz", "/readyz", "/metrics"} {
		if got := a.do("GET", path, ""); got.Status != 200 {
			t.Errorf("%s: %d %s", path, got.Status, got.Body)
		}
	}
	for _, path := range []string{"/v1/calls/x", "/v1/events/x", "/recordings/x", "/crm/x/contacts", "/v1/nothing"} {
		if got := a.refused(a.do("GET", path, ""), 404); !strings.Contains(got.Detail, "role api") {
			t.Errorf("%s: it does not say why: %s", path, got.Detail)
		}
	}
	a.refused(a.do("PATCH", "/v1/calls/x", `{"note":"n"}`), 404)
	a.refused(a.do("DELETE", "/healthz", ""), 405)
}

func TestRequestIDs(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	a.do("POST", "/v1/calls", aCall, "X-Request-Id", "mine-1", "traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	a.do("POST", "/v1/calls", aCall, "X-Request-Id", "not\tmine", "traceparent", "nonsense")
	var mine int
	for _, e := range a.log.Events(event.Calls) {
		switch {
		case e.CorrelationID == "mine-1" && strings.HasPrefix(e.TraceParent, "00-0af7"):
			mine++
		case e.CorrelationID == "" || strings.Contains(e.CorrelationID, "\t") || e.TraceParent != "":
			t.Errorf("appended %+v", e.Envelope)
		}
	}
	if mine != 1 {
		t.Errorf("%d events carry the client's ids, want 1", mine)
	}
}

// Nobody needs a key to ask, and each question costs every store one.
func TestManyWhoAskForReadinessAreOneQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		answer := make(chan struct{})
		a := newAPI(t, func(_ *api, c *httpapi.Config) {
			c.Readiness = func(ctx context.Context) (bool, []httpapi.Part) {
				asked.Add(1)
				select {
				case <-answer:
				case <-ctx.Done():
				}
				return ctx.Err() == nil, nil
			}
		})
		ask := func(ctx context.Context) int {
			w := httptest.NewRecorder()
			a.handler.ServeHTTP(w, httptest.NewRequestWithContext(ctx, http.MethodGet, "/readyz", nil))
			return w.Code
		}
		first, leave := context.WithCancel(t.Context())
		go ask(first)
		synctest.Wait()
		statuses := make(chan int, 20)
		for range cap(statuses) {
			go func() { statuses <- ask(t.Context()) }()
		}
		synctest.Wait()
		leave() // the others still want to know
		synctest.Wait()
		close(answer)
		for range cap(statuses) {
			if status := <-statuses; status != http.StatusOK {
				t.Errorf("answered %d", status)
			}
		}
		if n := asked.Load(); n != 1 {
			t.Errorf("the stores were asked %d times at once", n)
		}
	})
}

func TestOperations(t *testing.T) {
	t.Parallel()
	down := newAPI(t, func(_ *api, c *httpapi.Config) {
		c.Readiness = func(context.Context) (bool, []httpapi.Part) {
			return false, []httpapi.Part{{Name: "kafka", State: "down", Detail: "connection refused"}}
		}
		c.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") })
	})
	up := newAPI(t, nil)
	for _, tc := range []struct {
		a      *api
		path   string
		status int
		body   string
	}{
		{up, "/healthz", 200, `{"status":"ok"}`},
		{down, "/healthz", 200, `{"status":"ok"}`},
		{up, "/readyz", 200, `{"ready":true,"parts":[]}`},
		{down, "/readyz", 503, `{"ready":false,"parts":[{"name":"kafka","state":"down","detail":"connection refused"}]}`},
		{down, "/metrics", 200, "up 1\n"},
	} {
		got := tc.a.do("GET", tc.path, "", "Authorization", "")
		if got.Status != tc.status || got.Body != tc.body {
			t.Errorf("%s: %d %s", tc.path, got.Status, got.Body)
		}
	}
	up.refused(up.do("GET", "/metrics", ""), 404)
	page := up.do("GET", "/docs", "")
	if page.Status != 200 || !strings.Contains(page.Body, "/openapi.json") || strings.Contains(page.Body, "https://") {
		t.Errorf("the page is %d, or loads something from elsewhere", page.Status)
	}
}

func get(h http.Handler, headers ...string) answer {
	r := httptest.NewRequestWithContext(context.Background(), http.MethodGet, "/test", nil)
	r.Header.Set("Authorization", "Bearer "+readKey)
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}
}

func TestReadsWaitForAPosition(t *testing.T) {
	t.Parallel()
	token := event.EncodePositions(event.Position{Topic: event.Leads, Partition: 3, Offset: 41}, event.Position{Topic: event.Calls, Offset: 7})
	waited := &waiting{}
	a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Progress = waited })
	ok := httpapi.ServeFor(a.server, func(w http.ResponseWriter, _ *http.Request) error { w.WriteHeader(204); return nil }, false)
	if got := get(ok, "Trunkline-Min-Position", token); got.Status != 204 {
		t.Fatalf("%d %s", got.Status, got.Body)
	}
	want := map[string][]event.Position{"leads": {{Topic: event.Leads, Partition: 3, Offset: 41}}, "calls": {{Topic: event.Calls, Offset: 7}}}
	if diff := cmp.Diff(want, waited.seen); diff != "" {
		t.Errorf("waited for (-want +got)\n%s", diff)
	}
	a.refused(get(ok, "Trunkline-Min-Position", "nonsense"), 400)
	slow := newAPI(t, func(_ *api, c *httpapi.Config) { c.Progress, c.PositionWait = behind{}, time.Millisecond })
	never := httpapi.ServeFor(slow.server, func(http.ResponseWriter, *http.Request) error { t.Error("read too early"); return nil }, false)
	slow.refused(get(never, "Trunkline-Min-Position", token), 504)
}

type waiting struct{ seen map[string][]event.Position }

func (w *waiting) Wait(_ context.Context, projection string, ps ...event.Position) error {
	if w.seen == nil {
		w.seen = map[string][]event.Position{}
	}
	w.seen[projection] = append(w.seen[projection], ps...)
	return nil
}

func TestErrorsBecomeProblems(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		err    error
		status int
	}{
		"unexpected":           {fmt.Errorf("secret: the disk is on fire"), 500},
		"not found":            {fmt.Errorf("call x was %w", commands.ErrNotFound), 404},
		"unavailable":          {fmt.Errorf("looking up: %w", commands.ErrUnavailable), 503},
		"an event too large":   {fmt.Errorf("appending: %w", commands.ErrTooLarge), 413},
		"too many items":       {fmt.Errorf("%w: 501", commands.ErrTooMany), 413},
		"took too long":        {context.DeadlineExceeded, 503},
		"outcome unknown":      {&commands.AppendError{EventIDs: []string{"e"}, Err: context.DeadlineExceeded}, 503},
		"a position of others": {event.ErrToken, 400},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, nil)
			got := get(httpapi.ServeFor(a.server, func(http.ResponseWriter, *http.Request) error { return tc.err }, false))
			a.refused(got, tc.status)
			if strings.Contains(got.Body, "secret") {
				t.Errorf("an inner error is shown: %s", got.Body)
			}
			if (tc.status >= 500) != strings.Contains(a.logged.String(), "answering a request") {
				t.Errorf("status %d, logged: %q", tc.status, a.logged)
			}
			if (tc.status == 503) != (got.Header.Get("Retry-After") != "") {
				t.Errorf("Retry-After %q with %d", got.Header.Get("Retry-After"), tc.status)
			}
		})
	}
}

// Each client that lost its patience was an error in the hub's log.
func TestAClientThatLeavesIsNoError(t *testing.T) {
	t.Parallel()
	a := newAPI(t, func(_ *api, c *httpapi.Config) { c.Progress, c.PositionWait = behind{}, time.Hour })
	ctx, leave := context.WithCancel(t.Context())
	leave()
	r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/calls", nil)
	r.Header.Set("Authorization", "Bearer "+readKey)
	r.Header.Set("Trunkline-Min-Position", event.EncodePositions(event.Position{Topic: event.Calls, Offset: 7}))
	a.handler.ServeHTTP(httptest.NewRecorder(), r)
	if a.logged.Len() > 0 {
		t.Errorf("logged: %s", a.logged)
	}
}

func TestAPanicIsAProblem(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	got := get(httpapi.ServeFor(a.server, func(http.ResponseWriter, *http.Request) error { panic("boom") }, false))
	a.refused(got, 500)
	if !strings.Contains(a.logged.String(), "boom") || strings.Contains(got.Body, "boom") {
		t.Errorf("answered %s, logged %q", got.Body, a.logged)
	}
}

func TestABodyThatBreaksOff(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	r := httptest.NewRequestWithContext(context.Background(), http.MethodPost, "/v1/calls", drip{strings.NewReader(`{"direction":`)})
	r.Header.Set("Authorization", "Bearer "+adminKey)
	w := httptest.NewRecorder()
	a.handler.ServeHTTP(w, r)
	a.refused(answer{Status: w.Code, Header: w.Header(), Body: w.Body.String()}, 400)
}

func TestStartAndStop(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a := newAPI(t, nil)
	if err := a.server.Stop(ctx); err != nil {
		t.Fatalf("stopping before the start: %v", err)
	}
	a = newAPI(t, nil)
	for range 2 {
		if err := a.server.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	resp, err := http.Get("http://" + a.server.Addr() + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != 200 {
		t.Errorf("status %d", resp.StatusCode)
	}
	http.DefaultClient.CloseIdleConnections()
	for range 2 {
		if err := a.server.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := net.Dial("tcp", a.server.Addr()); err == nil {
		t.Error("still listening after Stop")
	}
}

// A stream must not keep the server from stopping, nor end at the write
// deadline of ordinary requests.
func TestStopEndsStreams(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	a := newAPI(t, nil)
	streaming := make(chan struct{})
	h := httpapi.ServeFor(a.server, func(w http.ResponseWriter, r *http.Request) error {
		_, _ = io.WriteString(w, "hello\n")
		w.(http.Flusher).Flush()
		close(streaming)
		<-r.Context().Done()
		return nil
	}, true)
	srv := httptest.NewServer(h)
	defer srv.Close()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, srv.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readKey)
	resp, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if line, err := bufio.NewReader(resp.Body).ReadString('\n'); err != nil || line != "hello\n" {
		t.Fatalf("%q %v", line, err)
	}
	<-streaming
	if err := a.server.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Errorf("the stream ended badly: %v", err)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := httpapi.New(httpapi.Config{LeadsPerMinute: -1, VerdictWait: -1})
	if err == nil || strings.Count(err.Error(), "\n") != 4 {
		t.Errorf("got %v", err)
	}
}
