package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func webhookSettings(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	listID, _ := newList(t, h, admin, object{})
	good := func(change object) object {
		o := object{"name": "CRM", "url": customer.url("/crm"), "dialect": "dialercx", "events": list{"call.ended"}}
		for k, v := range change {
			o[k] = v
		}
		return o
	}
	for name, c := range map[string]struct {
		body    object
		pointer string
		says    []string
	}{
		"no name":             {good(object{"name": ""}), "/name", nil},
		"a long name":         {good(object{"name": strings.Repeat("n", 101)}), "/name", []string{"100"}},
		"an unknown dialect":  {good(object{"dialect": "fax"}), "/dialect", []string{"trunkline", "dylr", "dialercx"}},
		"an unknown event":    {good(object{"events": list{"call.ended", "call.exploded"}}), "/events/1", []string{"call.started", "call.ended", "agent.login", "agent.logout", "agent.pause", "agent.resume", "lead.updated", "recording.ready", "alert.triggered"}},
		"an event of another": {good(object{"dialect": "dylr", "events": list{"call.ended"}}), "/events/0", []string{"call.completed"}},
		"no events":           {good(object{"events": list{}}), "/events", nil},
		"a reserved header":   {good(object{"headers": object{"Webhook-Signature": "x"}}), "/headers/Webhook-Signature", []string{"reserved"}},
		"a dialect's header":  {good(object{"headers": object{"x-webhook-event": "x"}}), "/headers/x-webhook-event", []string{"reserved"}},
		"a header's value":    {good(object{"headers": object{"X-A": "a\r\nb: c"}}), "/headers/X-A", nil},
		"an unknown list":     {good(object{"list_id": "nowhere"}), "/list_id", nil},
		"an unknown ordering": {good(object{"ordering": "random"}), "/ordering", []string{"entity", "none"}},
		"unknown ids":         {good(object{"ids": "both"}), "/ids", []string{"hub", "source"}},
		"no url":              {good(object{"url": ""}), "/url", nil},
		"no absolute url":     {good(object{"url": "/crm"}), "/url", nil},
		"a private address":   {good(object{"url": "https://10.1.2.3/crm"}), "/url", nil},
		"the metadata server": {good(object{"url": "https://169.254.169.254/latest"}), "/url", nil},
		"v4 mapped into v6":   {good(object{"url": "https://[::ffff:10.1.2.3]/"}), "/url", nil},
		"another scheme":      {good(object{"url": "gopher://example.com/"}), "/url", nil},
		"an unknown field":    {good(object{"colour": "red"}), "/colour", nil},
		"a secret":            {good(object{"secret": "mine"}), "/secret", nil},
	} {
		a := admin.post("/v1/webhooks", c.body).want(http.StatusBadRequest)
		if got := a.text("errors", 0, "pointer"); got != c.pointer {
			t.Errorf("%s: the error is at %q, want %q: %s", name, got, c.pointer, a.body)
		}
		for _, word := range c.says {
			if !strings.Contains(a.text("errors", 0, "detail"), word) {
				t.Errorf("%s: %q is not in %s", name, word, a.body)
			}
		}
	}

	made := admin.post("/v1/webhooks", good(object{"list_id": listID, "headers": object{"X-Tenant": "7"}, "rate_per_sec": 50, "max_in_flight": 4})).want(http.StatusCreated)
	path := "/v1/webhooks/" + made.text("id")
	for field, want := range map[string]any{
		"name": "CRM", "url": customer.url("/crm"), "dialect": "dialercx", "events": list{"call.ended"}, "list_id": listID, "enabled": true, "ordering": "entity",
		"max_in_flight": 4.0, "rate_per_sec": 50.0, "headers": object{"X-Tenant": "7"}, "sign_standard": true, "ids": "hub",
	} {
		if diff := cmp.Diff(want, made.at(field)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", field, diff)
		}
	}
	got := admin.get(path).want(http.StatusOK)
	if has(got.at().(object), "secret") {
		t.Errorf("the secret is shown again: %s", got.body)
	}
	for _, field := range []string{"last_sent_at", "consecutive_failures", "last_error", "last_status", "backlog", "oldest_pending_sec", "disabled_reason"} {
		got.at("health", field)
	}
	changed := admin.patch(path, object{"name": "CRM 2", "events": list{"call.ended", "lead.updated"}, "headers": nil, "list_id": nil}).want(http.StatusOK)
	if changed.text("name") != "CRM 2" || len(changed.list("events")) != 2 || changed.at("list_id") != nil || changed.at("max_in_flight") != 4.0 {
		t.Errorf("the changed webhook is %s", changed.body)
	}
	admin.patch(path, object{"events": list{"call.exploded"}}).want(http.StatusBadRequest)
	admin.patch(path, object{"url": "https://192.168.1.1/"}).want(http.StatusBadRequest)
	if got := admin.get("/v1/webhooks").want(http.StatusOK).list("data"); len(got) != 1 || got[0].(object)["name"] != "CRM 2" {
		t.Errorf("the webhooks are %v", got)
	}
	admin.send(http.MethodDelete, path, nil).want(http.StatusNoContent)
	admin.get(path).want(http.StatusNotFound)
	admin.send(http.MethodDelete, path, nil).want(http.StatusNotFound)
}

func webhookSecrets(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, "whsec_"))
	if err != nil || len(raw) != 32 {
		t.Errorf("the secret %q is not whsec_ and base64 of 32 bytes: %v", secret, err)
	}
	path := "/v1/webhooks/" + id
	if got := admin.get(path + "/secret").want(http.StatusOK).text("secret"); got != secret {
		t.Errorf("GET secret: %q, made with %q", got, secret)
	}
	reader := h.as(t, admin.post("/v1/api-keys", object{"name": "BI", "scopes": list{"read"}}).want(http.StatusCreated).text("api_key"))
	reader.get(path + "/secret").want(http.StatusForbidden)
	reader.get(path).want(http.StatusOK)
	renewed := admin.post(path+"/rotate-secret", nil).want(http.StatusOK).text("secret")
	if renewed == secret || admin.get(path+"/secret").want(http.StatusOK).text("secret") != renewed {
		t.Errorf("rotated to %q from %q", renewed, secret)
	}
	admin.post("/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated)
	got := customer.wait("/", 1)[0]
	checkStandard(t, got, renewed, "call.started.v1")
	checkStandard(t, got, secret, "call.started.v1") // the overlap
}

// deliveriesOf waits until the log of a webhook has n deliveries that came to an
// end, and returns them in detail, the oldest first.
func deliveriesOf(t *testing.T, admin caller, hook string, n int, status ...string) []answer {
	t.Helper()
	query := "?limit=200"
	if len(status) > 0 {
		query += "&status=" + status[0]
	}
	var ids []string
	eventually(t, fmt.Sprintf("%d deliveries %v in the log", n, status), func(context.Context) error {
		ids = nil
		a := admin.get("/v1/webhooks/" + hook + "/deliveries" + query).want(http.StatusOK)
		for _, d := range a.list("data") {
			if s := d.(object)["status"]; s != "pending" || slices.Contains(status, "pending") {
				ids = append(ids, d.(object)["id"].(string))
			}
		}
		if len(ids) != n {
			return fmt.Errorf("%d: %s", len(ids), a.body)
		}
		return nil
	})
	slices.Reverse(ids)
	out := make([]answer, n)
	for i, id := range ids {
		out[i] = admin.get("/v1/deliveries/" + id).want(http.StatusOK)
	}
	return out
}

func deliveriesSeen(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.answers("/ok", 200)
	customer.answers("/bad", 500)
	ok, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/ok"), "events": list{"call.started"}})
	bad, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/bad"), "events": list{"call.started"}})
	nowhere, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": "http://127.0.0.1:1/", "events": list{"call.started"}})
	call := admin.post("/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated).text("id")
	sent := customer.wait("/ok", 1)[0]
	d := deliveriesOf(t, admin, ok, 1)[0]
	for field, want := range map[string]any{"id": sent.wire("webhook-id"), "event_type": "call.started.v1", "entity": call, "status": "delivered", "next_attempt_at": nil} {
		if got := d.at(field); got != want {
			t.Errorf("%s is %v, want %v", field, got, want)
		}
	}
	if d.text("event_id") == "" || len(d.list("attempts")) != 1 {
		t.Errorf("the delivery is %s", d.body)
	}
	for field, want := range map[string]any{"number": 1.0, "status_code": 200.0, "request_body": sent.body, "response_body": "the receiver answers 200", "error": nil} {
		if got := d.at("attempts", 0, field); got != want {
			t.Errorf("attempts: %s is %v, want %v", field, got, want)
		}
	}
	d.time("attempts", 0, "started_at")
	if ms := d.at("attempts", 0, "duration_ms").(float64); ms <= 0 || ms > 10_000 {
		t.Errorf("duration_ms is %v", ms)
	}
	requested, responded := headersOf(d, "request_headers"), headersOf(d, "response_headers")
	if requested["X-Webhook-Signature"] != sent.wire("X-Webhook-Signature") || requested["webhook-id"] != sent.wire("webhook-id") || responded["X-Receiver"] != "yes" {
		t.Errorf("the headers kept are %v and %v", requested, responded)
	}
	eventually(t, "the health of the webhook", func(context.Context) error {
		got := admin.get("/v1/webhooks/" + ok).want(http.StatusOK)
		if got.text("health", "last_sent_at") == "" || got.at("health", "consecutive_failures") != 0.0 || got.at("health", "backlog") != 0.0 {
			return fmt.Errorf("it is %s", got.body)
		}
		return nil
	})

	// One that fails waits for its next attempt, five seconds later (seed 002).
	failing := deliveriesOf(t, admin, bad, 1, "pending")[0]
	eventually(t, "the failed attempt in the log", func(context.Context) error {
		failing = admin.get("/v1/deliveries/" + failing.text("id")).want(http.StatusOK)
		if len(failing.list("attempts")) == 0 || failing.at("next_attempt_at") == nil {
			return fmt.Errorf("it is %s", failing.body)
		}
		return nil
	})
	if failing.at("attempts", 0, "status_code") != 500.0 || failing.text("attempts", 0, "response_body") != "the receiver answers 500" {
		t.Errorf("the failed attempt is %s", failing.body)
	}
	if pause := failing.time("next_attempt_at").Sub(failing.time("attempts", 0, "started_at")); pause < 5*time.Second || pause > 7*time.Second {
		t.Errorf("the first retry is after %s", pause)
	}
	refused := deliveriesOf(t, admin, nowhere, 1, "pending")[0]
	eventually(t, "the refused attempt in the log", func(context.Context) error {
		refused = admin.get("/v1/deliveries/" + refused.text("id")).want(http.StatusOK)
		if len(refused.list("attempts")) == 0 {
			return fmt.Errorf("it is %s", refused.body)
		}
		return nil
	})
	if refused.at("attempts", 0, "status_code") != nil || !strings.Contains(refused.text("attempts", 0, "error"), "refused") {
		t.Errorf("the refused attempt is %s", refused.body)
	}
	eventually(t, "the health of the failing webhook", func(context.Context) error {
		got := admin.get("/v1/webhooks/" + bad).want(http.StatusOK)
		if got.at("health", "consecutive_failures") == 0.0 || got.at("health", "backlog") != 1.0 || got.at("health", "last_status") != 500.0 || got.at("health", "oldest_pending_sec") == nil || got.text("health", "last_error") == "" {
			return fmt.Errorf("it is %s", got.body)
		}
		return nil
	})
	for query, want := range map[string]int{"status=delivered": 1, "status=exhausted": 0, "since=" + moment(0): 1, "since=" + moment(2*time.Hour): 0} {
		if got := len(admin.get("/v1/webhooks/" + ok + "/deliveries?" + query).want(http.StatusOK).list("data")); got != want {
			t.Errorf("?%s found %d, want %d", query, got, want)
		}
	}
	admin.get("/v1/webhooks/" + ok + "/deliveries?status=lost").want(http.StatusBadRequest)
	admin.get("/v1/deliveries/nothing").want(http.StatusNotFound)

	test := admin.post("/v1/webhooks/"+bad+"/test", nil).want(http.StatusOK)
	if test.at("status_code") != 500.0 || test.text("delivery_id") == "" || test.text("response", "body") != "the receiver answers 500" || !strings.Contains(test.text("request", "body"), `"event":"call.started"`) {
		t.Errorf("the test call is %s", test.body)
	}
	test.at("duration_ms")
	test.at("error")
	test.at("request", "headers")
	test.at("response", "headers")
	failed := admin.post("/v1/webhooks/"+nowhere+"/test", nil).want(http.StatusOK)
	if failed.at("status_code") != nil || failed.text("error") == "" {
		t.Errorf("a test call to nowhere is %s", failed.body)
	}
}

// headersOf reads the headers of the first attempt, whatever JSON they are: an
// object of texts or of lists.
func headersOf(d answer, member string) map[string]string {
	d.t.Helper()
	out := make(map[string]string)
	for name, v := range d.at("attempts", 0, member).(object) {
		switch v := v.(type) {
		case string:
			out[name] = v
		case []any:
			out[name] = v[0].(string)
		}
	}
	return out
}

func startCall(t *testing.T, admin caller) string {
	t.Helper()
	return admin.post("/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusCreated).text("id")
}

func disableAndEnable(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/control"), "events": list{"call.started"}})
	path := "/v1/webhooks/" + id
	off := admin.post(path+"/disable", object{"reason": "maintenance"}).want(http.StatusOK)
	if off.at("enabled") != false || off.text("health", "disabled_reason") != "maintenance" {
		t.Errorf("the disabled webhook is %s", off.body)
	}
	startCall(t, admin)
	startCall(t, admin)
	held := deliveriesOf(t, admin, id, 2, "held")
	customer.wait("/control", 2)
	if got := customer.at("/"); len(got) != 0 {
		t.Fatalf("a disabled webhook received %v", got)
	}
	if got := admin.get(path).want(http.StatusOK).at("health", "backlog"); got != 2.0 {
		t.Errorf("the backlog is %v", got)
	}
	on := admin.post(path+"/enable", object{"backlog": "deliver"}).want(http.StatusOK)
	if on.at("enabled") != true || on.at("health", "disabled_reason") != nil {
		t.Errorf("the enabled webhook is %s", on.body)
	}
	for _, r := range customer.wait("/", 2) {
		if !slices.ContainsFunc(held, func(d answer) bool { return d.text("id") == r.wire("webhook-id") }) {
			t.Errorf("what was held was sent under another id, %s", r.wire("webhook-id"))
		}
	}
	deliveriesOf(t, admin, id, 2, "delivered")

	admin.patch(path, object{"enabled": false}).want(http.StatusOK)
	startCall(t, admin)
	deliveriesOf(t, admin, id, 1, "held")
	admin.post(path+"/enable", object{"backlog": "keep"}).want(http.StatusBadRequest)
	admin.post(path+"/enable", object{"backlog": "drop"}).want(http.StatusOK)
	dropped := deliveriesOf(t, admin, id, 1, "dropped")
	startCall(t, admin)
	got := customer.wait("/", 3)[2]
	if got.wire("webhook-id") == dropped[0].text("id") {
		t.Error("what was dropped was sent")
	}

	admin.patch(path, object{"enabled": false}).want(http.StatusOK)
	startCall(t, admin)
	deliveriesOf(t, admin, id, 1, "held")
	admin.patch(path, object{"enabled": true}).want(http.StatusOK) // enable and deliver the backlog
	customer.wait("/", 4)
}

func resendAndRecover(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	id, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	path := "/v1/webhooks/" + id
	startCall(t, admin)
	first := customer.wait("/", 1)[0]
	deliveriesOf(t, admin, id, 1, "delivered")
	resent := admin.send(http.MethodPost, "/v1/deliveries/"+first.wire("webhook-id")+"/resend", nil)
	if resent.status != http.StatusAccepted && resent.status != http.StatusOK {
		t.Fatalf("resend: %d %s", resent.status, resent.body)
	}
	second := customer.wait("/", 2)[1]
	if second.wire("webhook-id") != first.wire("webhook-id") || second.body != first.body || second.wire("trunkline-replay") == "" {
		t.Errorf("resent: %v %s, first %s", second.header, second.body, first.body)
	}
	checkStandard(t, second, secret, "call.started.v1")
	eventually(t, "both attempts in the log", func(context.Context) error {
		d := admin.get("/v1/deliveries/" + first.wire("webhook-id")).want(http.StatusOK)
		if len(d.list("attempts")) != 2 || d.text("status") != "delivered" {
			return fmt.Errorf("it is %s", d.body)
		}
		return nil
	})
	admin.post("/v1/deliveries/nothing/resend", nil).want(http.StatusNotFound)

	// What was given up on purpose is not sent again by recover.
	since := time.Now().Add(-time.Minute).UTC().Format(time.RFC3339Nano)
	admin.post(path+"/disable", nil).want(http.StatusOK)
	startCall(t, admin)
	deliveriesOf(t, admin, id, 1, "held")
	admin.post(path+"/enable", object{"backlog": "drop"}).want(http.StatusOK)
	deliveriesOf(t, admin, id, 1, "dropped")
	admin.post(path+"/recover", object{}).want(http.StatusBadRequest)
	recovered := admin.post(path+"/recover", object{"since": since}).want(http.StatusAccepted)
	if recovered.at("deliveries") != 0.0 {
		t.Errorf("recovered: %s", recovered.body)
	}
	if report := ended(t, admin, recovered.text("replay_id")); report.at("replay", "progress", "deliveries") != 0.0 {
		t.Errorf("the recovery is %s", report.body)
	}
	customer.wait("/", 2)
}

func goneReceiver(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.answers("/gone", 410)
	customer.answers("/moved", 302)
	gone, _ := endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/gone"), "events": list{"call.started.v1"}})
	moved, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/moved"), "events": list{"call.started"}})
	startCall(t, admin)
	eventually(t, "410 to disable the webhook", func(context.Context) error {
		got := admin.get("/v1/webhooks/" + gone).want(http.StatusOK)
		if got.at("enabled") != false || !strings.Contains(got.text("health", "disabled_reason"), "410") {
			return fmt.Errorf("it is %s", got.body)
		}
		return nil
	})
	startCall(t, admin)
	customer.wait("/gone", 1) // and nothing more
	// A redirect is a failure, not a way.
	d := deliveriesOf(t, admin, moved, 2, "pending")[0]
	eventually(t, "the redirect in the log", func(context.Context) error {
		d = admin.get("/v1/deliveries/" + d.text("id")).want(http.StatusOK)
		if len(d.list("attempts")) == 0 {
			return fmt.Errorf("it is %s", d.body)
		}
		return nil
	})
	if d.at("attempts", 0, "status_code") != 302.0 || d.text("status") != "pending" {
		t.Errorf("a redirect: %s", d.body)
	}
	// Enabled again it gets what was held.
	customer.answers("/gone", 200)
	admin.post("/v1/webhooks/"+gone+"/enable", nil).want(http.StatusOK)
	customer.wait("/gone", 3)
}

// hangingReceiver takes requests and never answers: nobody else waits for it.
func hangingReceiver(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.hangs("/hanging")
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/hanging"), "events": list{"call.started.v1"}, "max_in_flight": 2})
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/healthy"), "events": list{"call.started.v1"}})
	const calls = 100
	began := time.Now()
	for range calls {
		startCall(t, admin)
	}
	got := customer.wait("/healthy", calls)
	if last := got[len(got)-1].at.Sub(began); last > 10*time.Second { // the hanging one's timeout is 15 s
		t.Errorf("beside a receiver that hangs the last webhook came after %s", last)
	}
	if n := len(customer.at("/hanging")); n > 2 {
		t.Errorf("%d requests hang, at most 2 may be in flight", n)
	}
}
