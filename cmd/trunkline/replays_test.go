package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

func now() string { return time.Now().UTC().Format(time.RFC3339Nano) }

// ended waits until a replay has come to an end and returns its report.
func ended(t *testing.T, admin caller, id string) answer {
	t.Helper()
	var report answer
	eventually(t, "the end of replay "+id, func(context.Context) error {
		a, err := admin.try(http.MethodGet, "/v1/replays/"+id+"/report", nil)
		if err != nil {
			return err
		}
		if s := a.text("replay", "state"); s != "finished" && s != "aborted" {
			return fmt.Errorf("it is %s", a.body)
		}
		report = a
		return nil
	})
	return report
}

func replayedWebhook(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	from := now()
	id, secret := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	call := startCall(t, admin)
	customer.wait("/", 1) // two calls have no order of their own
	startCall(t, admin)
	first := customer.wait("/", 2)
	deliveriesOf(t, admin, id, 2, "delivered")

	scope := func(more object) object {
		body := object{"from": from, "webhook_id": id}
		for k, v := range more {
			body[k] = v
		}
		return body
	}
	plan := admin.post("/v1/replays", scope(object{"dry_run": true})).want(http.StatusOK)
	if plan.at("events") != 2.0 || plan.at("deliveries") != 2.0 || plan.at("complete") != true || plan.at("by_webhook", id) != 2.0 || plan.at("by_type", "call.started.v1") != 2.0 {
		t.Errorf("the plan is %s", plan.body)
	}
	if plan.at("differences", "same") != 2.0 || plan.at("differences", "different") != 0.0 {
		t.Errorf("what was sent differs: %s", plan.body)
	}
	if got := plan.text("sample", 0, "request", "body"); got != first[0].body {
		t.Errorf("the sample is %s, sent was %s", got, first[0].body)
	}
	run := admin.post("/v1/replays", scope(object{"entity": call, "types": list{"call.*"}})).want(http.StatusCreated)
	again := customer.wait("/", 3)[2]
	if again.wire("webhook-id") != first[0].wire("webhook-id") || again.body != first[0].body || again.wire("trunkline-replay") != run.text("id") {
		t.Errorf("replayed: %v %s; first %v %s", again.header, again.body, first[0].header, first[0].body)
	}
	checkStandard(t, again, secret, "call.started.v1")
	report := ended(t, admin, run.text("id"))
	if report.at("counts", "delivered") != 1.0 || report.at("replay", "progress", "deliveries") != 1.0 || len(report.list("failures")) != 0 ||
		report.text("first_position") == "" || report.text("first_position") != report.text("last_position") {
		t.Errorf("the report is %s", report.body)
	}
	if listed := admin.get("/v1/replays").want(http.StatusOK); listed.text("data", 0, "id") != run.text("id") {
		t.Errorf("listed are %s", listed.body)
	}
	stranger, _ := h.org(t)
	stranger.get("/v1/replays/" + run.text("id")).want(http.StatusNotFound)
	stranger.post("/v1/replays", scope(nil)).want(http.StatusBadRequest)
	admin.post("/v1/replays", object{"from": from}).want(http.StatusBadRequest)
	admin.post("/v1/replays/"+run.text("id")+"/pause", nil).want(http.StatusConflict)

	// Another receiver, in another format, with a secret of its own.
	to := object{"from": from, "url": customer.url("/elsewhere"), "dialect": "trunkline", "rate_per_sec": 50}
	other := admin.post("/v1/replays", to).want(http.StatusCreated)
	for _, got := range customer.wait("/elsewhere", 2) {
		checkStandard(t, got, other.text("secret"), "call.started.v1")
		if !strings.Contains(got.body, `"specversion":"1.0"`) || got.wire("trunkline-replay") != other.text("id") {
			t.Errorf("elsewhere: %v %s", got.header, got.body)
		}
	}
	if report := ended(t, admin, other.text("id")); report.at("counts", "delivered") != 2.0 || report.at("replay", "url") != customer.url("/elsewhere") {
		t.Errorf("the report is %s", report.body)
	}
	if hooks := admin.get("/v1/webhooks").want(http.StatusOK).list("data"); len(hooks) != 1 {
		t.Errorf("the receiver of a replay is listed: %v", hooks)
	}
	admin.post("/v1/replays", object{"from": from, "url": "http://10.0.0.1/", "dialect": "dylr"}).want(http.StatusBadRequest)
}

func replayAborted(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	from := now()
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	for range 6 {
		startCall(t, admin)
	}
	customer.wait("/", 6)
	customer.answers("/bad", 500)
	run := admin.post("/v1/replays", object{"from": from, "url": customer.url("/bad"), "dialect": "dialercx", "events": list{"call.started"}, "rate_per_sec": 2}).want(http.StatusCreated)
	path := "/v1/replays/" + run.text("id")
	customer.wait("/bad", 1)
	paused := admin.post(path+"/pause", object{"reason": "for lunch"}).want(http.StatusOK)
	if paused.text("state") != "paused" || !strings.HasSuffix(paused.text("detail"), ": for lunch") {
		t.Errorf("paused: %s", paused.body)
	}
	admin.post(path+"/resume", nil).want(http.StatusOK)
	admin.post(path+"/abort", nil).want(http.StatusOK)
	report := ended(t, admin, run.text("id"))
	if report.text("replay", "state") != "aborted" || report.at("counts", "dropped") == 0.0 || report.text("failures", 0, "reason") != "the replay was aborted" {
		t.Errorf("the report is %s", report.body)
	}
}

// startsInThePast makes a webhook that is owed what happened before it.
func startsInThePast(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	startCall(t, admin)
	from := now()
	call := startCall(t, admin)
	admin.patch("/v1/calls/"+call, object{"note": "one"}).want(http.StatusOK)
	id, _ := endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/"), "events": list{"call.*"}, "start_from": from})
	admin.patch("/v1/calls/"+call, object{"note": "two"}).want(http.StatusOK)
	customer.wait("/", 3)
	eventually(t, "the webhook to have caught up", func(context.Context) error {
		a := admin.get("/v1/replays/start-" + id).want(http.StatusOK)
		if a.text("state") != "finished" {
			return fmt.Errorf("it is %s", a.body)
		}
		return nil
	})
	admin.patch("/v1/calls/"+call, object{"note": "three"}).want(http.StatusOK)
	for i, got := range customer.wait("/", 4) {
		if got.wire("trunkline-sequence") != fmt.Sprint(i+1) || got.wire("trunkline-replay") != "" {
			t.Errorf("number %d is %v", i+1, got.header)
		}
		if want := map[bool]string{true: fmt.Sprint(i), false: ""}[i > 0]; got.wire("trunkline-previous-sequence") != want {
			t.Errorf("number %d follows %q, want %q", i+1, got.wire("trunkline-previous-sequence"), want)
		}
	}
	deliveriesOf(t, admin, id, 4, "delivered")
}

func cancelledDelivery(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.answers("/", 500)
	id, _ := endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/"), "events": list{"call.started"}})
	startCall(t, admin)
	pending := deliveriesOf(t, admin, id, 1, "pending")[0].text("id")
	cancelled := admin.post("/v1/deliveries/"+pending+"/cancel", object{"reason": "a test call"}).want(http.StatusOK)
	if cancelled.text("status") != "dropped" || !strings.HasSuffix(cancelled.text("reason"), ": a test call") {
		t.Errorf("cancelled: %s", cancelled.body)
	}
	dropped := deliveriesOf(t, admin, id, 1, "dropped")[0]
	if dropped.text("id") != pending || !strings.HasSuffix(dropped.text("reason"), ": a test call") {
		t.Errorf("dropped: %s", dropped.body)
	}
	admin.post("/v1/deliveries/"+pending+"/cancel", nil).want(http.StatusConflict)
	admin.post("/v1/deliveries/nothing/cancel", nil).want(http.StatusNotFound)
	// What was given up on purpose is not recovered.
	customer.answers("/", 200)
	n := len(customer.at("/"))
	recovered := admin.post("/v1/webhooks/"+id+"/recover", object{"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)}).want(http.StatusAccepted)
	if recovered.at("deliveries") != 0.0 {
		t.Errorf("recovered: %s", recovered.body)
	}
	ended(t, admin, recovered.text("replay_id"))
	if got := customer.at("/"); len(got) != n {
		t.Errorf("what was cancelled was sent again: %v", got[n:])
	}
}

// TestReplaysGoOnThroughKills has replays and webhooks that catch up go on through kills of
// the hub: nothing is lost, and repeated is no more than was on its way.
func TestReplaysGoOnThroughKills(t *testing.T) {
	h := newHub(t, nil)
	h.start()
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	customer := newReceiver(t)
	from := now()
	const calls, each, events = 500, 6, 3000
	for batch := range events / 500 {
		var body list
		for i := range 500 {
			n := batch*500 + i
			call := fmt.Sprintf("call-%d", n%calls)
			e := object{"specversion": "1.0", "id": fmt.Sprintf("e-%d", n), "source": "test", "subject": call, "time": now(), "type": "call.note_added.v1", "data": object{"note": fmt.Sprint(n)}}
			if n < calls {
				e["type"], e["data"] = "call.started.v1", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757", "started_at": now()}
			}
			body = append(body, e)
		}
		admin.post("/v1/events", body, "Content-Type", "application/cloudevents-batch+json").want(http.StatusOK)
	}
	// One is sent to by a replay, the other catches up, at a pace that lets the
	// kills come in the middle.
	settings := object{"dialect": "trunkline", "events": list{"call.*"}}
	settings["url"] = customer.url("/replayed")
	replayed, _ := endpoint(t, admin, settings)
	settings["url"], settings["start_from"], settings["rate_per_sec"] = customer.url("/late"), from, 400
	late, _ := endpoint(t, admin, settings)
	run := admin.post("/v1/replays", object{"from": from, "webhook_id": replayed, "rate_per_sec": 400}).want(http.StatusCreated)
	for _, path := range []string{"/replayed", "/late"} {
		for share := 1; share <= 2; share++ {
			eventually(t, "a part of "+path, func(context.Context) error {
				if n := len(customer.at(path)); n < share*events/4 {
					return fmt.Errorf("%d came", n)
				}
				return nil
			})
			if path == "/replayed" {
				h.kill()
				h.start()
			}
		}
	}
	report := ended(t, admin, run.text("id"))
	if report.text("replay", "state") != "finished" || report.at("counts", "delivered") != float64(events) || report.at("replay", "progress", "events") != float64(events) {
		t.Errorf("the report is %s", report.body)
	}
	ended(t, admin, "start-"+late)
	for _, path := range []string{"/replayed", "/late"} {
		eventually(t, "everything at "+path, func(context.Context) error {
			if n := len(distinct(customer.at(path))); n < events {
				return fmt.Errorf("%d of %d came", n, events)
			}
			return nil
		})
		checkOrder(t, path, customer.at(path), calls, each)
		if repeats := len(customer.at(path)) - events; repeats > events/4 {
			t.Errorf("%s: %d of %d were repeated", path, repeats, events)
		}
	}
}

// distinct are the requests with their repeats left out.
func distinct(all []received) []received {
	seen := make(map[string]bool)
	var first []received
	for _, r := range all {
		if id := r.wire("webhook-id"); !seen[id] {
			seen[id] = true
			first = append(first, r)
		}
	}
	return first
}

// checkOrder: each entity's events came in their order, repeats left out.
func checkOrder(t *testing.T, path string, all []received, entities, each int) {
	t.Helper()
	next := make(map[string]int)
	for _, r := range distinct(all) {
		_, after, _ := strings.Cut(r.body, `"subject":"`)
		entity, _, _ := strings.Cut(after, `"`)
		next[entity]++
		if got := r.wire("trunkline-sequence"); got != fmt.Sprint(next[entity]) {
			t.Errorf("%s: number %d of %s is its event %s", path, next[entity], entity, got)
			return
		}
	}
	if len(next) != entities {
		t.Errorf("%s: %d entities came, want %d", path, len(next), entities)
	}
	for entity, n := range next {
		if n != each {
			t.Errorf("%s: %d events of %s came, want %d", path, n, entity, each)
			return
		}
	}
}
