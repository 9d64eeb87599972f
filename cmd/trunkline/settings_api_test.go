package main

import (
	"net/http"
	"strings"
	"testing"
)

// orgsApart gives one organisation everything and looks at it from another.
func orgsApart(t *testing.T, h *hub) {
	mine, _ := h.org(t)
	theirs, _ := h.org(t)
	customer := newReceiver(t)
	listID, _ := newList(t, h, mine, object{})
	lead := mine.post("/v1/leads", object{"phone": "4155550150", "list_id": listID}).want(http.StatusOK)
	hook, _ := endpoint(t, mine, object{"dialect": "trunkline", "url": customer.url("/"), "events": list{"call.ended.v1"}})
	call, disposed := finishedCall(t, mine, nil)
	agent := mine.post("/v1/agents/jsmith/state", object{"state": "logged_in"}).want(http.StatusAccepted)
	alert := mine.post("/v1/alerts", object{"rule": "r", "metric": "m", "condition": ">", "threshold": 1, "value": 2, "severity": "warning"}).want(http.StatusCreated)
	message := mine.post("/v1/messages", object{"direction": "inbound", "type": "SMS", "content": "Hi", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated)
	contact := mine.post("/v1/contacts", object{"external_id": "c", "first_name": "Ann"}).want(http.StatusCreated)
	customer.wait("/", 1)
	deliveries := deliveriesOf(t, mine, hook, 1)
	for path, write := range map[string]answer{ // each has a read model of its own to wait for
		"/v1/leads/" + lead.text("leads", 0, "id"): lead, "/v1/calls/" + call: disposed, "/v1/agents/jsmith/states": agent,
		"/v1/alerts/" + alert.text("id"): alert, "/v1/messages/" + message.text("id"): message, "/v1/contacts/" + contact.text("id"): contact,
	} {
		mine.after(write, path).want(http.StatusOK)
	}
	paths := []string{
		"/v1/leads/" + lead.text("leads", 0, "id"), "/v1/calls/" + call, "/v1/calls/" + call + "/history", "/v1/calls/" + call + "?version=1",
		"/v1/agents/jsmith/states", "/v1/alerts/" + alert.text("id"), "/v1/messages/" + message.text("id"), "/v1/contacts/" + contact.text("id"),
		"/v1/lists/" + listID, "/v1/webhooks/" + hook, "/v1/webhooks/" + hook + "/secret", "/v1/webhooks/" + hook + "/deliveries", "/v1/deliveries/" + deliveries[0].text("id"),
	}
	for _, path := range paths {
		mine.get(path).want(http.StatusOK)
		theirs.get(path).want(http.StatusNotFound)
		h.as(t, "").get(path).want(http.StatusUnauthorized)
	}
	for path, body := range map[string]object{
		"/v1/lists/" + listID + "/keys": {}, "/v1/webhooks/" + hook + "/test": {}, "/v1/webhooks/" + hook + "/disable": {}, "/v1/webhooks/" + hook + "/enable": {},
		"/v1/webhooks/" + hook + "/rotate-secret": {}, "/v1/deliveries/" + deliveries[0].text("id") + "/resend": {},
		"/v1/alerts/" + alert.text("id") + "/resolve": {}, "/v1/webhooks/" + hook + "/recover": {"since": moment(0)},
	} {
		theirs.post(path, body).want(http.StatusNotFound)
	}
	theirs.patch("/v1/webhooks/"+hook, object{"name": "taken"}).want(http.StatusNotFound)
	theirs.patch("/v1/lists/"+listID, object{"name": "taken"}).want(http.StatusNotFound)
	theirs.send(http.MethodDelete, "/v1/webhooks/"+hook, nil).want(http.StatusNotFound)
	theirs.send(http.MethodDelete, "/v1/lists/"+listID, nil).want(http.StatusNotFound)
	for _, path := range []string{"/v1/leads", "/v1/calls", "/v1/agents", "/v1/alerts", "/v1/messages", "/v1/contacts", "/v1/lists", "/v1/webhooks", "/v1/connections", "/v1/events"} {
		if got := theirs.get(path).want(http.StatusOK).list("data"); len(got) != 0 {
			t.Errorf("%s of an empty organisation has %v", path, got)
		}
	}
	theirs.post("/v1/webhooks", object{"name": "x", "dialect": "dylr", "url": customer.url("/x"), "list_id": listID}).want(http.StatusBadRequest)
	theirs.post("/v1/orgs", object{"name": "mine"}).want(http.StatusForbidden)
	// The same phone is another lead there, and a call's id is free.
	if got := theirs.post("/v1/leads", object{"phone": "4155550150"}).want(http.StatusOK); got.text("leads", 0, "id") == lead.text("leads", 0, "id") || got.text("leads", 0, "status") != "created" {
		t.Errorf("the same phone in another organisation: %s", got.body)
	}
	theirs.post("/v1/calls", object{"id": call, "direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated)
}

func settingsChanges(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	for pointer, body := range map[string]object{
		"/name":           {},
		"/default_region": {"name": "x", "default_region": "America"},
		"/webhook_url":    {"name": "x", "webhook_url": "ftp://example.com"},
		"/colour":         {"name": "x", "colour": "red"},
	} {
		if got := admin.post("/v1/lists", body).want(http.StatusBadRequest).text("errors", 0, "pointer"); got != pointer {
			t.Errorf("a list with a wrong %s: the error is at %q", pointer, got)
		}
	}
	made := admin.post("/v1/lists", object{"name": "A"}).want(http.StatusCreated)
	path := "/v1/lists/" + made.text("id")
	if made.text("default_region") != "US" || made.at("webhook_url") != nil {
		t.Errorf("the list is %s", made.body)
	}
	admin.patch(path, object{"name": "B", "default_region": "GB"}).want(http.StatusOK)
	if got := admin.get(path).want(http.StatusOK); got.text("name") != "B" || got.text("default_region") != "GB" {
		t.Errorf("the changed list is %s", got.body)
	}
	admin.send(http.MethodDelete, path, nil).want(http.StatusNoContent)
	admin.get(path).want(http.StatusNotFound)

	reader := admin.post("/v1/api-keys", object{"name": "BI", "scopes": list{"read"}}).want(http.StatusCreated)
	read := h.as(t, reader.text("api_key"))
	read.get("/v1/calls").want(http.StatusOK)
	read.post("/v1/leads", object{"phone": "4155550152"}).want(http.StatusForbidden)
	read.post("/v1/lists", object{"name": "C"}).want(http.StatusForbidden)
	writer := h.as(t, admin.post("/v1/api-keys", object{"name": "dialer", "scopes": list{"write"}}).want(http.StatusCreated).text("api_key"))
	writer.post("/v1/leads", object{"phone": "4155550152"}).want(http.StatusOK)
	writer.post("/v1/webhooks", object{"name": "x"}).want(http.StatusForbidden)
	admin.post("/v1/api-keys", object{"name": "x", "scopes": list{"root"}}).want(http.StatusBadRequest)
	if listed := string(admin.get("/v1/api-keys").want(http.StatusOK).body); strings.Contains(listed, reader.text("api_key")) {
		t.Error("the list of keys shows a key")
	}
	admin.send(http.MethodDelete, "/v1/api-keys/"+reader.text("id"), nil).want(http.StatusNoContent)
	read.get("/v1/calls").want(http.StatusUnauthorized)
	if a, b := admin.get("/v1/zapier-key").want(http.StatusOK).text("key"), admin.get("/v1/zapier-key").want(http.StatusOK).text("key"); a == "" || a != b {
		t.Errorf("the Zapier key is %q, then %q", a, b)
	}
	for _, p := range admin.get("/v1/projections").want(http.StatusOK).list("data") {
		for _, field := range []string{"name", "state", "position", "lag_events", "lag_seconds", "parked"} {
			if !has(p.(object), field) {
				t.Errorf("a projection without %s: %v", field, p)
			}
		}
	}
}

func wrongRequests(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	nobody := h.as(t, "")
	nobody.get("/v1/leads").want(http.StatusUnauthorized)
	h.as(t, "nonsense").get("/v1/leads").want(http.StatusUnauthorized)
	admin.get("/v1/leads", "Authorization", "Basic "+admin.key).want(http.StatusUnauthorized)
	admin.get("/v1/nothing").want(http.StatusNotFound)
	nobody.get("/nothing").want(http.StatusNotFound)
	if got := admin.send(http.MethodDelete, "/v1/leads", nil).want(http.StatusMethodNotAllowed).header.Get("Allow"); !strings.Contains(got, "GET") || !strings.Contains(got, "POST") {
		t.Errorf("Allow is %q", got)
	}
	admin.get("/v1/leads/nobody").want(http.StatusNotFound)
	admin.get("/v1/calls/nobody").want(http.StatusNotFound)
	admin.get("/v1/calls/nobody/history").want(http.StatusNotFound)
	for _, path := range []string{"/v1/leads", "/v1/calls", "/v1/alerts", "/v1/messages", "/v1/contacts", "/v1/events", "/v1/lists", "/v1/webhooks", "/v1/connections", "/v1/api-keys"} {
		admin.post(path, `{"a":`).want(http.StatusBadRequest)
		admin.post(path, strings.Repeat(" ", 1<<20)+`{}`).want(http.StatusRequestEntityTooLarge)
	}
	for _, odd := range []string{"%00", "%ff", "a%2Fb", "..", "%F0%9F%99%82", strings.Repeat("x", 5000)} {
		for _, path := range []string{"/v1/leads/", "/v1/calls/", "/v1/lists/", "/v1/webhooks/", "/v1/deliveries/"} {
			if a := admin.settled(path + odd); a.status != http.StatusNotFound && a.status != http.StatusBadRequest && a.status != http.StatusOK {
				t.Errorf("%s: %d %s", a.asked, a.status, a.body)
			}
		}
		if a := admin.get("/v1/leads?q=" + odd); a.status != http.StatusOK && a.status != http.StatusBadRequest {
			t.Errorf("%s: %d %s", a.asked, a.status, a.body)
		}
		if a := admin.patch("/v1/calls/"+odd, object{"note": "?"}); a.status/100 != 4 {
			t.Errorf("%s: %d %s", a.asked, a.status, a.body)
		}
		if a := admin.post("/v1/agents/"+odd+"/state", object{"state": "logged_in"}); a.status/100 != 4 && a.status/100 != 2 {
			t.Errorf("%s: %d %s", a.asked, a.status, a.body)
		}
	}
	for _, text := range []string{`\u0000`, `\ud800`, `a\u0000b`} { // what Postgres cannot hold
		for path, body := range map[string]string{
			"/v1/leads": `{"phone":"4155550190","name":"%s"}`, "/v1/calls": `{"direction":"inbound","from":"+15551234567","to":"+14143756757","campaign":"%s"}`,
			"/v1/lists": `{"name":"%s"}`, "/v1/messages": `{"direction":"inbound","type":"SMS","content":"%s","from":"+15551234567","to":"+14143756757"}`,
			"/v1/connectors":  `{"name":"c","kind":"hubspot","credentials":{"access_token":"t"},"mapping":{"hs_note":"%s"}}`,
			"/v1/connectors?": `{"name":"c","kind":"slack","config":{"channel":"C0","badges":{"SALE":"%s"}},"credentials":{"bot_token":"xoxb-t"}}`,
		} {
			if a := admin.post(path, strings.ReplaceAll(body, "%s", text)); a.status >= 500 {
				t.Errorf("%s %s: %d %s", a.asked, text, a.status, a.body)
			}
		}
	}
	unknown := admin.post("/v1/calls", object{"colour": "red", "shape": "round"}).want(http.StatusBadRequest)
	for _, field := range []string{"/colour", "/shape"} {
		if !strings.Contains(string(unknown.body), `"`+field+`"`) {
			t.Errorf("unknown field %s is not named: %s", field, unknown.body)
		}
	}
}
