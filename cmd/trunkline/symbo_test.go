package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func hexHMAC(secret, text string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil))
}

func symboWebhooks(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	_, secret := endpoint(t, admin, object{"dialect": "symbo", "url": customer.url("/calls"), "events": list{"call.created", "call.updated"}})
	if _, other := endpoint(t, admin, object{"dialect": "symbo/2025", "url": customer.url("/newer"), "events": list{"call:created", "call:completed", "prospect:created"}}); other != secret {
		t.Error("two secrets of one account")
	}
	admin.post("/v1/leads", object{"phone": "+15178626434", "external_id": "12345", "first_name": "Sally", "last_name": "Sample", "title": "Sales Manager"}).want(http.StatusOK)
	id := admin.post("/v1/calls", object{
		"direction": "outbound", "from": "+19897189159", "to": "+15178626434", "started_at": moment(0), "answered_at": moment(0),
		"agent": object{"id": "35904adb", "name": "Rep Name"},
	}).want(http.StatusCreated).text("id")
	ended := admin.patch("/v1/calls/"+id, object{"ended_at": moment(4 * time.Second), "note": "User entered call note"}).want(http.StatusOK)
	created := customer.wait("/calls", 1)[0]
	iso := func(d time.Duration) string { return startedAt.Add(d).UTC().Format("2006-01-02T15:04:05.000Z") }
	call := answer{t: t, asked: "call.created", body: []byte(created.body)}
	for path, want := range map[string]any{
		"object": "Call", "description": "call.created", "user_id": "35904adb",
		"data id": id, "data prospect external_id": "12345", "data prospect external_source": "custom_crm", "data prospect full_name": "Sally Sample",
		"data prospect linkedin_url": "", "data from_formatted": "+1 989 718 9159", "data to_formatted": "+1 517 862 6434", "data note": "User entered call note",
		"data answered_at": iso(0), "data completed_at": iso(4 * time.Second), "data state": "completed", "data recording_url": "", "data call_disposition": nil,
		"data transcription": nil, "data total_talk_time_millis": nil,
	} {
		var at []any
		for _, step := range strings.Fields(path) {
			at = append(at, step)
		}
		if diff := cmp.Diff(want, call.at(at...)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", path, diff)
		}
	}
	if got := created.wire("X-Hmac-Signature"); got != hexHMAC(secret, created.body) {
		t.Errorf("X-Hmac-Signature on the wire is %q: %v", got, created.header)
	}
	checkStandard(t, created, secret, "call.ended.v1")
	_ = ended
	for i, change := range []struct {
		patch object
		says  string
	}{
		{object{"disposition": "answered_positive"}, `"call_disposition":"answered_positive"`},
		{object{"note": "Another"}, `"note":"User entered call note\nAnother"`},
		{object{"recording": object{"url": "https://recordings.example.com/1.mp3"}}, `"should_record_call":"record"`},
		{object{"transcript_segments": list{object{"speaker": "agent", "text": "This is a test."}, object{"speaker": "customer", "text": "Hey."}}}, `"transcription":"Rep Name:<br>This is a test.<br><br>Prospect:<br>Hey.<br><br>"`},
		{object{"metrics": object{"total_talk_time_millis": 1399, "rep_overall_sentiment": -0.5}}, `"total_talk_time_millis":1399,"total_conversation_duration_millis":null,"rep_talk_time_millis":null,"prospect_talk_time_millis":null,"rep_overall_sentiment":-0.5`},
	} {
		admin.patch("/v1/calls/"+id, change.patch).want(http.StatusOK)
		got := customer.wait("/calls", i+2)[i+1]
		if !strings.Contains(got.body, `"description":"call.updated"`) || !strings.Contains(got.body, change.says) || !strings.Contains(got.body, fmt.Sprintf(`"id":%q`, id)) {
			t.Errorf("after %v: %s", change.patch, got.body)
		}
	}
	last := admin.patch("/v1/calls/"+id, object{"tags": list{"vip"}}).want(http.StatusOK)
	admin.after(last, "/v1/calls/"+id).want(http.StatusOK)
	newer := make(map[string][]string) // in order are those of a call, and those of a prospect
	for _, r := range customer.wait("/newer", 3) {
		of, what, _ := strings.Cut(answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("description"), ":")
		newer[of] = append(newer[of], what)
	}
	if diff := cmp.Diff(map[string][]string{"prospect": {"created"}, "call": {"created", "completed"}}, newer); diff != "" {
		t.Errorf("the newer guide's (-want +got):\n%s", diff)
	}
	if n := len(customer.at("/calls")); n != 6 {
		t.Errorf("%d webhooks: a tag is not in the body", n)
	}
}

func symboInbound(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	nobody := h.as(t, "")
	made := admin.post("/v1/connections", object{"name": "Symbo", "dialect": "symbo", "secret": "abcdefg"}).want(http.StatusCreated)
	where := "/in/" + made.text("id")
	post := func(body string) answer {
		t.Helper()
		return nobody.post(where, body, "X-Hmac-Signature", hexHMAC("abcdefg", body)).want(http.StatusOK)
	}
	body := func(description, at, more string) string {
		return `{"id":"e-` + at + `","object":"Call","description":"` + description + `","user_id":"rep-1","created_at":"2023-01-11T` + at + `.000Z","data":{` +
			`"prospect":{"id":"p","external_id":"12345","external_source":"custom_crm","first_name":"Sally","full_name":"Sally Sample","last_name":"Sample","linkedin_url":"","title":"Sales Manager"},` +
			`"id":"2dc92583","answered_at":"2023-01-11T20:19:25.000Z","completed_at":"2023-01-11T20:19:29.000Z","created_at":"2023-01-11T20:19:25.000Z","dialed_at":"2023-01-11T20:19:25.000Z",` +
			`"direction":"outbound","from":"+19897189159","to":"+15178626434","state":"completed"` + more + `}}`
	}
	nobody.post(where, body("call.created", "20:19:40", "")).want(http.StatusUnauthorized)
	// The update comes before the creation.
	post(body("call.updated", "20:21:00", `,"note":"User entered call note","call_disposition":"answered_positive"`))
	post(body("call.created", "20:19:40", ""))
	repeated := post(body("call.updated", "20:21:00", `,"note":"User entered call note","call_disposition":"answered_positive"`))
	got := admin.after(repeated, "/v1/calls").want(http.StatusOK)
	if n := len(got.list("data")); n != 1 {
		t.Fatalf("%d calls", n)
	}
	for field, want := range map[string]any{"external_id": "2dc92583", "disposition": "answered_positive", "duration_sec": 4.0, "status": "completed", "ended_at": "2023-01-11T20:19:29Z"} {
		if diff := cmp.Diff(want, got.at("data", 0, field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	if n := len(got.list("data", 0, "notes")); n != 1 {
		t.Errorf("%d notes", n)
	}
	lead := admin.get("/v1/leads?phone=%2B15178626434").want(http.StatusOK)
	if lead.text("data", 0, "external_id") != "12345" || lead.text("data", 0, "title") != "Sales Manager" {
		t.Errorf("the prospect is %s", lead.body)
	}
}

// lookUps asks the hub as Symbo does, and lets the hub ask a CRM.
func lookUps(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	nobody := h.as(t, "")
	var mu sync.Mutex
	var asked []string
	crm := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.String()+" "+r.Header.Get("X-Hmac-Signature"))
		if r.URL.Query().Get("number") != "+15178626499" {
			w.WriteHeader(http.StatusNotFound)
			return
		}
		_, _ = w.Write([]byte(`{"external_id":"77","first_name":"Ann","last_name":"Lee","work_phone":"+15178626499","other_phone":"none","account":{"external_id":"9","name":"Acme"}}`))
	}))
	t.Cleanup(crm.Close)
	made := admin.post("/v1/connections", object{"name": "CRM", "dialect": "symbo", "secret": "abcdefg", "lookup_url": crm.URL + "/find"}).want(http.StatusCreated)
	admin.post("/v1/connections", object{"name": "x", "dialect": "symbo", "lookup_url": "https://10.0.0.1/"}).want(http.StatusBadRequest)
	path := strings.TrimPrefix(made.text("crm_url"), h.base())
	signed := []string{"X-Hmac-Signature", hexHMAC("abcdefg", "")}

	nobody.get(path + "?number=%2B18005551212").want(http.StatusUnauthorized)
	nobody.get(path+"?number=%2B18005551212", signed...).want(http.StatusNotFound)
	nobody.get(path+"?number=x", signed...).want(http.StatusBadRequest)
	contact := admin.post("/v1/contacts", object{
		"external_id": "12345", "first_name": "Sally", "last_name": "Sample", "phones": list{object{"kind": "work", "number": "+18005551212"}},
	}).want(http.StatusCreated)
	admin.after(contact, "/v1/contacts/"+contact.text("id")).want(http.StatusOK)
	found := nobody.get(path+"?number=+18005551212", signed...).want(http.StatusOK)
	if !strings.HasPrefix(string(found.body), `{"external_id":"12345","first_name":"Sally","last_name":"Sample","work_email":"","personal_email":"","work_phone":"+18005551212",`) {
		t.Errorf("looked up: %s", found.body)
	}
	if again := nobody.get(path+"?number=+18005551212", append(signed, "If-None-Match", found.header.Get("ETag"))...); again.status != http.StatusNotModified {
		t.Errorf("with its ETag: %d", again.status)
	}
	lead := admin.post("/v1/leads", object{"phone": "+18005551212", "name": "Sally S."}).want(http.StatusOK)
	admin.after(lead, "/v1/leads?phone=%2B18005551212").want(http.StatusOK)
	if got := nobody.get(path+"?number=+18005551212", signed...).want(http.StatusOK).text("last_name"); got != "S." {
		t.Errorf("the lead was touched last, and %q is answered", got)
	}

	// A known party is not asked for; an unknown one is, and the answer is the call's.
	admin.post("/v1/calls", object{"id": "known", "direction": "outbound", "from": "+19897189159", "to": "+18005551212"}).want(http.StatusCreated)
	admin.post("/v1/calls", object{"id": "unknown", "direction": "inbound", "from": "+15178626499", "to": "+19897189159"}).want(http.StatusCreated)
	eventually(t, "the CRM's answer", func(context.Context) error {
		got := admin.get("/v1/calls/unknown")
		if got.status != http.StatusOK || got.at("contact") == nil {
			return fmt.Errorf("%d %s", got.status, got.body)
		}
		want := object{
			"external_id": "77", "connection_id": made.text("id"), "first_name": "Ann", "last_name": "Lee",
			"phones":  list{object{"kind": "work", "number": "+15178626499"}},
			"account": object{"external_id": "9", "name": "Acme"}, "source_data": object{"unread_phones": list{"none"}},
		}
		if diff := cmp.Diff(want, got.at("contact")); diff != "" {
			t.Fatalf("(-want +got):\n%s", diff)
		}
		return nil
	})
	mu.Lock()
	defer mu.Unlock()
	if diff := cmp.Diff([]string{"/find?number=%2B15178626499 " + hexHMAC("abcdefg", "")}, asked); diff != "" {
		t.Errorf("asked (-want +got):\n%s", diff)
	}
}
