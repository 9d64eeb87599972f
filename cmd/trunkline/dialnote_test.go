package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/dialects/dialecttest"
)

// dialnoteWebhook goes through seed 001 from top to bottom.
func dialnoteWebhook(t *testing.T, h *hub) {
	admin, orgID := h.org(t)
	customer := newReceiver(t)
	for name, c := range map[string]struct {
		change  object
		pointer string
	}{
		"a name over 100 characters": {object{"name": strings.Repeat("é", 101)}, "/name"},
		"an unknown provider":        {object{"provider": "make"}, "/provider"},
		"two events":                 {object{"events": list{"call_logs", "notes"}}, "/events"},
		"an event of another system": {object{"events": list{"call.completed"}}, "/events/0"},
		"no event":                   {object{"events": list{}}, "/events"},
	} {
		body := object{"name": "CRM Call Sync", "url": customer.url("/x"), "dialect": "dialnote", "events": list{"call_logs"}, "provider": "custom"}
		for k, v := range c.change {
			body[k] = v
		}
		if got := admin.post("/v1/webhooks", body).want(http.StatusBadRequest).text("errors", 0, "pointer"); got != c.pointer {
			t.Errorf("%s: the error is at %q, want %q", name, got, c.pointer)
		}
	}
	logs, secret := endpoint(t, admin, object{"name": strings.Repeat("é", 100), "dialect": "dialnote", "url": customer.url("/logs"), "events": list{"call_logs"}})
	_, zapSecret := endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/recordings"), "events": list{"call_recordings"}, "provider": "zapier"})
	endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/notes"), "events": list{"notes"}, "provider": "custom"})
	if admin.get("/v1/webhooks/"+logs).want(http.StatusOK).text("provider") != "custom" {
		t.Error("the provider is not custom where none is given")
	}
	if secret == zapSecret {
		t.Error("two webhooks share a secret")
	}
	// Two events at one destination are two webhooks.
	for _, event := range []string{"call_logs", "notes"} {
		endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/both"), "events": list{event}})
	}

	id, _ := finishedCall(t, admin, nil)
	admin.patch("/v1/calls/"+id, object{"note": `Wants <more> & "soon"`}).want(http.StatusOK)
	source := recordingSource(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(audio(1000))
	})
	admin.patch("/v1/calls/"+id, object{"recording": object{"url": source + "/a.mp3?x=1&y=2", "duration_sec": 141.5}}).want(http.StatusOK)
	log := customer.wait("/logs", 1)[0]
	if want := fmt.Sprintf(`"data":{"callSid":%q,"direction":"outbound","phoneNumber":"+15551234567","status":"completed","duration":142}}`, id); !strings.HasSuffix(log.body, want) ||
		!strings.Contains(log.body, fmt.Sprintf(`,"type":"call.completed","timestamp":%q,"organizationId":%q,`, moment(147*time.Second), orgID)) {
		t.Errorf("call_logs: %s", log.body)
	}
	recording := customer.wait("/recordings", 1)[0]
	if !strings.Contains(recording.body, `"type":"recording.completed"`) || !strings.HasSuffix(recording.body, `"direction":"outbound","phoneNumber":"+15551234567","duration":141.5}}`) {
		t.Errorf("call_recordings: %s", recording.body)
	}
	note := customer.wait("/notes", 1)[0]
	if !strings.Contains(note.body, `"type":"note.created"`) || !strings.Contains(note.body, `"body":"Wants <more> & \"soon\"","author":{"id":null,"name":null},"createdAt":"`) {
		t.Errorf("notes: %s", note.body)
	}
	for _, c := range []struct {
		r        received
		secret   string
		provider string
		typ      string
	}{{log, secret, "", "call.ended.v1"}, {recording, zapSecret, "zapier", "call.recording_stored.v1"}} {
		if got, want := c.r.wire("X-DialNote-Signature"), dialnoteSignature(c.secret, c.r.body); got != want {
			t.Errorf("X-DialNote-Signature on the wire is %q, want %q: %v", got, want, c.r.header)
		}
		if got := c.r.wire("X-DialNote-Provider"); got != c.provider {
			t.Errorf("X-DialNote-Provider is %q, want %q", got, c.provider)
		}
		if got := c.r.wire("Content-Type"); got != "application/json" {
			t.Errorf("Content-Type is %q", got)
		}
		checkStandard(t, c.r, c.secret, c.typ)
	}

	customer.wait("/both", 2)

	t.Run("it is edited and deleted", func(t *testing.T) {
		made := admin.post("/v1/webhooks", object{"name": "Lead Alerts", "dialect": "dialnote", "url": customer.url("/old"), "events": list{"notes"}}).want(http.StatusCreated)
		path := "/v1/webhooks/" + made.text("id")
		changed := admin.patch(path, object{"name": "Alerts", "url": customer.url("/new"), "events": list{"call_logs"}}).want(http.StatusOK)
		if changed.text("name") != "Alerts" || changed.text("url") != customer.url("/new") || len(changed.list("events")) != 1 || changed.text("events", 0) != "call_logs" {
			t.Errorf("the edited webhook is %s", changed.body)
		}
		admin.patch(path, object{"events": list{"call_logs", "notes"}}).want(http.StatusBadRequest)
		again, _ := finishedCall(t, admin, nil)
		if got := customer.wait("/new", 1)[0]; !strings.Contains(got.body, again) || len(customer.at("/old")) != 0 {
			t.Errorf("after the edit %s came, and %v at the former URL", got.body, customer.at("/old"))
		}
		customer.wait("/logs", 2)
		admin.send(http.MethodDelete, path, nil).want(http.StatusNoContent)
		admin.get(path).want(http.StatusNotFound)
		admin.post(path+"/enable", nil).want(http.StatusNotFound)
	})
	t.Run("its secret is fixed", func(t *testing.T) {
		path := "/v1/webhooks/" + logs
		if !strings.HasPrefix(secret, "whsec_") {
			t.Errorf("the secret is %q", secret)
		}
		for _, a := range []answer{admin.post(path+"/rotate-secret", nil), admin.patch(path, object{"secret": "whsec_mine"})} {
			if got := a.want(http.StatusConflict).text("detail"); !strings.Contains(got, "delete the webhook and make a new one") {
				t.Errorf("%s: %q does not say what to do", a.asked, got)
			}
		}
		if got := admin.get(path + "/secret").want(http.StatusOK).text("secret"); got != secret {
			t.Errorf("the secret is %q now", got)
		}
	})
	t.Run("the test button", func(t *testing.T) {
		a := admin.post("/v1/webhooks/"+logs+"/test", nil).want(http.StatusOK)
		got := customer.wait("/logs", 3)[2]
		if a.at("status_code") != 204.0 || a.text("request", "body") != got.body || got.wire("X-DialNote-Signature") != dialnoteSignature(secret, got.body) {
			t.Errorf("%s, received %v", a.body, got)
		}
		admin.post("/v1/webhooks/"+logs+"/test", object{"event": "notes"}).want(http.StatusOK)
		note := customer.wait("/logs", 4)[3]
		if !strings.Contains(note.body, `"type":"note.created"`) {
			t.Errorf("a sample of notes is %s", note.body)
		}
		// A receiver that chooses by the type is tried with that of real deliveries.
		for r, want := range map[*received]string{&got: "call.ended.v1", &note: "call.note_added.v1"} {
			if r.wire("trunkline-event-type") != want {
				t.Errorf("a test has the type %q, want %q", r.wire("trunkline-event-type"), want)
			}
		}
		admin.post("/v1/webhooks/"+logs+"/test", object{"event": "call.ended"}).want(http.StatusBadRequest)
	})
}

func dialnoteSignature(secret, body string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(body))
	return "sha256=" + hex.EncodeToString(m.Sum(nil))
}

// dialnoteDisabling goes through what seed 001 says of failures, and of the
// event that is called disabled.
func dialnoteDisabling(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, _ := endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/logs"), "events": list{"call_logs"}})
	paused, _ := endpoint(t, admin, object{"dialect": "dialnote", "url": customer.url("/paused"), "events": list{"disabled"}})
	path := "/v1/webhooks/" + id
	end := func() {
		t.Helper()
		call := startCall(t, admin)
		admin.patch("/v1/calls/"+call, object{"ended_at": moment(time.Second)}).want(http.StatusOK)
	}
	health := func(what string, ok func(answer) bool) answer {
		t.Helper()
		var got answer
		eventually(t, what, func(context.Context) error {
			if got = admin.get(path).want(http.StatusOK); !ok(got) {
				return errors.New(string(got.body))
			}
			return nil
		})
		return got
	}
	end()
	good := health("the first delivery", func(a answer) bool { return a.text("health", "last_sent_at") != "" })
	sent := good.text("health", "last_sent_at")

	// Two failures in a row, then a success: the count begins anew.
	customer.answers("/logs", 500)
	end()
	end()
	failing := health("two failures", func(a answer) bool { return a.at("health", "consecutive_failures") == 2.0 })
	if failing.at("enabled") != true || failing.text("health", "last_error") != "answered 500" || failing.at("health", "last_status") != 500.0 || failing.text("health", "last_sent_at") != sent {
		t.Errorf("after two failures it is %s", failing.body)
	}
	customer.answers("/logs", 204)
	end()
	health("the count's end", func(a answer) bool {
		return a.at("health", "consecutive_failures") == 0.0 && a.at("health", "last_error") == nil
	})
	customer.wait("/logs", 6) // two retries after 5 s: one success each

	// Three failures, of three deliveries.
	customer.answers("/logs", 503)
	for range 3 {
		end()
	}
	off := health("the end of patience", func(a answer) bool {
		return a.at("enabled") == false && a.at("health", "consecutive_failures") == 3.0
	})
	if got := off.text("health", "disabled_reason"); got != "3 attempts in a row failed; the last: answered 503" {
		t.Errorf("disabled because %q", got)
	}
	if off.text("health", "last_error") != "answered 503" {
		t.Errorf("the card shows %s", off.body)
	}
	end()
	before := len(customer.at("/logs"))
	health("the backlog", func(a answer) bool { return a.at("health", "backlog") == 4.0 })
	customer.answers("/logs", 204)
	admin.post(path+"/enable", nil).want(http.StatusOK)
	customer.wait("/logs", before+4)
	health("its recovery", func(a answer) bool {
		return a.at("enabled") == true && a.at("health", "consecutive_failures") == 0.0 && a.at("health", "disabled_reason") == nil
	})

	t.Run("the event disabled sends nothing", func(t *testing.T) {
		if got := admin.post("/v1/webhooks/"+paused+"/test", nil).want(http.StatusConflict).text("detail"); !strings.Contains(got, "choose an event first") {
			t.Errorf("the test button says %q", got)
		}
		admin.patch("/v1/webhooks/"+paused, object{"events": list{"call_logs"}}).want(http.StatusOK)
		logs := len(customer.at("/logs"))
		end()
		customer.wait("/logs", logs+1)
		customer.wait("/paused", 1)
		if got := len(customer.at("/paused")); got != 1 {
			t.Errorf("%d webhooks for one call after the event was chosen", got)
		}
		admin.patch("/v1/webhooks/"+paused, object{"events": list{"disabled"}}).want(http.StatusOK)
		n := len(customer.at("/logs"))
		end()
		customer.wait("/logs", n+1)
		if got := len(customer.at("/paused")); got != 1 {
			t.Errorf("%d webhooks came for the event disabled", got-1)
		}
	})
}

// dialnoteInbound sends what seed 001 shows, as JavaScript would sign it.
func dialnoteInbound(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	made := admin.post("/v1/connections", object{"name": "our phones", "dialect": "dialnote"}).want(http.StatusCreated)
	secret, where := made.text("secret"), "/in/"+made.text("id")
	nobody := h.as(t, "")
	const completed = `{"id":"unique-event-id","type":"call.completed","timestamp":"2024-01-15T10:30:00Z","organizationId":"your-org-id",` +
		`"data":{"callSid":"call-id","direction":"inbound","phoneNumber":"+15551234567","status":"completed","duration":180,"queue":"<sales>"}}`
	const note = `{"id":"e-2","type":"note.created","timestamp":"2024-01-15T10:31:00Z","organizationId":"your-org-id",` +
		`"data":{"noteId":"n-1","callSid":"call-id","phoneNumber":"+15551234567","body":"Call again.","author":{"id":"u-1","name":"Jane Agent"},"createdAt":"2024-01-15T10:30:30Z"}}`
	nobody.post(where, completed).want(http.StatusUnauthorized)
	nobody.post(where, completed, "X-DialNote-Signature", strings.TrimPrefix(dialnoteSignature(secret, completed), "sha256=")).want(http.StatusUnauthorized)
	nobody.post(where, completed, "X-DialNote-Signature", dialnoteSignature("another", completed)).want(http.StatusUnauthorized)
	junk := strings.Replace(completed, `"call-id"`, `""`, 1)
	if got := nobody.post(where, junk, "X-DialNote-Signature", dialnoteSignature(secret, junk)).want(http.StatusBadRequest).text("errors", 0, "pointer"); got != "/data/callSid" {
		t.Errorf("junk is at %q", got)
	}
	// The note comes before the call, and the call's body was re-formatted on the way.
	nobody.post(where, note, "X-DialNote-Signature", dialnoteSignature(secret, note)).want(http.StatusOK)
	spaced := strings.ReplaceAll(completed, `","`, "\" ,\n \"")
	nobody.post(where, spaced, "X-DialNote-Signature", dialnoteSignature(secret, completed)).want(http.StatusOK)
	again := nobody.post(where, completed, "X-DialNote-Signature", dialnoteSignature(secret, completed)).want(http.StatusOK)
	calls := admin.after(again, "/v1/calls").want(http.StatusOK)
	if got := len(calls.list("data")); got != 1 {
		t.Fatalf("%d calls: %s", got, calls.body)
	}
	for field, want := range map[string]any{"external_id": "call-id", "direction": "inbound", "from": "+15551234567", "status": "completed", "duration_sec": 180.0, "ended_at": "2024-01-15T10:30:00Z", "started_at": "2024-01-15T10:27:00Z"} {
		if got := calls.at("data", 0, field); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if calls.text("data", 0, "source_data", "data", "queue") != "<sales>" || calls.text("data", 0, "notes", 0, "body") != "Call again." || calls.text("data", 0, "notes", 0, "author", "name") != "Jane Agent" {
		t.Errorf("the call is %s", calls.body)
	}
}

// zapierApp runs steps of the Zapier app in testdata/zapier in the harness of
// Zapier's own platform package.
type zapierApp struct {
	t    *testing.T
	auth object
}

func (z zapierApp) run(step, trigger string, bundle object) (result any, err error) {
	z.t.Helper()
	in := object{"step": step, "trigger": trigger, "bundle": object{"authData": z.auth}}
	for k, v := range bundle {
		in["bundle"].(object)[k] = v
	}
	var out struct {
		Result any
		Error  string
	}
	dialecttest.NodePackage(z.t, "cmd/trunkline/testdata/zapier", "run.js", in, &out)
	if out.Error != "" {
		return nil, errors.New(out.Error)
	}
	return out.Result, nil
}

func (z zapierApp) does(step, trigger string, bundle object) any {
	z.t.Helper()
	result, err := z.run(step, trigger, bundle)
	if err != nil {
		z.t.Fatalf("%s %s: %v", trigger, step, err)
	}
	return result
}

// zapierHooks lets a Zapier app, built with Zapier's own package, live through
// a Zap: connect, look at samples, switch on, receive, switch off.
func zapierHooks(t *testing.T, h *hub) {
	admin, orgID := h.org(t)
	customer := newReceiver(t)
	key := admin.get("/v1/zapier-key").want(http.StatusOK).text("key")
	app := zapierApp{t, object{"hub_url": h.base(), "api_key": key}}
	if got := app.does("validate", "", nil); len(got.([]any)) != 0 {
		t.Fatalf("Zapier finds fault with the app: %v", got)
	}
	app.does("test", "", nil)
	if _, err := (zapierApp{t, object{"hub_url": h.base(), "api_key": "wrong"}}).run("test", "", nil); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("a wrong key: %v", err)
	}
	for _, trigger := range []string{"call_logs", "call_recordings", "notes"} {
		samples := app.does("performList", trigger, nil).([]any)
		if len(samples) == 0 || samples[0].(object)["id"] == "" {
			t.Errorf("%s: Zapier is shown %v", trigger, samples)
		}
	}

	subscribed := app.does("performSubscribe", "call_logs", object{"targetUrl": customer.url("/zap")}).(object)
	id := subscribed["id"].(string)
	call, _ := finishedCall(t, admin, nil)
	hook := customer.wait("/zap", 1)[0]
	if hook.wire("X-DialNote-Provider") != "zapier" {
		t.Errorf("the headers are %v", hook.header)
	}
	var body object
	if err := json.Unmarshal([]byte(hook.body), &body); err != nil {
		t.Fatal(err)
	}
	performed := app.does("perform", "call_logs", object{"cleanedRequest": body}).([]any)
	if got := performed[0].(object); got["organizationId"] != orgID || got["data"].(object)["callSid"] != call {
		t.Errorf("the Zap gets %v", got)
	}
	// Samples have the shape of what hooks get: the newest call is the same object.
	if got := app.does("performList", "call_logs", nil).([]any)[0].(object); got["id"] != body["id"] || !slices.Equal(keysOf(got), keysOf(body)) {
		t.Errorf("the newest sample is %v, the hook got %v", got, body)
	}
	app.does("performUnsubscribe", "call_logs", object{"subscribeData": subscribed})
	admin.get("/v1/webhooks/" + id).want(http.StatusNotFound)

	// A Zap that was deleted answers 410: its subscription goes.
	gone := app.does("performSubscribe", "call_logs", object{"targetUrl": customer.url("/gone")}).(object)["id"].(string)
	admin.get("/v1/webhooks/" + gone).want(http.StatusOK)
	customer.answers("/gone", 410)
	finishedCall(t, admin, nil)
	eventually(t, "the end of the subscription", func(context.Context) error {
		if a := admin.get("/v1/webhooks/" + gone); a.status != http.StatusNotFound {
			return fmt.Errorf("it is %s", a.body)
		}
		return nil
	})
	if got := len(customer.at("/gone")); got != 1 {
		t.Errorf("%d requests to a Zap that is gone", got)
	}
	if got := len(customer.at("/zap")); got != 1 {
		t.Errorf("%d webhooks after the Zap was switched off", got-1)
	}
}

func keysOf(o object) []string {
	keys := make([]string, 0, len(o))
	for k := range o {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
