package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
)

// command runs the program beside the hub, with its settings.
func (h *hub) command(t *testing.T, args ...string) (code int, out, errs string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), h.program(t), args...)
	cmd.Env = h.environ()
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
}

// runs is command for one that must succeed.
func (h *hub) runs(t *testing.T, args ...string) string {
	t.Helper()
	code, out, errs := h.command(t, args...)
	if code != 0 {
		t.Fatalf("trunkline %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// rebuilds builds read models anew beside a live hub that is at work, with all
// that the other tests left in it.
func rebuilds(t *testing.T, h *hub) {
	customer := newReceiver(t)
	busy, busyOrg := h.org(t)
	endpoint(t, busy, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"*"}})
	h.quiet(t)
	before := h.rows(t, busyOrg)
	stop := underLoad(t, busy)
	defer stop()

	for _, name := range []string{"calls", "analytics", "delivery_log"} {
		h.runs(t, "projections", "rebuild", name, "--wait")
		if got := h.projection(t, name); got.Generation != 2 {
			t.Errorf("after its rebuild %s is %+v", name, got)
		}
	}
	// By hand: built, looked at, switched, and back.
	h.runs(t, "projections", "rebuild", "leads", "--no-switch", "--wait")
	if got := h.projection(t, "leads").Generation; got != 1 {
		t.Errorf("before the switch the generation is %d", got)
	}
	if out := h.runs(t, "projections", "diff", "leads"); !strings.Contains(out, "equal") {
		t.Errorf("diff says %s", out)
	}
	h.runs(t, "projections", "switch", "leads")
	if got := h.projection(t, "leads").Generation; got != 2 {
		t.Errorf("after the switch the generation is %d", got)
	}
	if diff := cmp.Diff(before, h.rows(t, busyOrg)); diff != "" {
		t.Errorf("the rebuilt rows differ (-before +after):\n%s", diff)
	}
	h.runs(t, "projections", "rollback", "leads")
	h.runs(t, "projections", "rollback", "analytics")
	if got := h.projection(t, "leads").Generation; got != 1 {
		t.Errorf("after the rollback the generation is %d", got)
	}
	if diff := cmp.Diff(before, h.rows(t, busyOrg)); diff != "" {
		t.Errorf("rolled back the rows differ (-before +after):\n%s", diff)
	}
	if out := h.runs(t, "projections", "status"); !strings.Contains(out, "calls") || !strings.Contains(out, "analytics") {
		t.Errorf("status says %s", out)
	}
	for _, args := range [][]string{{"rebuild", "nothing", "--wait"}, {"diff", "contacts"}, {"switch", "contacts"}, {"rollback", "contacts"}, {"parked", "nothing"}} {
		if code, _, errs := h.command(t, append([]string{"projections"}, args...)...); code != 1 || !strings.HasPrefix(errs, "trunkline: the hub answered 404: ") || strings.Count(errs, "\n") != 1 {
			t.Errorf("projections %v: exit code %d, says %q", args, code, errs)
		}
	}
	// Nobody was told anything because of it.
	calls := stop()
	seen := make(map[string]int)
	eventually(t, "the webhooks of what happened meanwhile", func(context.Context) error {
		clear(seen)
		for _, r := range customer.at("/all") {
			seen[r.wire("webhook-id")]++
		}
		if len(seen) < calls {
			return fmt.Errorf("%d of %d", len(seen), calls)
		}
		return nil
	})
	if got := len(customer.at("/all")); got != calls || len(seen) != calls {
		t.Errorf("%d webhooks, %d different, for %d events", got, len(seen), calls)
	}
}

// underLoad starts a call every few milliseconds until stop, which says how many.
func underLoad(t *testing.T, admin caller) (stop func() int) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	n := 0
	wg.Go(func() {
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			a, err := admin.try(http.MethodPost, "/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"})
			if err != nil || a.status != http.StatusCreated {
				t.Errorf("a call beside the rebuilds: %v %d %s", err, a.status, a.body)
				return
			}
			n++
		}
	})
	return func() int { cancel(); wg.Wait(); return n }
}

// quiet waits until nothing is under way: every fact is in every read model, no
// webhook is owed and no timer runs.
func (h *hub) quiet(t *testing.T) {
	t.Helper()
	pg := storesOf(t, h).PostgresURL
	conn, err := pgx.Connect(t.Context(), pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	admin := h.as(t, h.env["TRUNKLINE_ADMIN_KEY"])
	eventually(t, "quiet", func(ctx context.Context) error {
		for _, waiting := range []string{"unfinished_deliveries", "call_timers WHERE next_due IS NOT NULL", "admin_outbox"} {
			rows, err := conn.Query(ctx, "SELECT to_jsonb(w)::text FROM (SELECT * FROM "+waiting+" LIMIT 3) w")
			if err != nil {
				return fmt.Errorf("%s: %w", waiting, err)
			}
			if found, err := pgx.CollectRows(rows, pgx.RowTo[string]); err != nil || len(found) > 0 {
				return errors.Join(fmt.Errorf("in %s: %s", waiting, found), err)
			}
		}
		for _, p := range admin.get("/v1/projections").want(http.StatusOK).list("data") {
			if p := p.(object); p["lag_events"] != 0.0 {
				return fmt.Errorf("%v", p)
			}
		}
		return nil
	})
}

// rows reads every row of every public view of both stores, except those of one
// organisation. Nothing of the others may be under way.
func (h *hub) rows(t *testing.T, exceptOrg string) map[string][]string {
	t.Helper()
	pg := storesOf(t, h).PostgresURL
	conn, err := pgx.Connect(t.Context(), pg)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.WithoutCancel(t.Context()))
	query := func(sql string, args ...any) []string {
		t.Helper()
		found, err := conn.Query(t.Context(), sql, args...)
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		texts, err := pgx.CollectRows(found, pgx.RowTo[string])
		if err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
		return texts
	}
	out := make(map[string][]string)
	for _, view := range query("SELECT viewname::text FROM pg_views WHERE schemaname = 'public' ORDER BY 1") {
		out["Postgres "+view] = query("SELECT v::text FROM "+pgx.Identifier{view}.Sanitize()+" AS v WHERE org_id <> $1 ORDER BY 1", exceptOrg)
	}
	if len(out["Postgres calls"]) == 0 || len(out["Postgres call_history"]) == 0 {
		t.Fatalf("no rows of calls to compare: %v", len(out))
	}
	for _, view := range strings.Fields(h.clickhouse(t, "SELECT name FROM system.tables WHERE database = 'trunkline' AND engine = 'View' ORDER BY name FORMAT TSV")) {
		if strings.Contains(h.clickhouse(t, "SELECT groupArray(name) FROM system.columns WHERE database = 'trunkline' AND table = '"+view+"'"), "'org_id'") {
			out["ClickHouse "+view] = strings.Split(h.clickhouse(t, "SELECT * FROM trunkline."+view+" WHERE org_id != '"+exceptOrg+"' ORDER BY ALL FORMAT JSONEachRow"), "\n")
		}
	}
	for _, view := range []string{"events", "calls", "agent_states", "delivery_attempts"} {
		if len(out["ClickHouse "+view]) < 2 {
			t.Fatalf("ClickHouse has no rows in %s", view)
		}
	}
	return out
}

// clickhouse asks the embedded ClickHouse as an analyst does, by HTTP.
func (h *hub) clickhouse(t *testing.T, sql string) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+h.env["TRUNKLINE_CLICKHOUSE_ADDR"]+"/", strings.NewReader(sql))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("X-ClickHouse-User", "bi")
	req.Header.Set("X-ClickHouse-Key", h.env["TRUNKLINE_CLICKHOUSE_BI_PASSWORD"])
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s: %d %v %s", sql, resp.StatusCode, err, b)
	}
	return string(b)
}

// projection is how a read model is doing, by the API.
func (h *hub) projection(t *testing.T, name string) (p projectionState) {
	t.Helper()
	h.as(t, h.env["TRUNKLINE_ADMIN_KEY"]).get("/v1/projections/" + name).want(http.StatusOK).into(&p)
	return p
}

// poison appends records that no reader can use, by a foreign producer: they
// are set aside with their entity, and everything else goes on.
func poison(t *testing.T, h *hub) {
	admin, org := h.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"call.*"}})
	sick := startCall(t, admin)
	customer.wait("/all", 1)
	h.produce(t, org, sick, `{"disposition":{"not":"a text"}}`)
	h.produce(t, org, startCall(t, admin), `{"disposition"`)
	type parked struct {
		Position, Reason string
		Entity           string
		Behind           bool
	}
	var set struct{ Data []parked }
	listed := func(n int) {
		t.Helper()
		eventually(t, fmt.Sprintf("%d parked events", n), func(context.Context) error {
			if err := json.Unmarshal([]byte(h.runs(t, "projections", "parked", "calls", "--json")), &set); err != nil {
				return err
			}
			if len(set.Data) != n {
				return fmt.Errorf("%+v", set.Data)
			}
			return nil
		})
	}
	listed(2)
	admin.patch("/v1/calls/"+sick, object{"note": "waits"}).want(http.StatusOK)
	listed(3)
	for _, p := range set.Data {
		if p.Reason == "" || p.Entity == "" {
			t.Errorf("parked without reason or entity: %+v", p)
		}
	}
	if got := h.projection(t, "calls"); got.Parked != 3 || got.State != "live" {
		t.Errorf("the projection is %+v", got)
	}
	eventually(t, "what ClickHouse set aside", func(context.Context) error {
		if err := json.Unmarshal([]byte(h.runs(t, "projections", "parked", "analytics", "--json")), &set); err != nil {
			return err
		}
		if got := h.projection(t, "analytics"); got.Parked != 2 || len(set.Data) != 2 {
			return fmt.Errorf("the projection is %+v, it lists %+v", got, set.Data)
		}
		return nil
	})
	if code, _, said := h.command(t, "projections", "parked", "analytics", "--retry", set.Data[0].Entity); code != 1 || !strings.Contains(said, "rebuild") {
		t.Errorf("retry of what only a rebuild takes in: %d, %q", code, said)
	}
	listed(3)
	var healthy []string
	for range 12 { // some in every partition
		healthy = append(healthy, startCall(t, admin))
	}
	for _, id := range healthy {
		customer.awaitSubject(t, id)
	}
	h.awaitReady(t)
	// The operator tries again in vain, then leaves the poison out.
	h.runs(t, "projections", "parked", "calls", "--retry", org+"/"+sick)
	listed(3)
	if code, _, _ := h.command(t, "projections", "parked", "calls", "--skip", set.Data[0].Position); code != 2 {
		t.Errorf("--skip without --reason: exit code %d", code)
	}
	for _, p := range slices.Clone(set.Data) {
		if !p.Behind {
			h.runs(t, "projections", "parked", "calls", "--skip", p.Position, "--reason", "a foreign producer's mistake")
		}
	}
	listed(0)
	eventually(t, "the call that waited", func(context.Context) error {
		if a := admin.get("/v1/calls/" + sick).want(http.StatusOK); len(a.list("notes")) != 1 {
			return fmt.Errorf("it is %s", a.body)
		}
		return nil
	})
}

// produce appends a disposition with any data, as another program would.
func (h *hub) produce(t *testing.T, org, call, data string) {
	t.Helper()
	e := event.Envelope{
		ID: uuid.NewString(), Type: "call.dispositioned.v1", Source: "api", Subject: call, Org: org, OccurredAt: time.Now(), RecordedAt: time.Now(),
	}
	m := kafka.Message{Topic: "trunkline.calls.v1", Key: []byte(event.Key(org, call)), Value: []byte(data)}
	for _, header := range event.Headers(e) {
		m.Headers = append(m.Headers, kafka.Header{Key: header.Name, Value: []byte(header.Value)})
	}
	w := &kafka.Writer{Addr: kafka.TCP(h.env["TRUNKLINE_KAFKA_ADDR"]), Balancer: kafka.Murmur2Balancer{}, RequiredAcks: kafka.RequireAll, BatchTimeout: time.Millisecond}
	defer w.Close()
	if err := w.WriteMessages(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}
