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
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/twmb/franz-go/pkg/kgo"

	"trunkline.dev/trunkline/adapters/testenv"
	"trunkline.dev/trunkline/domain/event"
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

// TestRecordsThatWereDeletedUnreadAreGoneOnBehind deletes the end of a log, which is the
// mark of a transaction that nobody reads: all had its effect, but nothing tells. The hub
// says where it stands, and what deployments/README.md says then makes it go on there.
func TestRecordsThatWereDeletedUnreadAreGoneOnBehind(t *testing.T) {
	t.Parallel()
	broker := testenv.ApacheKafka(t).Addr() // the embedded one forgets where a log ends of which nothing is left
	h := newHub(t, map[string]string{"TRUNKLINE_KAFKA_BROKERS": broker, "TRUNKLINE_KAFKA_PARTITIONS": "1"})
	h.start()
	admin, org := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"call.*"}})
	calls := list{startCall(t, admin), startCall(t, admin)}
	produceInTransaction(t, broker, event.Calls, event.Envelope{Type: "call.dispositioned.v1", Subject: calls[0].(string), Org: org}, `{"disposition":"sale"}`)
	customer.wait("/all", 3)

	db, err := pgx.Connect(t.Context(), storesOf(t, h).PostgresURL)
	if err != nil {
		t.Fatal(err)
	}
	const behind = "SELECT count(*) FROM checkpoints WHERE topic = 'trunkline.calls.v1' AND next < 3"
	eventually(t, "all to have read the three", func(ctx context.Context) error {
		var n int
		err := db.QueryRow(ctx, behind).Scan(&n)
		if read := h.clickhouse(t, "SELECT count() FROM trunkline.events WHERE topic = 'trunkline.calls.v1'"); n > 0 || strings.TrimSpace(read) != "3" {
			err = errors.Join(err, fmt.Errorf("%d are behind, ClickHouse has %s", n, read))
		}
		return err
	})
	_ = db.Close(t.Context())
	testenv.DeleteRecords(t, broker, string(event.Calls), 0, 4)
	h.kill()
	h.launch()
	h.awaitUnready(t, "projection calls", "projection analytics", "webhooks")
	eventually(t, "all to say where they stand", func(ctx context.Context) error {
		_, said, err := h.get(ctx, "/readyz")
		if n := strings.Count(string(said), "trunkline.calls.v1/0 has been read up to 3, but the log begins at 4"); err != nil || n < 3 {
			return fmt.Errorf("%d of 3 say it: %s, %w", n, said, err)
		}
		return nil
	})

	if db, err = pgx.Connect(t.Context(), storesOf(t, h).PostgresURL); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = db.Close(t.Context()) }()
	for _, sql := range []string{
		"UPDATE checkpoints SET next = 4, recorded_at = NULL WHERE topic = 'trunkline.calls.v1' AND partition = 0 AND next = 3",
		"UPDATE delivery_checkpoints SET next = 4, recorded_at = NULL WHERE topic = 'trunkline.calls.v1' AND partition = 0 AND next = 3",
	} {
		if done, err := db.Exec(t.Context(), sql); err != nil || done.RowsAffected() == 0 {
			t.Fatal(done, err)
		}
	}
	if err := h.sinks(t).Exec(t.Context(), "INSERT INTO trunkline.sink_checkpoints (model, generation, topic, `partition`, next, written_at, settled, server_start) "+
		"SELECT model, generation, topic, `partition`, greatest(next, 4), written_at, 4, server_start FROM trunkline.sink_checkpoints FINAL "+
		"WHERE topic = 'trunkline.calls.v1' AND `partition` = 0 AND next >= 3 AND settled < 4"); err != nil {
		t.Fatal(err)
	}
	h.awaitReady(t)
	calls = append(calls, startCall(t, admin))
	customer.wait("/all", 4)
	eventually(t, "the calls", func(context.Context) error {
		var errs []error
		for _, id := range calls {
			if a := admin.get("/v1/calls/" + id.(string)); a.status != http.StatusOK {
				errs = append(errs, fmt.Errorf("%d %s", a.status, a.body))
			}
		}
		if read := h.clickhouse(t, "SELECT count() FROM trunkline.events WHERE topic = 'trunkline.calls.v1'"); strings.TrimSpace(read) != "4" {
			errs = append(errs, fmt.Errorf("ClickHouse has %s events, want 4", read))
		}
		return errors.Join(errs...)
	})
}

// produceInTransaction appends a fact of now in a transaction, whose mark follows it.
func produceInTransaction(t *testing.T, broker string, topic event.Topic, e event.Envelope, data string) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(broker), kgo.TransactionalID("another program"))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	e.ID, e.Source, e.OccurredAt, e.RecordedAt = uuid.NewString(), "api", time.Now(), time.Now()
	r := &kgo.Record{Topic: string(topic), Key: []byte(event.Key(e.Org, e.Subject)), Value: []byte(data)}
	for _, header := range event.Headers(e) {
		r.Headers = append(r.Headers, kgo.RecordHeader{Key: header.Name, Value: []byte(header.Value)})
	}
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	if err := client.ProduceSync(t.Context(), r).FirstErr(); err != nil {
		t.Fatal(err)
	}
	if err := client.EndTransaction(t.Context(), kgo.TryCommit); err != nil {
		t.Fatal(err)
	}
}

// sinks is a connection to the embedded ClickHouse as the hub's own user.
func (h *hub) sinks(t *testing.T) clickhouse.Conn {
	t.Helper()
	options, err := clickhouse.ParseDSN(storesOf(t, h).ClickHouseURL)
	if err != nil {
		t.Fatal(err)
	}
	password, err := os.ReadFile(filepath.Join(h.env["TRUNKLINE_DATA_DIR"], "clickhouse.password"))
	if err != nil {
		t.Fatal(err)
	}
	options.Auth.Username, options.Auth.Password = "trunkline", trim(password) // analysts may only read
	conn, err := clickhouse.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return conn
}
