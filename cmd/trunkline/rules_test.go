package main

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// alertRules sets a rule for each metric, lets happen what crosses it, and looks
// for the alert; then it lets the conditions end.
func alertRules(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.answers("/broken", http.StatusInternalServerError)
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/alerts"), "events": list{"alert.triggered"}})
	source := recordingSource(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) })

	rules := make(map[string]string)
	for metric, x := range map[string]object{
		"queue_depth":         {"condition": ">=", "threshold": 2, "campaign": "Q1", "severity": "high"},
		"wait_time":           {"condition": ">", "threshold": 20, "window": "5m"},
		"drop_rate":           {"condition": ">", "threshold": 30, "window": 300},
		"open_calls":          {"condition": ">", "threshold": 0, "window": 1},
		"agent_count":         {"condition": "=", "threshold": 1},
		"pause_time":          {"condition": ">=", "threshold": 1},
		"delivery_failures":   {"condition": ">=", "threshold": 1},
		"recordings_expiring": {"condition": ">=", "threshold": 1, "window": 3600},
	} {
		x["name"], x["metric"] = "rule of "+metric, metric
		rules[metric] = admin.post("/v1/alert-rules", x).want(http.StatusCreated).text("id")
	}
	ruleSettings(t, h, admin, rules["queue_depth"])

	start := func(campaign string) string {
		return admin.post("/v1/calls", object{"direction": "inbound", "from": "+15557654321", "to": "+14143756757", "campaign": campaign, "started_at": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)}).
			want(http.StatusCreated).text("id")
	}
	first, second, other := start("Q1"), start("Q1"), start("Q2")
	admin.post("/v1/agents/jane/state", object{"state": "logged_in"}).want(http.StatusAccepted)
	admin.post("/v1/agents/jane/state", object{"state": "paused", "at": time.Now().Add(-time.Minute).UTC().Format(time.RFC3339)}).want(http.StatusAccepted)
	alertID := make(map[string]string)
	raised := func(metric string, value func(any) bool) {
		t.Helper()
		eventually(t, "the alert of "+metric, func(context.Context) error {
			for _, a := range admin.get("/v1/alerts").want(http.StatusOK).list("data") {
				if a := a.(object); a["rule_id"] == rules[metric] {
					if !value(a["value"]) || a["rule"] != "rule of "+metric || a["metric"] != metric {
						t.Fatalf("the alert of %s is %v", metric, a)
					}
					alertID[metric] = a["id"].(string)
					return nil
				}
			}
			return fmt.Errorf("there is none")
		})
	}
	above := func(n float64) func(any) bool { return func(v any) bool { f, ok := v.(float64); return ok && f >= n } }
	raised("queue_depth", above(2))
	raised("open_calls", above(1))
	raised("agent_count", above(1))
	raised("pause_time", above(1))
	admin.patch("/v1/calls/"+first, object{"answered_at": time.Now().UTC().Format(time.RFC3339)}).want(http.StatusOK)
	raised("wait_time", above(30))
	endpoint(t, admin, object{"dialect": "dialercx", "url": customer.url("/broken"), "events": list{"call.started"}})
	last := start("Q2")
	admin.patch("/v1/calls/"+first, object{"recording": object{"url": source + "/x.mp3", "expires_at": time.Now().Add(30 * time.Minute).UTC().Format(time.RFC3339)}}).want(http.StatusOK)
	raised("delivery_failures", above(1))
	raised("recordings_expiring", above(1))
	for _, id := range []string{first, second, other, last} {
		admin.patch("/v1/calls/"+id, object{"ended_at": time.Now().UTC().Format(time.RFC3339)}).want(http.StatusOK)
	}
	raised("drop_rate", above(31))
	for _, state := range []string{"resumed", "logged_out"} {
		admin.post("/v1/agents/jane/state", object{"state": state}).want(http.StatusAccepted)
	}

	// In the words of Dialer.CX.
	var queue string
	for _, r := range customer.wait("/alerts", 8) {
		if b := (answer{t: t, asked: "alert.triggered", body: []byte(r.body)}); b.text("data", "metric") == "queue_depth" {
			queue = r.body
		}
	}
	b := answer{t: t, asked: "alert.triggered", body: []byte(queue)}
	want := object{
		"alert_id": alertID["queue_depth"], "rule": "rule of queue_depth", "metric": "queue_depth", "condition": ">=", "threshold": 2.0, "value": b.at("data", "value"),
		"severity": "high", "campaign": "Q1", "triggered_at": b.text("data", "triggered_at"),
	}
	if diff := cmp.Diff(want, b.at("data")); diff != "" {
		t.Errorf("alert.triggered (-want +got):\n%s", diff)
	}

	// Somebody sees one; they end when their conditions do, or with their rule.
	admin.post("/v1/alerts/"+alertID["pause_time"]+"/acknowledge", object{"note": "lunch"}).want(http.StatusOK)
	admin.send(http.MethodDelete, "/v1/alert-rules/"+rules["recordings_expiring"], nil).want(http.StatusNoContent)
	admin.patch("/v1/alert-rules/"+rules["delivery_failures"], object{"enabled": false}).want(http.StatusOK)
	for _, metric := range []string{"queue_depth", "open_calls", "agent_count", "pause_time", "recordings_expiring", "delivery_failures"} {
		eventually(t, "the end of the alert of "+metric, func(context.Context) error {
			if a := admin.get("/v1/alerts/" + alertID[metric]).want(http.StatusOK); a.text("status") != "resolved" {
				return fmt.Errorf("it is %s", a.body)
			}
			return nil
		})
	}
	if n := len(customer.at("/alerts")); n != 8 {
		t.Errorf("%d alerts were sent, want one for each rule", n)
	}
}

// ruleSettings reads, changes and refuses rules.
func ruleSettings(t *testing.T, h *hub, admin caller, id string) {
	t.Helper()
	made := admin.get("/v1/alert-rules/" + id).want(http.StatusOK)
	want := object{
		"id": id, "name": "rule of queue_depth", "metric": "queue_depth", "condition": ">=", "threshold": 2.0, "window": 300.0, "campaign": "Q1", "severity": "high",
		"enabled": true, "created_at": made.text("created_at"), "updated_at": made.text("updated_at"),
	}
	var got object
	made.into(&got)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("the rule (-want +got):\n%s", diff)
	}
	if n := len(admin.get("/v1/alert-rules").want(http.StatusOK).list("data")); n != 8 {
		t.Errorf("%d rules are listed", n)
	}
	for pointer, bad := range map[string]object{
		"/metric":    {"name": "x", "metric": "weather", "condition": ">", "threshold": 1},
		"/condition": {"name": "x", "metric": "queue_depth", "condition": "!=", "threshold": 1},
		"/threshold": {"name": "x", "metric": "queue_depth", "condition": ">"},
		"/window":    {"name": "x", "metric": "queue_depth", "condition": ">", "threshold": 1, "window": 90000},
		"/campaign":  {"name": "x", "metric": "delivery_failures", "condition": ">", "threshold": 1, "campaign": "Q1"},
		"/severity":  {"name": "x", "metric": "queue_depth", "condition": ">", "threshold": 1, "severity": "awful"},
		"/name":      {"metric": "queue_depth", "condition": ">", "threshold": 1},
		"/colour":    {"name": "x", "metric": "queue_depth", "condition": ">", "threshold": 1, "colour": "red"},
	} {
		if a := admin.post("/v1/alert-rules", bad).want(http.StatusBadRequest); a.text("errors", 0, "pointer") != pointer {
			t.Errorf("%v: %s", bad, a.body)
		}
	}
	stranger, _ := h.org(t)
	stranger.get("/v1/alert-rules/" + id).want(http.StatusNotFound)
	stranger.patch("/v1/alert-rules/"+id, object{"threshold": 1}).want(http.StatusNotFound)
	stranger.send(http.MethodDelete, "/v1/alert-rules/"+id, nil).want(http.StatusNotFound)
}
