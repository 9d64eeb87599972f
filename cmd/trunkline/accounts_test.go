package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/delivery"
)

// accounts lets deliveries of every fate happen and asks for the account of the
// day, by the API and by the command; then it loses some, each in another way.
func accounts(t *testing.T, h *hub) {
	admin, _ := h.org(t)
	customer := newReceiver(t)
	customer.answers("/failing", 503)
	hooks := make(map[string]string)
	for name, settings := range map[string]object{
		"good":     {"dialect": "trunkline", "url": customer.url("/good"), "events": list{"*"}},
		"failing":  {"dialect": "trunkline", "url": customer.url("/failing"), "events": list{"call.*"}},
		"off":      {"dialect": "trunkline", "url": customer.url("/off"), "events": list{"call.started.v1"}, "enabled": false},
		"filtered": {"dialect": "trunkline", "url": customer.url("/filtered"), "events": list{"*"}, "filter": object{"disposition": "SALE"}},
		"dialercx": {"dialect": "dialercx", "url": customer.url("/dialercx"), "events": list{"call.ended"}},
	} {
		settings["name"] = name
		hooks[name], _ = endpoint(t, admin, settings)
	}
	const calls = 6
	for range calls {
		id := startCall(t, admin)
		admin.patch("/v1/calls/"+id, object{"status": "completed", "disposition": "SALE"}).want(http.StatusOK)
	}
	known := time.Now().Add(2 * time.Second) // from then on every hub must know of the webhooks
	eventually(t, "webhooks that are not new any more", func(context.Context) error {
		if time.Now().Before(known) {
			return errors.New("too early")
		}
		return nil
	})
	admin.post("/v1/leads", object{"phone": "+14155550100"}).want(http.StatusOK)
	customer.wait("/dialercx", calls)
	account := func(name string) answer {
		t.Helper()
		return admin.get("/v1/webhooks/" + hooks[name] + "/reconciliation").want(http.StatusOK)
	}
	// In all a lead, and of each call a start, an end, a disposition, and that
	// nobody waits for its transcript any more.
	const facts = 1 + 4*calls
	eventually(t, "the account to be complete", func(context.Context) error {
		for name := range hooks {
			a := account(name)
			if a.at("complete") != true || a.at("difference") != 0.0 || a.at("behind") != 0.0 || a.at("unplanned") != 0.0 {
				return fmt.Errorf("%s: %s", name, a.body)
			}
		}
		if a := account("good"); a.at("delivered") != float64(facts) || a.at("owed") != float64(facts) {
			return fmt.Errorf("good: %s", a.body)
		}
		if a := account("failing"); a.at("pending") != float64(facts-1) || a.at("owed") != float64(facts-1) {
			return fmt.Errorf("failing: %s", a.body)
		}
		return nil
	})
	for name, want := range map[string]map[string]float64{
		"off":      {"held": calls, "owed": calls},
		"filtered": {"delivered": calls, "owed": calls},
		"dialercx": {"delivered": calls, "owed": calls},
	} {
		a := account(name)
		for field, n := range want {
			if a.at(field) != n {
				t.Errorf("%s: %s is %v, want %v: %s", name, field, a.at(field), n, a.body)
			}
		}
	}
	if a := account("filtered"); a.at("filtered", "filter").(float64) < facts-calls {
		t.Errorf("filtered: %s", a.body)
	}

	reconcile := func(args ...string) (code int, out string) {
		t.Helper()
		t.Setenv("TRUNKLINE_HTTP_ADDR", h.env["TRUNKLINE_HTTP_ADDR"])
		t.Setenv("TRUNKLINE_ADMIN_KEY", admin.key)
		var stdout, stderr strings.Builder
		code = run(t.Context(), append([]string{"deliveries", "reconcile"}, args...), streams{&stdout, &stderr})
		return code, stdout.String() + stderr.String()
	}
	if code, out := reconcile(); code != 0 || strings.Count(out, "\n") != 1+len(hooks) || !strings.Contains(out, "DIFFERENCE") {
		t.Errorf("exit code %d:\n%s", code, out)
	}
	if code, out := reconcile("--day", "2020-02-29"); code != 0 {
		t.Errorf("a day without events: exit code %d:\n%s", code, out)
	}
	if code, _ := reconcile("--day", "yesterday"); code != 2 {
		t.Errorf("a day that is none: exit code %d", code)
	}

	// What was deleted has its account still.
	admin.send(http.MethodDelete, "/v1/webhooks/"+hooks["failing"], nil).want(http.StatusNoContent)
	eventually(t, "what the deleted webhook was owed to be dropped", func(context.Context) error {
		if a := account("failing"); a.at("difference") != 0.0 || len(a.list("dropped")) == 0 || a.at("dropped", 0, "count") != float64(facts-1) || a.text("dropped", 0, "reason") != delivery.EndpointDeleted {
			return fmt.Errorf("failing: %s", a.body)
		}
		return nil
	})
	if code, out := reconcile("--webhook", hooks["failing"]); code != 0 || !strings.Contains(out, hooks["failing"]) {
		t.Errorf("a deleted webhook: exit code %d:\n%s", code, out)
	}
	if code, out := reconcile("--webhook", "nobody"); code != 1 || !strings.Contains(out, "404") {
		t.Errorf("no webhook: exit code %d:\n%s", code, out)
	}

	lost := func(name, known string, n int) {
		t.Helper()
		a := account(name)
		if a.at("difference") != float64(n) || len(a.list("data")) != n || !strings.Contains(a.text("data", 0, "known"), known) {
			t.Errorf("%s: %s", name, a.body)
		}
		code, out := reconcile("--webhook", hooks[name])
		if code != 1 || !strings.Contains(out, a.text("data", 0, "event_id")) || !strings.Contains(out, known) {
			t.Errorf("exit code %d:\n%s", code, out)
		}
	}
	stores := storesOf(t, h)
	db, err := pgx.Connect(t.Context(), stores.PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(context.WithoutCancel(t.Context())) }()
	if _, err := db.Exec(t.Context(), "DELETE FROM unfinished_deliveries WHERE endpoint_id = $1", hooks["off"]); err != nil {
		t.Fatal(err)
	}
	lost("off", "is held", calls)
	ch := h.sinks(t)
	gone := account("good").text("webhook_id")
	if err := ch.Exec(t.Context(), fmt.Sprintf(
		"ALTER TABLE trunkline.delivery_attempts_g%d DELETE WHERE webhook_id = '%s' AND event_type = 'lead.upserted.v1' SETTINGS mutations_sync = 1",
		h.projection(t, "delivery_log").Generation, gone)); err != nil {
		t.Fatal(err)
	}
	lost("good", "has nothing of it", 1)
}
