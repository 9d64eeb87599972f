package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
)

// TestALogThatReplacesAnotherIsNoticed loses the log of a hub and lets a new one grow
// past what the stores have read of the old one. Nothing of it is taken for what
// follows there, and what deployments/README.md says then takes all of it in.
func TestALogThatReplacesAnotherIsNoticed(t *testing.T) {
	t.Parallel()
	h := newHub(t, map[string]string{"TRUNKLINE_KAFKA_PARTITIONS": "1"})
	h.start()
	admin, _ := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"call.*"}})
	for range 3 {
		startCall(t, admin)
	}
	customer.wait("/all", 3)
	h.quiet(t)
	if code := h.terminate(); code != 0 {
		t.Fatalf("exit code %d", code)
	}
	if err := os.RemoveAll(filepath.Join(h.env["TRUNKLINE_DATA_DIR"], "kafka", "log")); err != nil {
		t.Fatal(err)
	}

	h.launch()
	h.awaitUnready(t, "projection calls")
	var calls []string
	for range 5 {
		calls = append(calls, startCall(t, admin))
	}
	noticed := func(when string) {
		t.Helper()
		h.awaitUnready(t, "projection calls", "projection analytics", "webhooks")
		eventually(t, "all to say why", func(ctx context.Context) error {
			_, said, err := h.get(ctx, "/readyz")
			if n := strings.Count(string(said), "trunkline.calls.v1/0@2 was recorded at"); err != nil || n < 3 {
				return fmt.Errorf("%s %d of 3 say it: %s, %w", when, n, said, err)
			}
			return nil
		})
		for _, p := range []string{"calls", "analytics"} {
			if got := h.projection(t, p); got.State != "stopped" {
				t.Errorf("%s %s is %+v", when, p, got)
			}
		}
		for _, id := range calls {
			admin.get("/v1/calls/" + id).want(http.StatusNotFound)
		}
		if got := len(customer.at("/all")); got != 3 {
			t.Errorf("%s the customer has %d webhooks, want those of the old log", when, got)
		}
	}
	noticed("when the new log has grown past the checkpoints")
	h.kill()
	h.launch()
	noticed("after a restart")

	db, err := pgx.Connect(t.Context(), storesOf(t, h).PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	for _, sql := range []string{
		"UPDATE checkpoints SET next = 0, recorded_at = NULL WHERE projection IN ('timers', 'recordings', 'rules')",
		"UPDATE delivery_checkpoints SET next = 0, recorded_at = NULL",
	} {
		if _, err := db.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	customer.wait("/all", 3+len(calls))
	for _, name := range []string{"calls", "analytics"} {
		if code, _, _ := h.command(t, "projections", "rebuild", name, "--wait"); code != 0 {
			h.runs(t, "projections", "switch", name) // it says how they differ
		}
	}
	eventually(t, "the calls of the new log", func(context.Context) error {
		var errs []error
		for _, id := range calls {
			if a := admin.get("/v1/calls/" + id); a.status != http.StatusOK {
				errs = append(errs, fmt.Errorf("%d %s", a.status, a.body))
			}
		}
		for _, p := range []string{"calls", "analytics"} {
			if got := h.projection(t, p); got.State != "live" {
				errs = append(errs, fmt.Errorf("%+v", got))
			}
		}
		return errors.Join(errs...)
	})
}
