package connectors_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
)

// TestZapierBody is dylr's body, to the byte, with fields at the top that a Zap
// maps without unfolding.
func TestZapierBody(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connector("zapier", map[string]any{"url": "https://hooks.zapier.com/hooks/catch/123456/abcdef/"}, nil, func(e *delivery.Endpoint) {
		e.Mapping = map[string]string{"score": "{lead.custom_fields.Score}"}
	})
	story := r.newStory()
	story.records("rec-1", 10)
	story.ends()
	v := story.happens(call.Dispositioned{Disposition: "Interested"})
	d := r.one(e, v)
	var dylr []delivery.Message
	for _, f := range formats() {
		if f.Name() == "dylr" {
			var err error
			if dylr, err = f.Render(v, e); err != nil {
				t.Fatal(err)
			}
		}
	}
	rest, ok := strings.CutPrefix(string(d.Body), strings.TrimSuffix(string(dylr[0].Body), "}")+",")
	if !ok {
		t.Fatalf("the body does not begin as dylr's: %s", d.Body)
	}
	var extras map[string]any
	if err := json.Unmarshal([]byte("{"+rest), &extras); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"id": "call-1-event-5", "event_name": "call.completed", "call_id": "call-1", "disposition": "Interested", "recording_url": r.recordings.URL + "/10.mp3",
		"lead_name": "John Smith", "lead_phone": "+15551234567", "agent_name": "Jane Agent", "list_name": "Q2 Florida Realtors", "score": 7.0,
	}, extras); diff != "" {
		t.Errorf("extras (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]delivery.Header{{Name: "X-Webhook-Event", Value: "call.completed"}}, d.Headers); diff != "" {
		t.Errorf("headers (-want +got):\n%s", diff)
	}
}

// TestZapierTellsOfLateRecordings if asked to, and of calls that never got a
// disposition; neither is an event of dylr.
func TestZapierTellsOfLateRecordings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := r.connector("zapier", map[string]any{"url": "https://example.com/hook"}, nil, func(e *delivery.Endpoint) { e.Events = []string{"call.completed", "recording.ready"} })
	story := r.newStory()
	if got := r.owed(e, story.ends()); len(got) != 0 {
		t.Fatalf("the end of a call makes %v", got)
	}
	settled := r.one(e, story.happens(call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120}))
	late := r.one(e, story.records("rec-1", 10))
	for want, d := range map[string]delivery.Delivery{"call.completed": settled, "recording.ready": late} {
		var body struct {
			Event     string
			EventName string `json:"event_name"`
			Call      struct {
				Disposition  *string
				RecordingURL *string `json:"recording_url"`
			}
		}
		if err := json.Unmarshal(d.Body, &body); err != nil {
			t.Fatal(err)
		}
		if d.Name != want || body.Event != want || body.EventName != want || body.Call.Disposition != nil || (body.Call.RecordingURL == nil) != (want == "call.completed") {
			t.Errorf("%s is %s", want, d.Body)
		}
	}
	byDefault := r.connector("zapier", map[string]any{"url": "https://example.com/hook"}, nil)
	if diff := cmp.Diff([]string{"call.completed"}, byDefault.Events); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestZapierSettings(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	e := func(config string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "zapier", Config: json.RawMessage(config)}
	}
	r.refuses("no URL", e(`{}`), "/config/url", "required")
	r.refuses("the page of a Zap", e(`{"url":"https://hooks.zapier.com/app/zap/1"}`), "/config/url", "/hooks/catch/")
	r.refuses("a private address", e(`{"url":"https://10.0.0.1/x"}`), "/config/url", "https")
	for _, name := range []string{"lead_name", "call", "1", "a b"} {
		taken := e(`{"url":"https://hooks.zapier.com/hooks/catch/1/a/"}`)
		taken.Mapping = map[string]string{name: "x"}
		r.refuses("a field "+name, taken, "/mapping/"+name, "expected a name")
	}
}

// TestHTTPSSpeaksAnyFormat: what is sent and how it is signed is the format's;
// dylr's, with its ten seconds, if none is chosen.
func TestHTTPSSpeaksAnyFormat(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	plain := r.connector("https", map[string]any{"url": "https://example.com/calls"}, map[string]any{"authorization": "Bearer of-the-customer"})
	if plain.Dialect != "dylr" || plain.URL != "https://example.com/calls" || plain.Headers["Authorization"] != "Bearer of-the-customer" {
		t.Errorf("the connector is %+v", plain)
	}
	for _, f := range formats() {
		config := map[string]any{"url": "https://example.com/calls", "format": f.Name()}
		e := r.connector("https", config, nil, func(e *delivery.Endpoint) {
			if f.Name() == "dialnote" {
				e.Events = f.Events()[:1]
			}
		})
		want := f.Events()
		if f.Name() == "dialnote" {
			want = want[:1]
		}
		if diff := cmp.Diff(want, e.Events); e.Dialect != f.Name() || diff != "" {
			t.Errorf("%s: dialect %s, events (-want +got):\n%s", f.Name(), e.Dialect, diff)
		}
	}
	e := func(config string) delivery.Endpoint {
		return delivery.Endpoint{Connector: "https", Config: json.RawMessage(config)}
	}
	r.refuses("no URL", e(`{}`), "/config/url", "required")
	r.refuses("an unknown format", e(`{"url":"https://example.com","format":"fax"}`), "/config/format", "dialercx")
	odd := e(`{"url":"https://example.com","format":"dialercx"}`)
	odd.Events = []string{"call.completed"}
	r.refuses("another format's event", odd, "/events/0", "call.ended")
	bad := e(`{"url":"https://example.com"}`)
	bad.Credentials = map[string]string{"authorization": "a\r\nb: c"}
	r.refuses("a header with a line break", bad, "/credentials/authorization", "ASCII")
}

func TestReceiversAreReached(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	status := http.StatusMethodNotAllowed
	there := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodHead {
			t.Errorf("a check sent a %s", r.Method)
		}
		w.WriteHeader(status)
	}))
	t.Cleanup(there.Close)
	for _, kind := range []string{"zapier", "https"} {
		if ok, wrong := r.check(r.connector(kind, map[string]any{"url": there.URL}, nil)); !ok {
			t.Errorf("%s: %s", kind, wrong)
		}
		if ok, wrong := r.check(r.connector(kind, map[string]any{"url": "http://127.0.0.1:1/"}, nil)); ok || !strings.Contains(wrong, "connection refused") {
			t.Errorf("%s of nobody: %v %s", kind, ok, wrong)
		}
	}
	status = http.StatusBadGateway
	if ok, wrong := r.check(r.connector("https", map[string]any{"url": there.URL}, nil)); ok || !strings.Contains(wrong, "it answered 502") {
		t.Errorf("a server that is down: %v %s", ok, wrong)
	}
}
