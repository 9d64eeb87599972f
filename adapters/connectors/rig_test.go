package connectors_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

var noon = time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)

// rig is a set of connectors with a memory and a place where recordings are.
type rig struct {
	*connectors.Set
	t     testing.TB
	steps *memory
	// recordings serves /<bytes>.mp3: that many bytes.
	recordings *httptest.Server
	stories    atomic.Int64
}

func newRig(t testing.TB, change ...func(*connectors.Config)) *rig {
	t.Helper()
	r := &rig{t: t, steps: &memory{kept: make(map[string]json.RawMessage)}}
	r.recordings = httptest.NewServer(http.HandlerFunc(serveAudio))
	t.Cleanup(r.recordings.Close)
	cfg := connectors.Config{
		Control: func(string, string, syscall.RawConn) error { return nil }, CheckURL: loopback, Steps: r.steps, Version: "test",
		Clock: time.Now, SpoolDir: t.TempDir(),
	}
	cfg.Formats = formats()
	for _, f := range change {
		f(&cfg)
	}
	var err error
	if r.Set, err = connectors.New(cfg); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// newRigWithClock has a clock that later sets forward.
func newRigWithClock(t testing.TB) (r *rig, later func(time.Duration)) {
	t.Helper()
	var ahead atomic.Int64
	r = newRig(t, func(c *connectors.Config) {
		c.Clock = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
	})
	return r, func(d time.Duration) { ahead.Add(int64(d)) }
}

// formats are the dialects.
func formats() (all []connectors.Format) {
	for _, d := range dialects.All() {
		all = append(all, d)
	}
	return all
}

// loopback is a guard for tests.
func loopback(url string) error {
	if strings.HasPrefix(url, "http://127.0.0.1:") || strings.HasPrefix(url, "https://") && !strings.Contains(url, "//10.") {
		return nil
	}
	return errors.New("must be https")
}

// serveAudio serves as many bytes as the path says; without a length for
// /chunked/.
func serveAudio(w http.ResponseWriter, r *http.Request) {
	var n int64
	if r.URL.Path == "/login" {
		_, _ = io.WriteString(w, "<!DOCTYPE html><html><body>Your session has ended. Please sign in.</body></html>")
		return
	}
	path, chunked := strings.CutPrefix(r.URL.Path, "/chunked")
	if _, err := fmt.Sscanf(path, "/%d.mp3", &n); err != nil {
		http.Error(w, "gone", http.StatusGone)
		return
	}
	w.Header().Set("Content-Type", "audio/mpeg")
	if !chunked {
		w.Header().Set("Content-Length", fmt.Sprint(n))
	}
	_, _ = io.CopyN(w, pattern{}, n)
}

// pattern is audio without end.
type pattern struct{}

func (pattern) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = 'a'
	}
	return len(p), nil
}

// memory is a Steps.
type memory struct {
	mu   sync.Mutex
	kept map[string]json.RawMessage
}

func (m *memory) Get(_ context.Context, org, endpoint, step string) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.kept[org+" "+endpoint+" "+step], nil
}

func (m *memory) Put(_ context.Context, org, endpoint, step string, result json.RawMessage) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.kept[org+" "+endpoint+" "+step] = result
	return nil
}

func (m *memory) Claim(_ context.Context, org, endpoint, step string, result json.RawMessage) (json.RawMessage, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	key := org + " " + endpoint + " " + step
	if had, ok := m.kept[key]; ok {
		return had, nil
	}
	m.kept[key] = result
	return result, nil
}

// forget loses what was done, as a lost database does.
func (m *memory) forget() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.kept)
}

// connector is one that Prepare takes.
func (r *rig) connector(kind string, config, credentials map[string]any, change ...func(*delivery.Endpoint)) delivery.Endpoint {
	r.t.Helper()
	e := delivery.Endpoint{ID: "connector", Org: "org", Name: "a connector", Connector: kind, Enabled: true}
	var err error
	if e.Config, err = json.Marshal(config); err != nil {
		r.t.Fatal(err)
	}
	e.Credentials = make(map[string]string)
	for k, v := range credentials {
		e.Credentials[k] = fmt.Sprint(v)
	}
	for _, f := range change {
		f(&e)
	}
	if err := r.Prepare(&e); err != nil {
		r.t.Fatal(err)
	}
	return e
}

// story is a call that grows event by event, and the views of its events.
type story struct {
	r *rig
	// id is that of the call; events have theirs from it.
	id    string
	call  *call.Call
	lead  *lead.Lead
	list  string
	n     int
	start time.Time
}

// newStory is a call with a known lead that has been answered.
func (r *rig) newStory() *story {
	say := func(s string) *string { return &s }
	s := &story{r: r, id: fmt.Sprint("call-", r.stories.Add(1)), call: &call.Call{}, list: "Q2 Florida Realtors", start: noon}
	s.lead = &lead.Lead{
		ID: "lead-456", Phone: "+15551234567", Name: say("John Smith"), Company: say("Acme <Corp> & Sons"), Title: say("VP Sales"), Email: say("john@acme.com"),
		CustomFields: map[string]json.RawMessage{"Revenue": json.RawMessage(`"$5M"`), "Score": json.RawMessage(`7`)},
	}
	s.happens(call.Started{StartedAt: noon.Add(time.Minute), Direction: "outbound", From: "+14143756757", To: "+15551234567", ListID: "list-1", Agent: &call.Agent{ID: "jane", Name: "Jane Agent", Email: "jane@company.com"}})
	return s
}

// happens folds one more event and returns its view.
func (s *story) happens(p event.Payload) delivery.View {
	s.r.t.Helper()
	s.n++
	at := s.start.Add(time.Duration(s.n) * time.Minute)
	env := event.Envelope{ID: fmt.Sprintf("%s-event-%d", s.id, s.n), Type: p.EventType(), Source: "api", Subject: s.id, Org: "org", OccurredAt: at, RecordedAt: at}
	var before *call.Call
	if s.n > 1 {
		c := *s.call
		before = &c
	}
	if err := s.call.Apply(env, p); err != nil {
		s.r.t.Fatal(err)
	}
	after := *s.call
	return delivery.View{
		Event: event.Recorded{Event: event.Event{Envelope: env}}, Payload: p, Version: int64(s.n), OrgID: "org",
		CallBefore: before, Call: &after, CallLead: s.lead, ListName: s.list,
	}
}

func (s *story) ends() delivery.View {
	seconds := int64(142)
	return s.happens(call.Ended{EndedAt: s.start.Add(time.Hour), DurationSec: &seconds})
}

// records tells of a recording of n bytes, which the hub then holds. The view is
// of that.
func (s *story) records(id string, n int64) delivery.View {
	return s.stores(id, fmt.Sprintf("%s/%d.mp3", s.r.recordings.URL, n))
}

func (s *story) stores(id, url string) delivery.View {
	s.announces(id, url)
	return s.arrives(id)
}

// delays announces a recording whose copy is late.
func (s *story) delays(id string) delivery.View {
	s.announces(id, s.r.recordings.URL+"/10.mp3")
	return s.happens(call.RecordingDelayed{RecordingID: s.recording(id), SourceID: id, AfterSec: 20})
}

// misses tells that the hub has given up fetching a recording that was announced.
func (s *story) misses(id string) delivery.View {
	late := s.call.Copy != nil && s.call.Copy.Delayed
	return s.happens(call.RecordingFetchFailed{RecordingID: s.recording(id), SourceID: id, Attempts: 3, Error: "it answered 404", Delayed: late})
}

// arrives tells that the hub holds a recording that was announced.
func (s *story) arrives(id string) delivery.View {
	late := s.call.Copy != nil && s.call.Copy.Delayed
	return s.happens(call.RecordingStored{RecordingID: s.recording(id), SourceID: id, Format: "mp3", ContentType: "audio/mpeg", Delayed: late})
}

// announces tells of a recording that the hub does not hold yet.
func (s *story) announces(id, url string) delivery.View {
	return s.happens(call.RecordingReady{Recording: call.Recording{ID: id, URL: url, Format: "mp3"}})
}

// recording is the hub's id of a recording.
func (s *story) recording(id string) string { return call.RecordingID("org", s.id, id) }

// owed are the deliveries of a view to a connector.
func (r *rig) owed(e delivery.Endpoint, v delivery.View) []delivery.Delivery {
	r.t.Helper()
	for _, k := range r.Rendered() {
		if k.Name() != e.Dialect {
			continue
		}
		msgs, err := k.Render(v, e)
		if err != nil {
			r.t.Fatal(err)
		}
		var out []delivery.Delivery
		for _, m := range msgs {
			if e.Wants(m.Name) {
				out = append(out, delivery.Delivery{ID: delivery.ID(v.Event.ID, e.ID, m.Part), Org: e.Org, EndpointID: e.ID, Sequence: v.Version, Name: m.Name, Headers: m.Headers, Body: m.Body})
			}
		}
		return out
	}
	r.t.Fatalf("nothing renders %s", e.Dialect)
	return nil
}

// one is the only delivery of a view.
func (r *rig) one(e delivery.Endpoint, v delivery.View) delivery.Delivery {
	r.t.Helper()
	all := r.owed(e, v)
	if len(all) != 1 {
		r.t.Fatalf("%s makes %d deliveries", v.Event.Type, len(all))
	}
	return all[0]
}

// outcome is an outcome with its steps read.
type outcome struct {
	connectors.Outcome
	Log []struct {
		Step, Result, Error, Hint string
		Requests                  []struct {
			Method, URL               string
			Status                    int
			RequestBody, ResponseBody string
		}
	}
}

// deliverAtOnce delivers all at the same time; each must succeed.
func (r *rig) deliverAtOnce(e delivery.Endpoint, all []delivery.Delivery) {
	r.t.Helper()
	var wg sync.WaitGroup
	for _, d := range all {
		wg.Go(func() {
			if o := r.deliver(e, d); o.Error != "" {
				r.t.Errorf("%d %s", o.StatusCode, o.Error)
			}
		})
	}
	wg.Wait()
}

func (r *rig) deliver(e delivery.Endpoint, d delivery.Delivery) outcome {
	r.t.Helper()
	o := outcome{Outcome: r.Deliver(r.t.Context(), e, d)}
	for name, secret := range e.Credentials {
		if strings.Contains(string(o.Steps), secret) || strings.Contains(o.Error, secret) {
			r.t.Errorf("the log shows the %s: %s", name, o.Steps)
		}
	}
	for _, token := range []string{"!session-", "ya29.", "assertion=", "secret-of-the-upload"} {
		if strings.Contains(string(o.Steps), token) {
			r.t.Errorf("the log shows a token, %s: %s", token, o.Steps)
		}
	}
	if len(o.Steps) > 64<<10 {
		r.t.Errorf("the log has %d bytes", len(o.Steps))
	}
	var log struct{ Steps json.RawMessage }
	if err := json.Unmarshal(o.Steps, &log); err != nil {
		r.t.Fatalf("reading the log: %v: %s", err, o.Steps)
	}
	if err := json.Unmarshal(log.Steps, &o.Log); err != nil {
		r.t.Fatal(err)
	}
	return o
}

// succeeds delivers what a view makes.
func (r *rig) succeeds(e delivery.Endpoint, v delivery.View) outcome {
	r.t.Helper()
	o := r.deliver(e, r.one(e, v))
	if o.Error != "" || o.StatusCode != http.StatusOK {
		r.t.Fatalf("the attempt failed: %d %s\n%s", o.StatusCode, o.Error, o.Steps)
	}
	return o
}

// fails delivers what a view makes, and wants a failure in words.
func (r *rig) fails(e delivery.Endpoint, v delivery.View, status int, words ...string) outcome {
	r.t.Helper()
	o := r.deliver(e, r.one(e, v))
	if o.Error == "" || o.StatusCode != status {
		r.t.Fatalf("the attempt ended with %d %q, want %d\n%s", o.StatusCode, o.Error, status, o.Steps)
	}
	for _, w := range words {
		if !strings.Contains(o.Error, w) {
			r.t.Errorf("%q does not say %q", o.Error, w)
		}
	}
	return o
}

// result is what a step of the log says.
func (o outcome) result(step string) string {
	for _, s := range o.Log {
		if s.Step == step {
			return s.Result + s.Error
		}
	}
	return "(no such step)"
}

// check runs the set-up check; what is wrong is what the failed step says, with
// its hint.
func (r *rig) check(e delivery.Endpoint) (ok bool, wrong string) {
	r.t.Helper()
	report := r.Check(r.t.Context(), e)
	for _, s := range report.Steps {
		for name, secret := range e.Credentials {
			if strings.Contains(s.Detail+s.Hint, secret) {
				r.t.Errorf("the check shows the %s: %s %s", name, s.Detail, s.Hint)
			}
		}
		if !s.OK {
			wrong += s.Name + ": " + s.Detail + ". " + s.Hint + "\n"
		}
	}
	return report.OK, wrong
}

// refuses wants settings to be refused at a place.
func (r *rig) refuses(name string, e delivery.Endpoint, pointer, words string) {
	r.t.Helper()
	err := r.Prepare(&e)
	if err == nil {
		r.t.Errorf("%s: was taken", name)
		return
	}
	if !strings.Contains(err.Error(), pointer+": ") || !strings.Contains(err.Error(), words) {
		r.t.Errorf("%s: %q does not say %q at %s", name, err, words, pointer)
	}
}

// complains fails for rules that were broken.
func complains(t testing.TB, complaints []string) {
	t.Helper()
	for _, c := range complaints {
		t.Errorf("the other system complains: %s", c)
	}
}
