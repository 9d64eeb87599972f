package main

import (
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// describedInput sends all that the description lets a client send: every field of
// every body, every parameter of every query. The hub must know them all. A field that
// nobody knows goes with each body, so that it is refused before it does anything.
func describedInput(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	zapier := h.as(t, admin.get("/v1/zapier-key").want(http.StatusOK).text("key"))
	operator := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	customer := newReceiver(t)
	made := func(path string, body object) string {
		return admin.post(path, body).want(http.StatusCreated).text("id")
	}
	const from, to = "+15551234567", "+14143756757"
	call := made("/v1/calls", object{"direction": "inbound", "from": from, "to": to})
	ids := map[string]string{
		"/v1/calls/":       call,
		"/v1/agents/":      "jane",
		"/v1/alerts/":      made("/v1/alerts", object{"rule": "r", "metric": "m", "condition": ">", "threshold": 1, "value": 2, "severity": "high"}),
		"/v1/contacts/":    made("/v1/contacts", object{"first_name": "Ada"}),
		"/v1/lists/":       made("/v1/lists", object{"name": "one"}),
		"/v1/connections/": made("/v1/connections", object{"name": "one", "dialect": "symbo"}),
		"/v1/alert-rules/": made("/v1/alert-rules", object{"name": "one", "metric": "open_calls", "condition": ">", "threshold": 1}),
		"/v1/webhooks/":    made("/v1/webhooks", object{"name": "one", "url": customer.url("/one"), "dialect": "trunkline", "events": list{"call.*"}}),
		"/v1/connectors/":  made("/v1/connectors", object{"name": "one", "kind": "https", "config": object{"url": customer.url("/two")}}),
	}
	d, err := description()
	if err != nil {
		t.Fatal(err)
	}
	const unknown = "nobody-knows-this"
	for _, o := range d.Operations() {
		path := strings.NewReplacer("{name}", "calls", "{connection_id}", ids["/v1/connections/"]).Replace(o.Path)
		for prefix, id := range ids {
			if strings.HasPrefix(path, prefix) {
				path = strings.ReplaceAll(path, "{id}", id)
			}
		}
		caller, headers := admin, []string{}
		switch {
		case strings.HasPrefix(path, "/hooks/zapier"):
			caller, headers = zapier, []string{"X-DIALNOTE-API-KEY", zapier.key}
		case strings.HasPrefix(path, "/v1/projections"), path == "/v1/orgs":
			caller = operator
		}
		if body, ok := o.Body.(map[string]any); ok && o.Closed {
			body = maps.Clone(body)
			body[unknown] = true
			got := caller.send(o.Method, path, body, headers...)
			if got.status == http.StatusNotFound && strings.Contains(path, "{id}") {
				continue // nothing is there to send it to
			}
			var p struct {
				Errors []struct{ Pointer, Detail string }
			}
			got.want(http.StatusBadRequest).into(&p)
			if len(p.Errors) != 1 || p.Errors[0].Pointer != "/"+unknown {
				t.Errorf("%s %s with %v: %v", o.Method, path, body, p.Errors)
			}
		}
		if o.Method != http.MethodGet || o.Public || strings.Contains(o.Path, "/stream") {
			continue
		}
		query := []string{unknown + "=1"}
		for _, name := range o.Query {
			query = append(query, name+"=")
		}
		got := caller.send(o.Method, path+"?"+strings.Join(query, "&"), nil, headers...)
		if got.status == http.StatusNotFound && strings.Contains(path, "{id}") {
			continue
		}
		var p struct {
			Errors []struct{ Pointer, Detail string }
		}
		got.want(http.StatusBadRequest).into(&p)
		if !slices.ContainsFunc(p.Errors, func(e struct{ Pointer, Detail string }) bool { return e.Pointer == "?"+unknown }) {
			t.Errorf("%s takes a parameter that nobody knows: %s", got.asked, got.body)
		}
		for _, e := range p.Errors {
			if e.Pointer != "?"+unknown && strings.HasPrefix(e.Detail, "unknown query parameter") {
				t.Errorf("%s does not know %s", got.asked, e.Pointer)
			}
		}
	}
}
