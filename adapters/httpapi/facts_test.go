package httpapi_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/phone"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

type outcome struct {
	ID     string `json:"id"`
	Events []struct {
		ID      string `json:"id"`
		Type    string `json:"type"`
		Subject string `json:"subject"`
	} `json:"events"`
}

func (o outcome) types() []string {
	var out []string
	for _, e := range o.Events {
		out = append(out, e.Type)
	}
	return out
}

const aCall = `{"direction":"outbound","from":"+14143756757","to":"+15551234567"}`

func (a *api) outcome(method, path, body string, status int) outcome {
	a.t.Helper()
	got := a.do(method, path, body)
	if got.Status != status {
		a.t.Fatalf("%s %s: %d %s, want %d", method, path, got.Status, got.Body, status)
	}
	if ps, err := event.DecodePositions(got.Header.Get("Trunkline-Position")); err != nil || len(ps) == 0 {
		a.t.Errorf("%s %s: position %q: %v", method, path, got.Header.Get("Trunkline-Position"), err)
	}
	var o outcome
	got.into(a.t, &o)
	if status == http.StatusCreated && !strings.HasSuffix(got.Header.Get("Location"), "/"+o.ID) {
		a.t.Errorf("Location %q of %s", got.Header.Get("Location"), o.ID)
	}
	return o
}

func TestACallFromStartToDisposition(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	started := a.outcome("POST", "/v1/calls", aCall, 201)
	updated := a.outcome("PATCH", "/v1/calls/"+started.ID, `{"ended_at":"2026-05-14T12:00:00Z","disposition":"Interested","note":"n","recording":{"url":"https://r.example/1.mp3"}}`, 200)
	want := []string{"call.recording_ready.v1", "call.note_added.v1", "call.ended.v1", "call.dispositioned.v1"}
	if diff := cmp.Diff(want, updated.types()); diff != "" || updated.ID != started.ID {
		t.Errorf("%s: (-want +got)\n%s", updated.ID, diff)
	}
}

func TestAKnownCallKeepsItsID(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	const body = `{"id":"c-1","external_id":"e-1","direction":"inbound","from":"+15551234567","to":"+14143756757"}`
	a.outcome("POST", "/v1/calls", body, 201)
	for _, again := range []string{body, strings.Replace(body, `"id":"c-1",`, "", 1)} {
		if o := a.outcome("POST", "/v1/calls", again, 200); o.ID != "c-1" {
			t.Errorf("%s became %s", again, o.ID)
		}
	}
	if got := a.do("PATCH", "/v1/calls/c-1", `{"note":"x"}`, "Authorization", "Bearer "+otherOrgKey); got.Status != 404 {
		t.Errorf("another org reaches the call: %d", got.Status)
	}
}

// A name in Latin-1, as from an old spreadsheet, was acknowledged and kept with U+FFFD
// where its accents were, for ever.
func TestABodyThatIsNotUTF8IsRefused(t *testing.T) {
	t.Parallel()
	a, o := newAPI(t, nil), newOffice(t, nil)
	for _, tt := range []struct {
		do         func(method, path, body string, headers ...string) answer
		path, body string
		headers    []string
	}{
		{a.do, "/v1/leads", `{"phone":"+15551234567","name":"Jos` + "\xe9" + `"}`, nil},
		{a.do, "/v1/leads", `[{"phone":"+15551234567","Stra` + "\xdf" + `e":"x"}]`, nil},
		{a.do, "/v1/calls", strings.Replace(aCall, `{`, `{"campaign":"`+"\xff"+`",`, 1), nil},
		{a.do, "/v1/events", `{"specversion":"1.0","id":"1","source":"s","type":"call.ended.v1","subject":"c` + "\xe9" + `","data":{}}`, nil},
		{a.do, "/v1/events", `{"status":"` + "\xc3" + `"}`, []string{"Ce-Specversion", "1.0", "Ce-Id", "1", "Ce-Source", "s", "Ce-Type", "call.ended.v1", "Ce-Subject", "c-1"}},
		{o.do, "/v1/lists", `{"name":"Caf` + "\xe9" + `"}`, nil},
	} {
		got := tt.do("POST", tt.path, tt.body, tt.headers...)
		if p := a.refused(got, 400); !strings.Contains(p.Detail, "not UTF-8") {
			t.Errorf("%s %q: %s", tt.path, tt.body, p.Detail)
		}
	}
	for _, topic := range []event.Topic{event.Leads, event.Calls} {
		if n := len(a.log.Events(topic)); n != 0 {
			t.Errorf("%d events on %s", n, topic)
		}
	}
	if got := a.do("POST", "/v1/leads", `{"phone":"+15551234567","name":"José"}`); got.Status != 200 {
		t.Errorf("UTF-8: %d %s", got.Status, got.Body)
	}
}

func TestAgentStates(t *testing.T) {
	t.Parallel()
	type agentAnswer struct {
		ID      string  `json:"id"`
		EventID string  `json:"event_id"`
		Verdict *string `json:"verdict"`
	}
	a := newAPI(t, nil)
	accepted, marked := "accepted", "marked"
	for _, step := range []struct {
		query, state string
		status       int
		verdict      *string
	}{
		{"", "logged_in", 202, nil},
		{"?strict=true", "paused", 200, &accepted},
		{"?strict=true", "logged_in", 409, nil},
		{"", "logged_in", 202, nil},
		{"?strict=1", "logged_out", 200, &accepted},
		{"?strict=false", "paused", 202, nil},
	} {
		got := a.do("POST", "/v1/agents/jane%40x.example/state"+step.query, `{"state":"`+step.state+`"}`)
		if got.Status != step.status {
			t.Fatalf("%+v: %d %s", step, got.Status, got.Body)
		}
		if step.status == 409 {
			a.refused(got, 409)
			continue
		}
		var ans agentAnswer
		got.into(t, &ans)
		if diff := cmp.Diff(step.verdict, ans.Verdict); diff != "" || ans.ID != "jane@x.example" {
			t.Errorf("%+v: %s (-want +got)\n%s", step, ans.ID, diff)
		}
	}
	if n := len(a.log.Events(event.Agents)); n != 6 {
		t.Errorf("%d events: an impossible transition is appended and %s too", n, marked)
	}
	a.refused(a.do("POST", "/v1/agents/jane/state?strict=perhaps", `{"state":"paused"}`), 400)
	slow := newAPI(t, func(_ *api, c *httpapi.Config) {
		c.Progress, c.PositionWait = behind{}, time.Millisecond
	})
	if got := slow.do("POST", "/v1/agents/jane/state?strict=true", `{"state":"paused"}`); got.Status != 202 {
		t.Errorf("a verdict that does not come in time: %d %s", got.Status, got.Body)
	}
}

func TestAlertsMessagesContacts(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	alert := a.outcome("POST", "/v1/alerts", `{"rule":"r","metric":"m","condition":">","threshold":0,"value":0,"severity":"high"}`, 201)
	a.outcome("POST", "/v1/alerts/"+alert.ID+"/acknowledge", `{"note":"seen"}`, 200)
	a.outcome("POST", "/v1/alerts/"+alert.ID+"/resolve", ``, 200)
	const sms = `{"direction":"inbound","type":"SMS","content":"hi","from":"+15551234567","to":"+14143756757","external_id":"s-1"}`
	message := a.outcome("POST", "/v1/messages", sms, 201)
	if again := a.outcome("POST", "/v1/messages", sms, 200); again.ID != message.ID {
		t.Errorf("the same message is %s and %s", message.ID, again.ID)
	}
	contact := a.outcome("POST", "/v1/contacts", `{"external_id":"p-1","first_name":"Ann"}`, 201)
	again := a.outcome("POST", "/v1/contacts", `{"external_id":"p-1","last_name":"Lee"}`, 200)
	if diff := cmp.Diff([]string{"contact.updated.v1"}, again.types()); diff != "" || again.ID != contact.ID {
		t.Errorf("%s: (-want +got)\n%s", again.ID, diff)
	}
	a.outcome("PATCH", "/v1/contacts/"+contact.ID, `{"title":null}`, 200)
}

func TestFactsRefusals(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		method, path, body string
		status             int
		pointers           []string
	}{
		"call: unknown field":            {"POST", "/v1/calls", `{"direction":"inbound","from":"+15551234567","to":"+14143756757","colour":"red"}`, 400, []string{"/colour"}},
		"call: unknown direction":        {"POST", "/v1/calls", `{"direction":"in","from":"+15551234567","to":"+14143756757"}`, 400, []string{"/direction"}},
		"call: no numbers":               {"POST", "/v1/calls", `{"direction":"inbound"}`, 400, []string{"/from", "/to"}},
		"call: wrong type":               {"POST", "/v1/calls", `{"direction":"inbound","from":5,"to":"+14143756757","agent":"jane"}`, 400, []string{"/agent", "/from"}},
		"call: trailing data":            {"POST", "/v1/calls", aCall + aCall, 400, []string{""}},
		"update: never seen":             {"PATCH", "/v1/calls/never", `{"note":"x"}`, 404, nil},
		"update: says nothing":           {"PATCH", "/v1/calls/never", `{}`, 400, []string{""}},
		"update: unknown field":          {"PATCH", "/v1/calls/never", `{"notes":"x"}`, 400, []string{"/notes"}},
		"agent: unknown state":           {"POST", "/v1/agents/jane/state", `{"state":"asleep"}`, 400, []string{"/state"}},
		"agent: an id of control signs":  {"POST", "/v1/agents/a%00b/state", `{"state":"paused"}`, 400, []string{"/subject"}},
		"agent: an id that is not UTF-8": {"POST", "/v1/agents/a%ffb/state", `{"state":"paused"}`, 400, []string{"/subject"}},
		"alert: incomplete":              {"POST", "/v1/alerts", `{"rule":"r"}`, 400, []string{"/threshold", "/value", "/metric", "/condition", "/severity"}},
		"alert: never seen":              {"POST", "/v1/alerts/never/acknowledge", `{}`, 404, nil},
		"alert: never seen, resolved":    {"POST", "/v1/alerts/never/resolve", ``, 404, nil},
		"message: unknown type":          {"POST", "/v1/messages", `{"direction":"inbound","type":"FAX","content":"x","from":"+15551234567","to":"+14143756757"}`, 400, []string{"/type"}},
		"contact: unknown kind":          {"POST", "/v1/contacts", `{"emails":[{"kind":"home","address":"a@b.example"}]}`, 400, []string{"/emails/0/kind"}},
		"contact: unknown inner field":   {"POST", "/v1/contacts", `{"address":{"town":"x"}}`, 400, []string{"/address/town"}},
		"contact: never seen":            {"PATCH", "/v1/contacts/never", `{"note":"x"}`, 404, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, nil)
			p := a.refused(a.do(tc.method, tc.path, tc.body), tc.status)
			var pointers []string
			for _, e := range p.Errors {
				pointers = append(pointers, e.Pointer)
			}
			if diff := cmp.Diff(tc.pointers, pointers); diff != "" {
				t.Errorf("%s (-want +got)\n%s", p.Detail, diff)
			}
			if n := len(a.log.Events(event.Topics()...)); n != 0 {
				t.Errorf("refused, and %d events appended", n)
			}
		})
	}
}

const ceHead = `"specversion":"1.0","source":"/dialer","id":`

func TestCloudEventsModes(t *testing.T) {
	t.Parallel()
	one := `{` + ceHead + `"1","type":"call.note_added.v1","subject":"c-1","time":"2026-05-14T11:00:00Z","traceid":"x","data":{"note":"héllo"}}`
	for name, tc := range map[string]struct {
		body    string
		headers []string
	}{
		"structured":                  {one, []string{"Content-Type", "application/cloudevents+json; charset=utf-8"}},
		"structured, as plain JSON":   {one, nil},
		"batched":                     {"[" + one + "]", []string{"Content-Type", "application/cloudevents-batch+json"}},
		"batched, as plain JSON":      {" [" + one + "]", nil},
		"base64":                      {`{` + ceHead + `"1","type":"call.note_added.v1","subject":"c-1","time":"2026-05-14T11:00:00Z","data_base64":"eyJub3RlIjoiaMOpbGxvIn0="}`, nil},
		"binary":                      {`{"note":"héllo"}`, []string{"ce-specversion", "1.0", "ce-source", "/dialer", "ce-id", "1", "ce-type", "call.note_added.v1", "ce-subject", "c-1", "ce-time", "2026-05-14T11:00:00Z"}},
		"binary, percent-encoded":     {`{"note":"héllo"}`, []string{"ce-specversion", "1.0", "ce-source", "%2Fdialer", "ce-id", "1", "ce-type", "call.note_added.v1", "ce-subject", "c%2d1", "ce-time", "2026-05-14T11:00:00Z"}},
		"binary, without a type body": {`{"note":"héllo"}`, []string{"Content-Type", "", "ce-specversion", "1.0", "ce-source", "/dialer", "ce-id", "1", "ce-type", "call.note_added.v1", "ce-subject", "c-1", "ce-time", "2026-05-14T11:00:00Z"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, nil)
			got := a.do("POST", "/v1/events", tc.body, tc.headers...)
			if got.Status != 200 {
				t.Fatalf("%d %s", got.Status, got.Body)
			}
			a.do("POST", "/v1/events", tc.body, tc.headers...)
			events := a.log.Events(event.Calls)
			if len(events) != 2 || events[0].ID != events[1].ID {
				t.Fatalf("sent twice: %+v", events)
			}
			e := events[0]
			if e.Subject != "c-1" || string(e.Data) != `{"note":"héllo"}` || !e.OccurredAt.Equal(noon.Add(-time.Hour)) {
				t.Errorf("appended %+v %s", e.Envelope, e.Data)
			}
		})
	}
}

func TestCloudEventsRefusals(t *testing.T) {
	t.Parallel()
	event1 := func(attrs string) string { return `{` + ceHead + `"1",` + attrs + `}` }
	note := `"type":"call.note_added.v1","subject":"c-1"`
	for name, tc := range map[string]struct {
		body     string
		headers  []string
		status   int
		pointers []string
	}{
		"not 1.0":             {body: `{"specversion":"0.3","id":"1","source":"s",` + note + `,"data":{"note":"x"}}`, status: 400, pointers: []string{"/specversion"}},
		"no attributes":       {body: `{}`, status: 400, pointers: []string{"/specversion"}},
		"unknown type":        {body: event1(`"type":"call.rang.v1","subject":"c-1","data":{}`), status: 400, pointers: []string{"/type"}},
		"the hub's own":       {body: event1(`"type":"call.settled.v1","subject":"c-1","data":{"waited_for":"disposition","after_sec":1}`), status: 400, pointers: []string{"/type"}},
		"a delivery":          {body: event1(`"type":"delivery.exhausted.v1","subject":"c-1","data":{}`), status: 400, pointers: []string{"/type"}},
		"no subject":          {body: event1(`"type":"call.note_added.v1","data":{"note":"x"}`), status: 400, pointers: []string{"/subject"}},
		"unknown data field":  {body: event1(note + `,"data":{"note":"x","nots":1}`), status: 400, pointers: []string{"/data/nots"}},
		"no data":             {body: event1(note), status: 400, pointers: []string{"/data"}},
		"odd attribute names": {body: event1(note + `,"data":{"note":"x"},"Foo_bar":"x"`), status: 400, pointers: []string{"/Foo_bar"}},
		"attributes of other types": {
			body: `{"specversion":1.0,"id":1,"source":"s",` + note + `,"time":"now","datacontenttype":"text/xml","data":{"note":"x"}}`, status: 400,
			pointers: []string{"/datacontenttype", "/id", "/specversion", "/specversion", "/time"},
		},
		"bad base64":         {body: event1(note + `,"data_base64":"%"`), status: 400, pointers: []string{"/data_base64"}},
		"binary, no id":      {body: `{"note":"x"}`, headers: []string{"ce-specversion", "1.0", "ce-source", "s", "ce-type", "call.note_added.v1", "ce-subject", "c-1"}, status: 400, pointers: []string{"/id"}},
		"binary, bad header": {body: `{"note":"x"}`, headers: []string{"ce-specversion", "2.0", "ce-type", "call.note_added.v1", "ce-time", "now"}, status: 400, pointers: []string{"ce-specversion", "ce-time"}},
		"a batch with one bad event": {
			body: "[" + event1(note+`,"data":{"note":"x"}`) + "," + event1(note+`,"data":{"note":7}`) + ",3]", status: 400, pointers: []string{"/2"},
		},
		"a batch with bad data": {body: "[" + event1(note+`,"data":{"note":"x"}`) + "," + event1(note+`,"data":{"note":7}`) + "]", status: 400, pointers: []string{"/1/data/note"}},
		"an empty batch":        {body: "[]", status: 400, pointers: []string{""}},
		"an object as a batch":  {body: "{}", headers: []string{"Content-Type", "application/cloudevents-batch+json"}, status: 400, pointers: []string{""}},
		"501 events":            {body: "[" + strings.Repeat("{},", 500) + "{}]", status: 413},
		"plain text":            {body: "hi", headers: []string{"Content-Type", "text/plain"}, status: 415},
		"a broken Content-Type": {body: "hi", headers: []string{"Content-Type", ";;"}, status: 415},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAPI(t, nil)
			p := a.refused(a.do("POST", "/v1/events", tc.body, tc.headers...), tc.status)
			var pointers []string
			for _, e := range p.Errors {
				pointers = append(pointers, e.Pointer)
			}
			slices.Sort(pointers)
			if diff := cmp.Diff(tc.pointers, pointers); diff != "" {
				t.Errorf("%s (-want +got)\n%s", p.Detail, diff)
			}
			if n := len(a.log.Events(event.Topics()...)); n != 0 {
				t.Errorf("refused, and %d events appended", n)
			}
		})
	}
}

func TestFiveHundredEvents(t *testing.T) {
	t.Parallel()
	a := newAPI(t, nil)
	var items []string
	for i := range 500 {
		items = append(items, fmt.Sprintf(`{%s"%d","type":"lead.upserted.v1","data":{"phone":"+1555123%04d"}}`, ceHead, i, i))
	}
	got := a.do("POST", "/v1/events", "["+strings.Join(items, ",")+"]")
	if got.Status != 200 || len(a.log.Events(event.Leads)) != 500 {
		t.Errorf("%d, %d appended", got.Status, len(a.log.Events(event.Leads)))
	}
}

// FuzzCloudEvents: whatever the request, the reader refuses it in words or gives
// events that the recorder takes or refuses in words.
func FuzzCloudEvents(f *testing.F) {
	f.Add(`{"specversion":"1.0","id":"1","source":"s","type":"lead.upserted.v1","data":{"phone":"+15551234567"}}`, "application/json", "")
	f.Add(`[{"specversion":"1.0","id":"1","source":"s","type":"call.ended.v1","subject":"c","data":{}}]`, "application/cloudevents-batch+json", "")
	f.Add(`{"note":"x"}`, "", "call.note_added.v1")
	f.Fuzz(func(t *testing.T, body, media, ceType string) {
		h := http.Header{"Content-Type": {media}}
		if ceType != "" {
			h = http.Header{"Ce-Type": {ceType}, "Ce-Specversion": {"1.0"}, "Ce-Id": {"1"}, "Ce-Source": {"s"}, "Ce-Subject": {"c"}}
		}
		inWords := func(err error) bool {
			return errors.As(err, new(*commands.Invalid)) || errors.As(err, new(*httpapi.Problem)) || errors.Is(err, commands.ErrTooMany) || errors.Is(err, commands.ErrTooLarge)
		}
		events, err := httpapi.CloudEvents(h, []byte(body))
		if err != nil {
			if !inWords(err) {
				t.Errorf("refused by %v", err)
			}
			return
		}
		r, err := commands.NewRecorder(commands.RecorderConfig{Log: memory.NewLog(1), Phones: phone.Numbers{}})
		if err != nil {
			t.Fatal(err)
		}
		c := commands.Caller{Org: tenant.Org{ID: "o", Secret: []byte("s")}, Source: "api", Actor: "key/k"}
		if _, err := r.RecordEvents(context.Background(), c, events); err != nil && !inWords(err) {
			t.Errorf("refused by %v", err)
		}
	})
}
