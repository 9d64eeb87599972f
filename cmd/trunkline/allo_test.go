package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// alloWebhooks sets up webhooks by Allo's own calls and looks at what comes, in
// both versions.
func alloWebhooks(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	// As Allo's documents do it: the key stands alone in Authorization.
	own := h.as(t, "")
	key := []string{"Authorization", admin.key}
	put := func(number, path string, topics ...any) {
		t.Helper()
		own.post("/v1/api/webhooks", object{"allo_number": number, "enabled": true, "url": customer.url(path), "topics": topics}, key...).want(http.StatusCreated)
	}
	put("+14143756757", "/ours", "CALL_RECEIVED", "SMS_RECEIVED", "SMS_SENT", "CONTACT_CREATED", "CONTACT_UPDATED")
	put("+14143756758", "/another", "CALL_RECEIVED", "SMS_RECEIVED")
	own.post("/v1/api/webhooks", object{"allo_number": "+14143756757", "url": customer.url("/x"), "topics": list{"PING"}}, key...).want(http.StatusBadRequest)
	if got := len(own.get("/v1/api/webhooks", key...).want(http.StatusOK).list("data")); got != 2 {
		t.Errorf("%d configurations", got)
	}
	second := own.post("/v2/api/webhooks", object{"url": customer.url("/second"), "topics": list{"call.received", "call.answered", "call.completed", "tag.added"}}, key...).want(http.StatusCreated)
	secret := second.text("data", "signing_secret")

	admin.post("/v1/contacts", object{"external_id": "con-1", "first_name": "Sally", "phones": list{object{"kind": "work", "number": "+18005551212"}}}).want(http.StatusCreated)
	admin.post("/v1/contacts", object{"external_id": "con-1", "last_name": "Sample"}).want(http.StatusOK)
	admin.post("/v1/contacts", object{"external_id": "con-1", "last_name": "Sample"}).want(http.StatusOK)
	id := admin.post("/v1/calls", object{
		"direction": "inbound", "from": "+18005551212", "to": "+14143756757", "started_at": moment(0), "from_name": "Sally Sample", "original_to": "+14143756700",
		"agent": object{"id": "ann", "name": "Ann Agent", "email": "ann@acme.com"}, "custom": object{"order": "A-17"},
	}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+id, object{"answered_at": moment(5 * time.Second), "tags": list{"support", "vip"}}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{"transfer": object{"to": object{"number": "+14143756759", "agent_name": "Max"}, "original_call_id": "first"}}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{"ended_at": moment(155 * time.Second)}).want(http.StatusOK)
	admin.patch("/v1/calls/"+id, object{
		"transcript_segments": list{object{"speaker": "agent", "at": moment(6 * time.Second), "text": "Hello, <b>Sally</b>."}, object{"speaker": "customer", "text": "Hello."}},
		"summary":             "They greeted.", "one_sentence_summary": "A greeting.",
	}).want(http.StatusOK)
	bodies := make(map[string][]string)
	for _, r := range customer.wait("/ours", 3) {
		topic := answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("topic")
		bodies[topic] = append(bodies[topic], r.body)
		if r.wire("X-Webhook-Signature") != "" || r.wire("webhook-id") == "" {
			t.Errorf("headers of %s: %v", topic, r.header)
		}
	}
	want := fmt.Sprintf(`{"topic":"CALL_RECEIVED","data":{"id":%q,"start_date":%q,"recording_url":null,"from_number":"+18005551212","from_name":"Sally Sample",`+
		`"to":"+14143756757","to_name":"Ann Agent","length_in_minutes":2.5,"length":"2m 30s","tag":"support","summary":"They greeted.","one_sentence_summary":"A greeting.",`+
		`"transcriptions":[{"source":"AGENT","time":%q,"text":"Hello, <b>Sally</b>."},{"source":"USER","time":null,"text":"Hello."}],`+
		`"concatenated_transcript":"Agent: Hello, <b>Sally</b>.\nCustomer: Hello.","data_collected":{"order":"A-17"},"type":"INBOUND","integration_id":null,`+
		`"transfer_from":null,"transfer_to":{"number":"+14143756759","user_email":null,"user_name":"Max"},"user_email":"ann@acme.com",`+
		`"original_to_number":"+14143756700","original_to_name":null,"transfer_original_call_id":"first"}}`, id, moment(0), moment(6*time.Second))
	if diff := cmp.Diff([]string{want}, bodies["CALL_RECEIVED"]); diff != "" {
		t.Errorf("CALL_RECEIVED (-want +got):\n%s", diff)
	}
	if len(bodies["CONTACT_CREATED"]) != 1 || len(bodies["CONTACT_UPDATED"]) != 1 || !strings.Contains(bodies["CONTACT_UPDATED"][0], `"name":"Sally","last_name":"Sample","company":null,"emails":[],"numbers":["+18005551212"]}`) {
		t.Errorf("contacts: %v", bodies)
	}
	var topics []string
	for _, r := range customer.wait("/second", 5) {
		body := answer{t: t, asked: "a webhook", body: []byte(r.body)}
		topics = append(topics, body.text("topic"))
		if body.text("version") != "2.0" {
			t.Errorf("%s", r.body)
		}
		checkStandard(t, r, secret, r.wire("trunkline-event-type"))
	}
	if diff := cmp.Diff([]string{"call.received", "call.answered", "tag.added", "tag.added", "call.completed"}, topics); diff != "" {
		t.Errorf("the second version (-want +got):\n%s", diff)
	}

	// Without words it comes when the hub has waited for them; once. Messages
	// belong to the number that they were sent to.
	admin.post("/v1/messages", object{"direction": "inbound", "type": "MMS", "content": "Here.", "media": list{"https://media.example.com/1.jpg"}, "from": "+18005551212", "to": "+14143756758", "sent_at": moment(0)}).want(http.StatusCreated)
	quiet := admin.post("/v1/calls", object{"direction": "outbound", "from": "+14143756758", "to": "+15550001111", "started_at": moment(0)}).want(http.StatusCreated).text("id")
	admin.patch("/v1/calls/"+quiet, object{"ended_at": moment(45 * time.Second)}).want(http.StatusOK)
	got := customer.wait("/another", 2)
	if !strings.Contains(got[0].body, `"content":"Here.\nhttps://media.example.com/1.jpg"`) || got[0].wire("trunkline-media") != "https://media.example.com/1.jpg" {
		t.Errorf("an MMS: %s %v", got[0].body, got[0].header)
	}
	if !strings.Contains(got[1].body, `"length":"45s"`) || !strings.Contains(got[1].body, `"type":"OUTBOUND"`) {
		t.Errorf("a call without words: %s", got[1].body)
	}
	if n := len(customer.at("/ours")); n != 3 {
		t.Errorf("the other number's webhook got %d, three of them its own", n)
	}
}

// alloInbound receives both versions.
func alloInbound(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	nobody := h.as(t, "")
	made := admin.post("/v1/connections", object{"name": "Allo", "dialect": "allo"}).want(http.StatusCreated)
	const received = `{"topic":"CALL_RECEIVED","data":{"id":"call_abc123","start_date":"2024-01-15T10:30:00Z","recording_url":null,"from_number":"+12345678901","from_name":"John Doe",` +
		`"to":"+14143756757","to_name":"Acme Support","length_in_minutes":2.5,"length":"2m 30s","tag":"support","summary":"An order.","one_sentence_summary":null,` +
		`"transcriptions":[{"source":"AGENT","time":"2024-01-15T10:30:05Z","text":"Hello."}],"concatenated_transcript":"Hello.","data_collected":{"order":"A-17"},"type":"INBOUND",` +
		`"integration_id":"int-7","transfer_from":null,"transfer_to":null,"user_email":"ann@acme.com","original_to_number":null,"original_to_name":null,"transfer_original_call_id":null,"result":"ANSWERED"}}`
	where := "/in/" + made.text("id")
	nobody.post(where, received).want(http.StatusOK)
	again := nobody.post(where, received).want(http.StatusOK)
	calls := admin.after(again, "/v1/calls").want(http.StatusOK)
	if n := len(calls.list("data")); n != 1 {
		t.Fatalf("the same webhook twice made %d calls", n)
	}
	for field, want := range map[string]any{
		"external_id": "call_abc123", "direction": "inbound", "from_name": "John Doe", "duration_sec": 150.0, "summary": "An order.", "tags": list{"support"},
		"custom": object{"order": "A-17"}, "source_data": object{"integration_id": "int-7", "result": "ANSWERED"}, "transcript": "Hello.",
	} {
		if diff := cmp.Diff(want, calls.at("data", 0, field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	nobody.post(where, received, "webhook-id", "1", "webhook-timestamp", "1", "webhook-signature", "v1,AAAA").want(http.StatusUnauthorized)
	nobody.post(where, `{"topic":"PING","data":{}}`).want(http.StatusBadRequest)
	contact := nobody.post(where, `{"topic":"CONTACT_CREATED","data":{"id":"con_1","name":"Sally","last_name":null,"company":null,"emails":[],"numbers":["+18005551212","ask at the desk"]}}`).want(http.StatusOK)
	if got := admin.after(contact, "/v1/contacts?phone=%2B18005551212").want(http.StatusOK); got.text("data", 0, "first_name") != "Sally" {
		t.Errorf("%s", got.body)
	}
	second := admin.post("/v1/connections", object{"name": "Allo 2", "dialect": "allo/v2"}).want(http.StatusCreated)
	nobody.post("/in/"+second.text("id"), `{"topic":"tag.added","version":"2.0","timestamp":"2025-03-15T14:31:00Z","data":{"call_id":"c","tag":"vip"}}`).want(http.StatusUnauthorized)
}
