package main

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// operations lets the hub say how a webhook stands: to another webhook, in the
// feed, in the analytics and in the webhook's own history.
func operations(t *testing.T, h *hub) {
	admin, org := h.org(t)
	customer := newReceiver(t)
	customer.answers("/crm", 410)
	crm, _ := endpoint(t, admin, object{"name": "CRM", "dialect": "trunkline", "url": customer.url("/crm"), "events": list{"call.*"}})
	ops, _ := endpoint(t, admin, object{"name": "Ops", "dialect": "trunkline", "url": customer.url("/ops"), "events": list{"endpoint.*", "delivery.exhausted.v1"}})
	endpoint(t, admin, object{"name": "All", "dialect": "trunkline", "url": customer.url("/all"), "events": list{"*"}})
	admin.post("/v1/webhooks", object{"name": "x", "dialect": "trunkline", "url": customer.url("/x"), "events": list{"delivery.attempted.v1"}}).want(http.StatusBadRequest)

	call := startCall(t, admin)
	told := answer{t: t, asked: "the webhook", body: []byte(customer.wait("/ops", 1)[0].body)}
	for path, want := range map[string]string{"type": "endpoint.disabled.v1", "subject": crm, "source": "hub"} {
		if got := told.text(path); got != want {
			t.Errorf("%s is %q, want %q: %s", path, got, want, told.body)
		}
	}
	if told.text("data", "name") != "CRM" || told.text("data", "by") != "hub" || !strings.Contains(told.text("data", "reason"), "410") {
		t.Errorf("told %s", told.body)
	}
	eventually(t, "the health in words", func(context.Context) error {
		if s := admin.get("/v1/webhooks/"+crm).want(http.StatusOK).text("health", "summary"); !strings.HasPrefix(s, "disabled since ") || !strings.Contains(s, "410 Gone; 1 delivery is held, the oldest for ") {
			return fmt.Errorf("it says %q", s)
		}
		return nil
	})
	customer.answers("/crm", 204)
	admin.post("/v1/webhooks/"+crm+"/enable", nil).want(http.StatusOK)
	admin.post("/v1/webhooks/"+ops+"/disable", nil).want(http.StatusOK) // nobody else listens
	admin.post("/v1/webhooks/"+ops+"/enable", nil).want(http.StatusOK)
	customer.wait("/crm", 2)
	types := func(events []any) (all []string) {
		for _, e := range events {
			o := e.(object)
			subject, _ := o["subject"].(string)
			if subject == "" || subject == crm {
				all = append(all, o["type"].(string))
			}
		}
		return all
	}
	said := []string{"endpoint.disabled.v1", "endpoint.enabled.v1", "endpoint.recovered.v1"}
	eventually(t, "the history", func(context.Context) error {
		got := admin.get("/v1/webhooks/" + crm + "/history").want(http.StatusOK)
		all := types(got.list("data"))
		if slices.Sort(all); !slices.Equal(all, said) {
			return fmt.Errorf("it is %s", got.body)
		}
		return nil
	})
	eventually(t, "the webhooks about the webhook", func(context.Context) error {
		var all []string
		for _, r := range customer.at("/ops") {
			all = append(all, answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("type"))
		}
		if slices.Sort(all); !slices.Equal(all, said) {
			return fmt.Errorf("it is %v", all)
		}
		return nil
	})
	feed := types(admin.get("/v1/events?types=endpoint.*").want(http.StatusOK).list("data"))
	if slices.Sort(feed); !slices.Equal(feed, said) {
		t.Errorf("the feed has %v", feed)
	}
	eventually(t, "the analytics", func(context.Context) error {
		got := h.clickhouse(t, "SELECT type FROM trunkline.events WHERE org_id = '"+org+"' AND entity_id = '"+crm+"' ORDER BY type FORMAT TSV")
		if want := strings.Join(said, "\n") + "\n"; got != want {
			return fmt.Errorf("they have %q", got)
		}
		return nil
	})
	for _, r := range customer.wait("/all", 1) {
		if !strings.Contains(r.body, call) {
			t.Errorf("* is all facts, not what the hub says of webhooks: %s", r.body)
		}
	}
}
