package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// endpoint makes a webhook, for as long as the test runs, and returns its id and
// secret.
func endpoint(t *testing.T, admin caller, settings object) (id, secret string) {
	t.Helper()
	if settings["name"] == nil {
		settings["name"] = t.Name()[max(0, len(t.Name())-100):]
	}
	made := admin.post("/v1/webhooks", settings).want(http.StatusCreated)
	id = made.text("id")
	t.Cleanup(func() {
		// The test may have deleted it, or ended the hub.
		_, _ = admin.try(http.MethodDelete, "/v1/webhooks/"+id, nil)
	})
	return id, made.text("secret")
}

// occurred is when the event of a type happened, as the history of a call has
// it and JavaScript would write it: to the millisecond.
func occurred(t *testing.T, admin caller, write answer, call, typ string) string {
	t.Helper()
	var past struct {
		Data []struct {
			Type       string    `json:"type"`
			OccurredAt time.Time `json:"occurred_at"`
		} `json:"data"`
	}
	admin.after(write, "/v1/calls/"+call+"/history").want(http.StatusOK).into(&past)
	for _, e := range past.Data {
		if e.Type == typ {
			if e.OccurredAt.Nanosecond() < int(time.Millisecond) {
				return e.OccurredAt.Format("2006-01-02T15:04:05Z")
			}
			return e.OccurredAt.Format("2006-01-02T15:04:05.000Z")
		}
	}
	t.Fatalf("call %s has no %s", call, typ)
	return ""
}

// checkStandard verifies a request with the public library of Standard Webhooks
// and looks at the headers that every webhook has.
func checkStandard(t *testing.T, r received, secret, eventType string) {
	t.Helper()
	verifier, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	header := make(http.Header)
	for _, h := range r.header {
		header.Add(h[0], h[1])
	}
	if err := verifier.Verify([]byte(r.body), header); err != nil {
		t.Errorf("the library of Standard Webhooks says: %v", err)
	}
	for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature", "trunkline-event-type", "trunkline-sequence"} {
		if r.wire(name) == "" {
			t.Errorf("no header %s on the wire: %v", name, r.header)
		}
	}
	if got := r.wire("trunkline-event-type"); got != eventType {
		t.Errorf("trunkline-event-type is %q, want %q", got, eventType)
	}
	if got := r.wire("User-Agent"); !strings.HasPrefix(got, "Trunkline/") {
		t.Errorf("User-Agent is %q", got)
	}
}

func dylrWebhook(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	listID, send := newList(t, h, admin, object{"name": "Q2 Florida Realtors", "webhook_url": customer.url("/list")})
	otherList, _ := newList(t, h, admin, object{"name": "Another"})
	_, secret := endpoint(t, admin, object{"dialect": "dylr", "url": customer.url("/explicit"), "events": list{"call.completed"}, "list_id": listID})
	endpoint(t, admin, object{"dialect": "dylr", "url": customer.url("/other"), "events": list{"call.completed"}, "list_id": otherList})
	endpoint(t, admin, object{"dialect": "dylr", "url": customer.url("/all"), "events": list{"call.completed"}, "ids": "source"})

	// The lead is acknowledged before the call: the webhook carries it.
	lead := send(object{
		"phone": "+15551234567", "name": "John Smith", "company": "Acme Corp", "title": "VP Sales", "email": "john@acme.com", "city": "Miami",
		"state": "FL", "custom_fields": object{"Revenue": "$5M", "Industry": "SaaS & <more>"},
	}).want(http.StatusOK)
	id := admin.post("/v1/calls", object{
		"external_id": "their-call-1", "direction": "outbound", "from": "+14143756757", "to": "+15551234567", "started_at": moment(0), "list_id": listID,
		"agent": object{"name": "Jane Agent", "email": "jane@company.com"},
	}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"note": "One"}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{
		"ended_at": moment(142 * time.Second), "summary": "A talk.", "transcript": "Rep: Hello, this is Jane.<br>",
		"recording": object{"url": "https://recordings.example.com/a.mp3?x=1&y=2"},
	}).want(http.StatusOK)
	disposed := admin.patch("/v1/calls/"+id, object{"disposition": "Interested"}).want(http.StatusOK)
	explicit := customer.wait("/explicit", 1)[0]
	want := fmt.Sprintf(`{"event":"call.completed","timestamp":%q,`+
		`"call":{"id":%q,"disposition":"Interested","duration_sec":142,"from_number":"+14143756757","to_number":"+15551234567",`+
		`"started_at":%q,"ended_at":%q,"notes":"One","recording_url":%q,`+
		`"transcript":"Rep: Hello, this is Jane.<br>","summary":"A talk."},`+
		`"lead":{"id":%q,"name":"John Smith","phone":"+15551234567","company":"Acme Corp","title":"VP Sales","email":"john@acme.com","city":"Miami","state":"FL",`+
		`"custom_fields":{"Industry":"SaaS & <more>","Revenue":"$5M"}},`+
		`"agent":{"name":"Jane Agent","email":"jane@company.com"},"list":"Q2 Florida Realtors"}`,
		occurred(t, admin, disposed, id, "call.dispositioned.v1"), id, moment(0), moment(142*time.Second), ourLink(t, h, explicit.body, "call", "recording_url"),
		lead.text("leads", 0, "id"))
	if diff := cmp.Diff(inOrder(t, want), inOrder(t, explicit.body)); diff != "" {
		t.Errorf("the webhook of the call (-want +got):\n%s", diff)
	}
	if got := explicit.wire("X-Webhook-Event"); got != "call.completed" {
		t.Errorf("X-Webhook-Event on the wire is %q: %v", got, explicit.header)
	}
	if got := explicit.wire("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type is %q", got)
	}
	checkStandard(t, explicit, secret, "call.dispositioned.v1")
	if got := customer.wait("/list", 1)[0]; got.body != explicit.body {
		t.Errorf("the list's webhook_url got another body: %s", got.body)
	}
	if got := customer.wait("/all", 1)[0]; !strings.Contains(got.body, `"call":{"id":"their-call-1"`) {
		t.Errorf("ids=source: %s", got.body)
	}

	// A second disposition fires again; nothing of it concerns the other list.
	admin.patch("/v1/calls/"+id, object{"disposition": "SALE"}).want(http.StatusOK)
	if got := customer.wait("/explicit", 2)[1]; !strings.Contains(got.body, `"disposition":"SALE"`) {
		t.Errorf("the second disposition: %s", got.body)
	}
	// A call without lead, agent and list: objects and nulls, for all lists.
	bare := admin.post("/v1/calls", object{"direction": "inbound", "from": "+15557654321", "to": "+14143756757", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+bare, object{"disposition": "DNC"}).want(http.StatusOK)
	last := admin.patch("/v1/calls/"+bare, object{"ended_at": moment(time.Second)}).want(http.StatusOK)
	want = fmt.Sprintf(`{"event":"call.completed","timestamp":%q,"call":{"id":%q,"disposition":"DNC","duration_sec":1,"from_number":"+15557654321",`+
		`"to_number":"+14143756757","started_at":%q,"ended_at":%q,"notes":null,"recording_url":null,"transcript":null,"summary":null},`+
		`"lead":{"id":null,"name":null,"phone":"+15557654321","company":null,"title":null,"email":null,"city":null,"state":null,"custom_fields":null},`+
		`"agent":{"name":null,"email":null},"list":null}`,
		occurred(t, admin, last, bare, "call.ended.v1"), bare, moment(0), moment(time.Second))
	if got := customer.wait("/all", 3)[2]; got.body != want {
		t.Errorf("a bare call (-want +got):\n%s", cmp.Diff(inOrder(t, want), inOrder(t, got.body)))
	}
	if got := customer.at("/other"); len(got) != 0 {
		t.Errorf("another list's webhook got %v", got)
	}
}

// inOrder writes a body one member a line, order kept, so that a difference can
// be read.
func inOrder(t *testing.T, body string) string {
	t.Helper()
	dec := json.NewDecoder(strings.NewReader(body))
	dec.UseNumber()
	var b strings.Builder
	for {
		token, err := dec.Token()
		if err != nil {
			return b.String()
		}
		fmt.Fprintf(&b, "%v\n", token)
	}
}

func dialercxWebhook(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	_, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ended"), "events": list{"call.ended"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/agents"), "events": list{"agent.login", "agent.pause", "agent.resume", "agent.logout"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/rest"), "events": list{"call.started", "lead.updated", "recording.ready", "alert.triggered"}})
	if !strings.HasPrefix(secret, "whsec_") {
		t.Errorf("the secret is %q", secret)
	}
	id, disposed := finishedCall(t, admin, nil)
	got := customer.wait("/ended", 1)[0]
	want := fmt.Sprintf(`{"event":"call.ended","timestamp":%q,"data":{"call_id":%q,"agent":"jsmith","phone_number":"5551234567","duration":142,"disposition":"SALE","campaign":"Q1-Sales"}}`,
		occurred(t, admin, disposed, id, "call.dispositioned.v1"), id)
	if got.body != want {
		t.Errorf("call.ended:\n got %s\nwant %s", got.body, want)
	}
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(got.body))
	if sig := got.wire("X-Webhook-Signature"); sig != hex.EncodeToString(mac.Sum(nil)) {
		t.Errorf("X-Webhook-Signature on the wire is %q: %v", sig, got.header)
	}
	checkStandard(t, got, secret, "call.dispositioned.v1")

	// Without a disposition it comes when the hub has waited for one; once.
	settled := admin.post("/v1/calls", object{"direction": "inbound", "from": "+15557654321", "to": "+14143756757", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+settled, object{"ended_at": moment(30 * time.Second)}).want(http.StatusOK)
	if got := customer.wait("/ended", 2)[1]; !strings.Contains(got.body, fmt.Sprintf(`"data":{"call_id":%q,"agent":null,"phone_number":"5557654321","duration":30,"disposition":null,"campaign":null}`, settled)) {
		t.Errorf("a call that nobody disposed of: %s", got.body)
	}
	late := admin.patch("/v1/calls/"+settled, object{"disposition": "SALE"}).want(http.StatusOK)
	admin.after(late, "/v1/calls/"+settled).want(http.StatusOK)

	for _, s := range []object{{"state": "logged_in", "name": "John Smith", "campaign": "Q1-Sales"}, {"state": "paused", "reason": "lunch"}, {"state": "resumed"}, {"state": "logged_out"}} {
		admin.post("/v1/agents/jsmith/state", s).want(http.StatusAccepted)
	}
	for i, r := range customer.wait("/agents", 4) {
		body := answer{t: t, asked: "an agent's webhook", body: []byte(r.body)}
		if event := []string{"agent.login", "agent.pause", "agent.resume", "agent.logout"}[i]; body.text("event") != event || body.text("data", "agent") != "jsmith" {
			t.Errorf("webhook %d of the agent is %s", i+1, r.body)
		}
		keys := inOrder(t, r.body)
		if at := strings.Index(keys, "agent\njsmith\nname\nJohn Smith\ncampaign\nQ1-Sales\nreason\n"); at < 0 {
			t.Errorf("webhook %d of the agent is %s", i+1, r.body)
		}
	}

	for _, body := range []object{{"phone": "4155550120", "company": "Acme"}, {"phone": "4155550120", "company": "Umbrella"}, {"phone": "4155550120", "company": "Umbrella"}} {
		admin.post("/v1/leads", body).want(http.StatusOK)
	}
	admin.post("/v1/alerts", object{"rule": "queue", "metric": "queue_depth", "condition": ">", "threshold": 10, "value": 12, "severity": "warning"}).want(http.StatusCreated)
	admin.patch("/v1/calls/"+id, object{"recording": object{"url": "https://recordings.example.com/a.mp3", "format": "mp3"}}).want(http.StatusOK)
	events := make(map[string]string)
	for _, r := range customer.wait("/rest", 5) { // two calls started
		events[answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("event")] = r.body
	}
	if got, want := events["lead.updated"], `"changes":{"company":{"old":"Acme","new":"Umbrella"}}}`; !strings.Contains(got, want) {
		t.Errorf("lead.updated: %s", got)
	}
	if got, want := events["alert.triggered"], `"rule":"queue","metric":"queue_depth","condition":">","threshold":10,"value":12,"severity":"warning","campaign":null,"triggered_at":`; !strings.Contains(got, want) {
		t.Errorf("alert.triggered: %s", got)
	}
	if got, want := events["recording.ready"], fmt.Sprintf(`"data":{"call_id":%q,"recording_url":"`, id); !strings.Contains(got, want) {
		t.Errorf("recording.ready: %s", got)
	}
	if events["call.started"] == "" {
		t.Error("no call.started")
	}
	if got := customer.at("/ended"); len(got) != 2 {
		t.Errorf("call.ended came %d times for two calls", len(got))
	}
}

func trunklineWebhook(t *testing.T, h *hub) {
	admin, orgID := h.org(t)
	customer := newReceiver(t)
	_, secret := endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/calls"), "events": list{"call.*"}})
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"*"}, "sign_standard": false, "headers": object{"X-Tenant": "7"}})
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/one"), "events": list{"call.ended.v1"}})
	admin.post("/v1/leads", object{"phone": "4155550121"}).want(http.StatusOK)
	id, _ := finishedCall(t, admin, nil)
	sequences := make(map[string]bool)
	for i, r := range customer.wait("/calls", 4)[:4] {
		typ := []string{"call.started.v1", "call.answered.v1", "call.ended.v1", "call.dispositioned.v1"}[i]
		body := answer{t: t, asked: "a CloudEvent", body: []byte(r.body)}
		for attribute, want := range map[string]any{"specversion": "1.0", "type": typ, "subject": id, "org": orgID, "datacontenttype": "application/json"} {
			if got := body.at(attribute); got != want {
				t.Errorf("event %d: %s is %v, want %v", i+1, attribute, got, want)
			}
		}
		if got := r.wire("Content-Type"); got != "application/cloudevents+json" {
			t.Errorf("Content-Type is %q", got)
		}
		sequences[r.wire("trunkline-sequence")] = true
		checkStandard(t, r, secret, typ)
	}
	if len(sequences) != 4 {
		t.Errorf("the sequences of one call are %v", sequences)
	}
	for _, r := range customer.wait("/all", 5) {
		if r.wire("webhook-signature") != "" || r.wire("webhook-timestamp") != "" || r.wire("webhook-id") == "" || r.wire("X-Tenant") != "7" {
			t.Errorf("without the standard signature, with a header of its own: %v", r.header)
		}
	}
	if got := customer.wait("/one", 1)[0]; got.wire("trunkline-event-type") != "call.ended.v1" {
		t.Errorf("the one is %v", got.header)
	}
}

func inboundWebhooks(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	made := admin.post("/v1/connections", object{"name": "our dialer", "dialect": "dialercx"}).want(http.StatusCreated)
	secret, where := made.text("secret"), strings.TrimPrefix(made.text("url"), h.base())
	if where != "/in/"+made.text("id") {
		t.Fatalf("the connection's url is %s", made.text("url"))
	}
	nobody := h.as(t, "")
	post := func(body string) answer {
		t.Helper()
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write([]byte(body))
		return nobody.post(where, body, "X-Webhook-Signature", hex.EncodeToString(mac.Sum(nil)))
	}
	const ended = `{"event":"call.ended","timestamp":"2026-03-07T15:30:00Z","data":{"call_id":"12345","agent":"jsmith","phone_number":"5551234567","duration":180,"disposition":"SALE","campaign":"Q1-Sales","unheard_of":"kept"}}`
	nobody.post(where, ended).want(http.StatusUnauthorized)
	nobody.post(where, ended, "X-Webhook-Signature", strings.Repeat("0", 64)).want(http.StatusUnauthorized)
	nobody.post("/in/nowhere", ended).want(http.StatusNotFound)
	post(`{"event":"call.ended"`).want(http.StatusBadRequest)
	post(`{"event":"call.exploded","timestamp":"2026-03-07T15:30:00Z","data":{}}`).want(http.StatusBadRequest)
	post(ended).want(http.StatusOK)
	again := post(ended).want(http.StatusOK)
	var calls struct {
		Data []struct {
			ID          string  `json:"id"`
			ExternalID  string  `json:"external_id"`
			Disposition string  `json:"disposition"`
			Campaign    string  `json:"campaign"`
			DurationSec float64 `json:"duration_sec"`
			SourceData  object  `json:"source_data"`
			Version     int     `json:"version"`
		} `json:"data"`
	}
	admin.after(again, "/v1/calls").want(http.StatusOK).into(&calls)
	if len(calls.Data) != 1 {
		t.Fatalf("the same webhook twice made %d calls", len(calls.Data))
	}
	c := calls.Data[0]
	if c.ExternalID != "12345" || c.Disposition != "SALE" || c.Campaign != "Q1-Sales" || c.DurationSec != 180 || c.SourceData["unheard_of"] != "kept" {
		t.Errorf("the call is %+v", c)
	}
	before := len(admin.get("/v1/calls/" + c.ID + "/history").want(http.StatusOK).list("data"))
	third := post(ended).want(http.StatusOK)
	if after := len(admin.after(third, "/v1/calls/"+c.ID+"/history").want(http.StatusOK).list("data")); after != before {
		t.Errorf("the history grew from %d to %d by the same webhook", before, after)
	}
	// A secret of the caller's own choice, and dylr, which has no signature.
	own := admin.post("/v1/connections", object{"name": "fixed", "dialect": "dialercx", "secret": "s3cret"}).want(http.StatusCreated)
	if own.text("secret") != "s3cret" {
		t.Errorf("the secret is %q", own.text("secret"))
	}
	admin.post("/v1/connections", object{"name": "x", "dialect": "fax"}).want(http.StatusBadRequest)
	if got := len(admin.get("/v1/connections").want(http.StatusOK).list("data")); got != 2 {
		t.Errorf("%d connections", got)
	}
}
