package httpapi_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// logPreviews renders calls by playing the log.
type logPreviews struct{ log *memory.Log }

func (p logPreviews) Preview(_ context.Context, e delivery.Endpoint, events ...event.Recorded) ([]httpapi.Previewed, error) {
	d, _ := dialects.Get(e.Dialect)
	stage := dialects.NewStage()
	var all []httpapi.Previewed
	for _, r := range p.log.Events(event.Calls) {
		if r.Org != e.Org {
			continue
		}
		v, err := stage.Fold(r.Event)
		if err != nil {
			return nil, err
		}
		if !slices.ContainsFunc(events, func(wanted event.Recorded) bool { return wanted.ID == r.ID }) {
			continue
		}
		messages, err := d.Render(v, e)
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if e.Wants(m.Name) {
				all = append(all, httpapi.Previewed{Message: m, Event: r, Version: v.Version, ContentType: d.ContentType()})
			}
		}
	}
	return all, nil
}

func (p logPreviews) Sample(e delivery.Endpoint, name string) (httpapi.Previewed, error) {
	d, _ := dialects.Get(e.Dialect)
	m, err := d.Sample(name, e, noon)
	return httpapi.Previewed{Message: m, Version: 1, ContentType: d.ContentType()}, err
}

func (p logPreviews) Event(_ context.Context, org, id string) (event.Recorded, error) {
	for _, topic := range event.FactTopics() {
		for _, r := range p.log.Events(topic) {
			if r.Org == org && r.ID == id {
				return r, nil
			}
		}
	}
	return event.Recorded{}, projections.ErrNotFound
}

// newStudio is an office that can preview webhooks.
func newStudio(t testing.TB) *office {
	t.Helper()
	return newOffice(t, func(o *office, cfg *httpapi.Config) {
		cfg.Settings.Dialects, cfg.Settings.Previewer = formats{}, logPreviews{o.log}
		cfg.Reads, cfg.Feed = logReads{o.log}, logFeed{o.log}
	})
}

// talk reports a whole call and returns its id.
func (o *office) talk(n int) string {
	o.t.Helper()
	id := o.made(201, "POST", "/v1/calls", `{"direction":"outbound","from":"+14143756757","to":"+15551234567","started_at":"2026-05-14T11:00:00Z"}`)["id"].(string)
	o.made(200, "PATCH", "/v1/calls/"+id, fmt.Sprintf(`{"ended_at":"2026-05-14T11:%02d:00Z","duration_sec":%d,"note":"Note %d"}`, n, 60*n, n))
	return id
}

func TestAnEventAndItsWebhooks(t *testing.T) {
	t.Parallel()
	o := newStudio(t)
	id := o.talk(3)
	var ended event.Recorded
	for _, r := range o.log.Events(event.Calls) {
		if r.Type == "call.ended.v1" {
			ended = r
		}
	}
	if got := o.made(200, "GET", "/v1/events/"+ended.ID, ""); got["type"] != "call.ended.v1" || got["subject"] != id {
		t.Errorf("got %v", got)
	}
	got := o.made(200, "GET", "/v1/events/"+ended.ID+"/webhooks?dialect=dialnote&provider=zapier", "")
	list := got["data"].([]any)
	if len(list) != 1 {
		t.Fatalf("got %v", got)
	}
	one := list[0].(map[string]any)
	body := one["body"].(string)
	delete(one, "body")
	want := map[string]any{
		"id": delivery.ID(ended.ID, "preview", ""), "event_id": ended.ID, "event_type": "call.ended.v1", "entity": id, "sequence": one["sequence"],
		"dialect_event": "call_logs", "content_type": "application/json", "headers": map[string]any{"X-DialNote-Provider": "zapier"},
	}
	if diff := cmp.Diff(want, one); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if !strings.Contains(body, `"type":"call.completed"`) || !strings.Contains(body, `"duration":180`) {
		t.Errorf("got %s", body)
	}
	for query, n := range map[string]int{"dialect=dialnote&events=notes": 0, "dialect=dialnote&events=disabled": 0, "dialect=trunkline&events=call.*": 1, "dialect=dylr": 0} {
		if got := o.made(200, "GET", "/v1/events/"+ended.ID+"/webhooks?"+query, "")["data"].([]any); len(got) != n {
			t.Errorf("%s: %d webhooks, want %d", query, len(got), n)
		}
	}
	other := o.newOrg("Other")
	for _, path := range []string{"/v1/events/none", "/v1/events/none/webhooks?dialect=dylr"} {
		o.refused(o.do("GET", path, ""), 404)
		o.refused(o.do("GET", strings.Replace(path, "none", ended.ID, 1), "", other...), 404)
	}
	for query, pointer := range map[string]string{
		"": "?dialect", "dialect=fax": "?dialect", "dialect=dialnote&events=calls": "?events", "dialect=dialnote&provider=make": "?provider", "dialect=dylr&x=1": "?x",
	} {
		p := o.refused(o.do("GET", "/v1/events/"+ended.ID+"/webhooks?"+query, ""), 400)
		if len(p.Errors) != 1 || p.Errors[0].Pointer != pointer {
			t.Errorf("%q: %+v", query, p)
		}
	}
}

func TestWebhooksAreStreamed(t *testing.T) {
	t.Parallel()
	o := newStudio(t)
	o.talk(1)
	srv := httptest.NewServer(o.handler)
	t.Cleanup(srv.Close)
	s := o.stream(t, srv, "/v1/webhooks/stream?dialect=dialnote&events=call_logs,notes")
	first, second := s.next(), s.next()
	if first.Event != "notes" && second.Event != "notes" || first.Event != "call_logs" && second.Event != "call_logs" {
		t.Errorf("got %+v, %+v", first, second)
	}
	o.advance(time.Second) // the feed's order is that of time, over partitions
	o.talk(2)
	last := s.next()
	again := o.stream(t, srv, "/v1/webhooks/stream?dialect=dialnote&events=call_logs,notes", "Last-Event-ID", second.ID)
	if got := again.next(); got != last {
		t.Errorf("after %s comes %+v, want %+v", second.ID, got, last)
	}
	o.refused(o.do("GET", "/v1/webhooks/stream?dialect=dialnote&events=no", ""), 400)
	o.refused(o.do("GET", "/v1/webhooks/stream?dialect=dialnote&after=nowhere", ""), 400)
}

func TestPreviewsAreNotServedWithoutThem(t *testing.T) {
	t.Parallel()
	o := newOffice(t, nil)
	for _, path := range []string{"/v1/events/x", "/v1/events/x/webhooks?dialect=dylr", "/v1/webhooks/stream?dialect=dylr"} {
		o.refused(o.do("GET", path, ""), http.StatusNotFound)
	}
}

func TestZapierSubscribesAndUnsubscribes(t *testing.T) {
	t.Parallel()
	o := newStudio(t)
	key := fmt.Sprint(o.made(200, "GET", "/v1/zapier-key", "")["key"])
	zapier := []string{"Authorization", "", "X-DIALNOTE-API-KEY", key}
	const hook = `{"target_url":"https://hooks.zapier.com/hooks/standard/1","event":"call_logs"}`
	id := o.made(201, "POST", "/hooks/zapier", hook, zapier...)["id"].(string)
	if again := o.made(201, "POST", "/hooks/zapier", hook, zapier...)["id"]; again != id {
		t.Errorf("the same subscription is %v, then %v", id, again)
	}
	got := o.made(200, "GET", "/v1/webhooks/"+id, "")
	for field, want := range map[string]any{
		"dialect": "dialnote", "provider": "zapier", "rest_hook": true, "enabled": true, "name": "Zapier: call logs", "url": "https://hooks.zapier.com/hooks/standard/1",
	} {
		if got[field] != want {
			t.Errorf("%s is %v, want %v", field, got[field], want)
		}
	}
	t.Run("only with its key", func(t *testing.T) {
		list := o.made(201, "POST", "/v1/lists", `{"name":"L"}`)["api_key"]
		read := o.made(201, "POST", "/v1/api-keys", `{"name":"R","scopes":["read"]}`)["api_key"]
		for _, headers := range [][]string{
			{"Authorization", ""},
			bearer(key),
			{"X-DIALNOTE-API-KEY", ""},
			{"X-DIALNOTE-API-KEY", "x"},
			{"X-DIALNOTE-API-KEY", fmt.Sprint(list)},
			{"X-DIALNOTE-API-KEY", fmt.Sprint(read)},
		} {
			o.refused(o.do("POST", "/hooks/zapier", hook, headers...), 401)
			o.refused(o.do("DELETE", "/hooks/zapier/"+id, "", headers...), 401)
			o.refused(o.do("GET", "/hooks/zapier/samples?event=notes", "", headers...), 401)
		}
	})
	t.Run("wrong ones are refused", func(t *testing.T) {
		for body, pointers := range map[string]string{
			`{}`: "/event /target_url", `{"target_url":"http://hooks.zapier.com/1","event":"notes"}`: "/target_url",
			`{"target_url":"https://10.0.0.1/","event":"notes"}`:                "/target_url",
			`{"target_url":"https://hooks.zapier.com/1","event":"disabled"}`:    "/event",
			`{"target_url":"https://hooks.zapier.com/1","event":"notes","x":1}`: "/x",
		} {
			p := o.refused(o.do("POST", "/hooks/zapier", body, zapier...), 400)
			var at []string
			for _, e := range p.Errors {
				at = append(at, e.Pointer)
			}
			if len(at) == 2 && at[0] > at[1] {
				at[0], at[1] = at[1], at[0]
			}
			if got := strings.Join(at, " "); got != pointers {
				t.Errorf("%s: %s, want %s", body, got, pointers)
			}
		}
	})
	t.Run("no other webhook", func(t *testing.T) {
		own := o.newWebhook(crm)
		o.refused(o.do("DELETE", "/hooks/zapier/"+own, "", zapier...), 404)
		o.refused(o.do("DELETE", "/hooks/zapier/none", "", zapier...), 404)
		other := fmt.Sprint(o.made(200, "GET", "/v1/zapier-key", "", o.newOrg("Other")...)["key"])
		o.refused(o.do("DELETE", "/hooks/zapier/"+id, "", "Authorization", "", "X-DIALNOTE-API-KEY", other), 404)
	})
	o.made(204, "DELETE", "/hooks/zapier/"+id, "", zapier...)
	o.refused(o.do("GET", "/v1/webhooks/"+id, ""), 404)
	t.Run("a 410 ends it", func(t *testing.T) {
		id := o.made(201, "POST", "/hooks/zapier", hook, zapier...)["id"].(string)
		if err := o.service.DisableByHub(t.Context(), id, "3 attempts in a row failed", o.endpoint(id).CountsFrom()); err != nil {
			t.Fatal(err)
		}
		if got := o.made(200, "GET", "/v1/webhooks/"+id, ""); got["enabled"] != false {
			t.Errorf("after failures: %v", got)
		}
		o.made(200, "POST", "/v1/webhooks/"+id+"/enable", "")
		if err := o.service.DisableByHub(t.Context(), id, delivery.ReasonGone, o.endpoint(id).CountsFrom()); err != nil {
			t.Fatal(err)
		}
		o.refused(o.do("GET", "/v1/webhooks/"+id, ""), 404)
		own := o.newWebhook(`{"name":"Zap","url":"https://hooks.zapier.com/1","dialect":"dialnote","events":["notes"],"provider":"zapier"}`)
		if err := o.service.DisableByHub(t.Context(), own, delivery.ReasonGone, o.endpoint(own).CountsFrom()); err != nil {
			t.Fatal(err)
		}
		if got := o.made(200, "GET", "/v1/webhooks/"+own, ""); got["enabled"] != false {
			t.Errorf("what people made is only disabled by a 410: %v", got)
		}
	})
}

func TestZapierSamples(t *testing.T) {
	t.Parallel()
	o := newStudio(t)
	zapier := []string{"Authorization", "", "X-DIALNOTE-API-KEY", fmt.Sprint(o.made(200, "GET", "/v1/zapier-key", "")["key"])}
	samples := func(event string) []string {
		t.Helper()
		got := o.do("GET", "/hooks/zapier/samples?event="+event, "", zapier...)
		if got.Status != 200 {
			t.Fatalf("got %d %s", got.Status, got.Body)
		}
		var list []struct {
			ID, Type string
			Data     struct {
				Body     string
				Duration float64
			}
		}
		if err := json.Unmarshal([]byte(got.Body), &list); err != nil {
			t.Fatal(err)
		}
		var out []string
		seen := make(map[string]bool)
		for _, s := range list {
			if s.ID == "" || seen[s.ID] {
				t.Errorf("no id of its own: %s", got.Body)
			}
			seen[s.ID] = true
			out = append(out, fmt.Sprint(s.Type, " ", s.Data.Body, s.Data.Duration))
		}
		return out
	}
	for event, want := range map[string]string{"call_logs": "call.completed 142", "call_recordings": "recording.completed 142", "notes": "note.created Call back on Friday.0"} {
		if diff := cmp.Diff([]string{want}, samples(event)); diff != "" {
			t.Errorf("made up for %s (-want +got):\n%s", event, diff)
		}
	}
	for n := 1; n <= 5; n++ {
		o.talk(n)
		o.advance(time.Minute)
	}
	if diff := cmp.Diff([]string{"call.completed 300", "call.completed 240", "call.completed 180"}, samples("call_logs")); diff != "" {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"note.created Note 50", "note.created Note 40", "note.created Note 30"}, samples("notes")); diff != "" {
		t.Errorf("the newest first (-want +got):\n%s", diff)
	}
	if got := samples("call_recordings"); len(got) != 1 {
		t.Errorf("made up: %v", got)
	}
	for _, query := range []string{"", "?event=disabled", "?event=call_logs&x=1"} {
		o.refused(o.do("GET", "/hooks/zapier/samples"+query, "", zapier...), 400)
	}
}
