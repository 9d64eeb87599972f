package main

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/testenv"
)

// services are a Kafka, a Postgres and a ClickHouse that no hub started, the
// databases behind proxies that can take them away.
type services struct {
	kafka                *testenv.Apache
	postgres, clickhouse *proxy
	env                  map[string]string
}

func outsideServices(t *testing.T) *services {
	t.Helper()
	db, ch := testenv.Postgres(t), testenv.ClickHouse(t)
	pg, err := url.Parse(db)
	if err != nil {
		t.Fatal(err)
	}
	s := &services{kafka: testenv.ApacheKafka(t), postgres: newProxy(t, pg.Host), clickhouse: newProxy(t, ch.NativeAddr)}
	pg.Host, ch.NativeAddr = s.postgres.addr, s.clickhouse.addr
	s.env = map[string]string{
		"TRUNKLINE_KAFKA_BROKERS": s.kafka.Addr(), "TRUNKLINE_KAFKA_PARTITIONS": "4",
		"TRUNKLINE_POSTGRES_URL": pg.String(), "TRUNKLINE_CLICKHOUSE_URL": ch.URL(),
	}
	return s
}

// hub prepares a hub on these services.
func (s *services) hub(t *testing.T, roles string) *hub {
	t.Helper()
	env := map[string]string{"TRUNKLINE_ROLES": roles}
	for k, v := range s.env {
		env[k] = v
	}
	return newHub(t, env)
}

const everyRole = "api,projector,webhooks"

// TestOutsideServices runs hubs on services that are not theirs, and takes the
// services away one after the other: what was acknowledged stays, intake goes on
// where it can, and everything catches up by itself.
func TestOutsideServices(t *testing.T) {
	s := outsideServices(t)
	first, second := s.hub(t, everyRole), s.hub(t, everyRole)
	first.start()
	second.start()
	admin, _ := first.org(t)
	customer := newReceiver(t)
	endpoint(t, admin, object{"dialect": "trunkline", "url": customer.url("/all"), "events": list{"call.*"}})
	w := &writer{admin: admin}

	step := func(name string, run func(t *testing.T)) {
		t.Helper()
		if !t.Run(name, run) {
			t.FailNow() // the next step begins where this one should have ended
		}
	}
	step("two hubs share the work", func(t *testing.T) { shareTheWork(t, w, first, second, customer) })
	step("limits are shared, and the other takes over when one is killed", func(t *testing.T) {
		scaleOut(t, w, first, second, customer)
		w.settled(t, first, customer)
	})
	step("without Postgres", func(t *testing.T) { withoutAStore(t, w, first, customer, s.postgres, "postgres") })
	step("without ClickHouse", func(t *testing.T) { withoutAStore(t, w, first, customer, s.clickhouse, "clickhouse") })
	step("without Kafka", func(t *testing.T) { withoutKafka(t, w, first, customer, s.kafka) })
	step("a start without ClickHouse", func(t *testing.T) {
		if code := first.terminate(); code != 0 {
			t.Errorf("SIGTERM: exit code %d:\n%s", code, first.out)
		}
		s.clickhouse.cut()
		first.launch()
		first.awaitUnready(t, "clickhouse", "projection analytics")
		w.write(t, 5)
		customer.awaitSubject(t, w.calls[len(w.calls)-1])
		s.clickhouse.restore()
		w.settled(t, first, customer)
	})
	step("roles in two processes", func(t *testing.T) {
		if code := first.terminate(); code != 0 {
			t.Errorf("SIGTERM: exit code %d:\n%s", code, first.out)
		}
		api, worker := s.hub(t, "api"), s.hub(t, "projector,webhooks")
		api.start()
		worker.start()
		servesProbesOnly(t, worker.as(t, admin.key))
		w := &writer{admin: api.as(t, admin.key), calls: w.calls}
		w.write(t, 5)
		w.settled(t, api, customer)
	})
	step("a wrong topic stops the start", func(t *testing.T) { wrongTopic(t, s) })
}

// writer starts calls and remembers those that were acknowledged.
type writer struct {
	admin caller
	mu    sync.Mutex
	calls []string
	last  answer
}

// write starts n calls, each of which must be taken.
func (w *writer) write(t *testing.T, n int) {
	t.Helper()
	for range n {
		began := time.Now()
		a, err := w.start()
		if err != nil || a.status != http.StatusCreated {
			t.Fatalf("POST /v1/calls: %d %v %s", a.status, err, a.body)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("POST /v1/calls took %s", took)
		}
	}
}

func (w *writer) start() (answer, error) {
	a, err := w.admin.try(http.MethodPost, "/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"})
	if err == nil && a.status == http.StatusCreated {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.calls, w.last = append(w.calls, a.text("id")), a
	}
	return a, err
}

// settled waits until a hub is ready and has every acknowledged call, in
// Postgres and in the delivery log of ClickHouse, and the customer has them too.
func (w *writer) settled(t *testing.T, h *hub, customer *receiver) {
	t.Helper()
	h.awaitReady(t)
	eventually(t, "every webhook", func(context.Context) error {
		received := make(map[string]bool)
		for _, r := range customer.at("/all") {
			received[answer{t: t, asked: "a webhook", body: []byte(r.body)}.text("subject")] = true
		}
		return missingFrom(w.calls, received)
	})
	w.inPostgres(t, h)
}

// inPostgres waits until the read model of a hub has every acknowledged call. A
// webhook does not wait for it, and a position is of one partition.
func (w *writer) inPostgres(t *testing.T, h *hub) {
	t.Helper()
	w.admin.t = t
	eventually(t, "every call in Postgres", func(context.Context) error {
		read := make(map[string]bool)
		for cursor := ""; ; {
			page := h.as(t, w.admin.key).get("/v1/calls?limit=200&cursor=" + url.QueryEscape(cursor))
			if page.status == http.StatusServiceUnavailable {
				return fmt.Errorf("%s", page.body) // Postgres is away
			}
			page.want(http.StatusOK)
			for _, c := range page.list("data") {
				read[c.(object)["id"].(string)] = true
			}
			if cursor = page.text("next_cursor"); cursor == "" {
				return missingFrom(w.calls, read)
			}
		}
	})
}

func missingFrom(want []string, got map[string]bool) error {
	n := 0
	for _, id := range want {
		if !got[id] {
			n++
		}
	}
	if n > 0 {
		return fmt.Errorf("%d of %d are missing", n, len(want))
	}
	return nil
}

// awaitReady waits until every part of a hub is ready.
func (h *hub) awaitReady(t *testing.T) {
	t.Helper()
	eventually(t, "readiness", func(ctx context.Context) error {
		status, body, err := h.get(ctx, "/readyz")
		if err == nil && status != http.StatusOK {
			err = fmt.Errorf("%d %s", status, body)
		}
		return err
	})
}

// awaitUnready waits until a hub names the parts that are not ready.
func (h *hub) awaitUnready(t *testing.T, parts ...string) {
	t.Helper()
	eventually(t, "/readyz to name "+strings.Join(parts, ", "), func(context.Context) error {
		a, err := h.as(t, "").try(http.MethodGet, "/readyz", nil)
		if err != nil {
			return err
		}
		if a.status != http.StatusServiceUnavailable {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		named := make(map[string]bool)
		for _, p := range a.list("parts") {
			if p := p.(object); p["state"] != "ready" && p["detail"] != "" {
				named[p["name"].(string)] = true
			}
		}
		for _, p := range parts {
			if !named[p] {
				return fmt.Errorf("%s", a.body)
			}
		}
		return nil
	})
}

// shareTheWork writes to one hub and reads from the other. Each webhook comes
// once: two hubs are no reason for a repeat.
func shareTheWork(t *testing.T, w *writer, first, second *hub, customer *receiver) {
	w.write(t, 20)
	w.settled(t, second, customer)
	for _, h := range []*hub{first, second} {
		if got := h.as(t, w.admin.key).get("/v1/calls/"+w.calls[0], "Trunkline-Min-Position", w.last.position()).want(http.StatusOK); got.text("id") != w.calls[0] {
			t.Errorf("the call is %s", got.body)
		}
	}
	seen := make(map[string]int)
	for _, r := range customer.at("/all") {
		seen[r.wire("webhook-id")]++
	}
	for id, n := range seen {
		if n > 1 {
			t.Errorf("webhook %s came %d times", id, n)
		}
	}
	// A setting of one hub is known in the other.
	made := first.as(t, w.admin.key).post("/v1/lists", object{"name": "shared"}).want(http.StatusCreated)
	eventually(t, "the list's key in the other hub", func(context.Context) error {
		a := second.as(t, "").post(publicLeads, object{"phone": "4155550160"}, "X-API-Key", made.text("api_key"))
		if a.status != http.StatusOK {
			return fmt.Errorf("%d %s", a.status, a.body)
		}
		return nil
	})
}

// withoutAStore cuts a database off: intake goes on, readiness says what is
// missing, and later everything is there.
func withoutAStore(t *testing.T, w *writer, h *hub, customer *receiver, p *proxy, part string) {
	p.cut()
	h.awaitUnready(t, part)
	w.write(t, 5)
	id := w.calls[len(w.calls)-1]
	admin := h.as(t, w.admin.key)
	admin.patch("/v1/calls/"+id, object{"disposition": "SALE"}).want(http.StatusOK)
	lead := admin.post("/v1/leads", object{"phone": "4155550161", "name": part}, "Idempotency-Key", "without-"+part).want(http.StatusOK)
	admin.post("/v1/agents/jsmith/state", object{"state": "logged_in"}).want(http.StatusAccepted)
	if part == "postgres" {
		if got := lead.text("leads", 0, "status"); got != "accepted" {
			t.Errorf("without the fold a lead is %q", got)
		}
		h.awaitUnready(t, "postgres", "projection calls")
	} else {
		h.awaitUnready(t, "clickhouse", "projection analytics")
		customer.awaitSubject(t, id) // webhooks do not need it
	}
	p.restore()
	w.settled(t, h, customer)
	eventually(t, "the lead", func(context.Context) error {
		a := admin.get("/v1/leads?phone=4155550161").want(http.StatusOK)
		if l := a.list("data"); len(l) != 1 || l[0].(object)["name"] != part {
			return fmt.Errorf("it is %s", a.body)
		}
		return nil
	})
}

// awaitSubject waits for a webhook about an entity.
func (r *receiver) awaitSubject(t *testing.T, id string) {
	t.Helper()
	eventually(t, "a webhook about "+id, func(context.Context) error {
		for _, got := range r.at("/all") {
			if strings.Contains(got.body, `"subject":"`+id+`"`) {
				return nil
			}
		}
		return fmt.Errorf("none")
	})
}

// withoutKafka kills the broker: writes are refused with a reason to come back,
// and nothing that was acknowledged is lost.
func withoutKafka(t *testing.T, w *writer, h *hub, customer *receiver, broker *testenv.Apache) {
	broker.Kill()
	h.awaitUnready(t, "kafka")
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 8 { // some for each partition; the first of each waits for the broker to come back
		wg.Go(func() { _, _ = w.start() })
	}
	impatient := w.admin
	impatient.patience = time.Second
	eventually(t, "a write to be refused", func(context.Context) error {
		a, err := impatient.try(http.MethodPost, "/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"})
		if err != nil {
			return err
		}
		a.want(http.StatusServiceUnavailable)
		if a.header.Get("Retry-After") == "" || len(a.list("event_ids")) != 1 {
			t.Errorf("a write that was refused: %v %s", a.header, a.body)
		}
		return nil
	})
	h.awaitUnready(t, "kafka", "log")
	if n := h.metric(t, "trunkline_log_failing_partitions"); n == 0 {
		t.Error("the metrics have no partition that fails")
	}
	h.as(t, w.admin.key).get("/v1/calls/" + w.calls[0]).want(http.StatusOK) // reads go on
	broker.Restart()
	eventually(t, "a write to be taken", func(context.Context) error {
		a, err := w.start()
		if err == nil && a.status != http.StatusCreated {
			err = fmt.Errorf("%d %s", a.status, a.body)
		}
		return err
	})
	wg.Wait()
	w.settled(t, h, customer)
}

// servesProbesOnly asks a process without the role api for the rest of the API, with
// a key that is good: it must be as absent as if it were not there.
func servesProbesOnly(t *testing.T, worker caller) {
	worker.get("/healthz").want(http.StatusOK)
	if ready := worker.get("/readyz"); !strings.Contains(string(ready.body), `{"name":"webhooks","state":"ready"}`) {
		t.Errorf("it does not say how its webhooks do: %s", ready.body)
	}
	worker.get("/metrics").want(http.StatusOK)
	worker.post("/v1/calls", object{"direction": "inbound", "from": "+15551234567", "to": "+14143756757"}).want(http.StatusNotFound)
	for _, path := range []string{
		"/v1/calls", "/v1/events/stream", "/v1/projections", "/v1/api-keys", "/v1/api/webhooks", "/v2/api/webhooks", publicLeads, "/in/x", "/crm/x/contacts",
		"/hooks/zapier/samples", "/recordings/x", "/openapi.json", "/docs",
	} {
		got := worker.get(path).want(http.StatusNotFound)
		if !strings.Contains(got.text("detail"), "role api") {
			t.Errorf("%s: it does not say why: %s", path, got.body)
		}
	}
}

// wrongTopic lets a topic forget, which the log must not.
func wrongTopic(t *testing.T, s *services) {
	client := &kafka.Client{Addr: kafka.TCP(s.kafka.Addr()), Timeout: 20 * time.Second}
	resp, err := client.AlterConfigs(t.Context(), &kafka.AlterConfigsRequest{Resources: []kafka.AlterConfigRequestResource{{
		ResourceType: kafka.ResourceTypeTopic, ResourceName: "trunkline.calls.v1", Configs: []kafka.AlterConfigRequestConfig{{Name: "retention.ms", Value: "1000"}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	for r, err := range resp.Errors {
		if err != nil {
			t.Fatalf("%v: %v", r, err)
		}
	}
	h := s.hub(t, everyRole)
	code, said := h.ends(t)
	if code != 1 {
		t.Errorf("exit code %d", code)
	}
	for _, word := range []string{"trunkline.calls.v1", "retention.ms", "1000", "-1"} {
		if !strings.Contains(said, word) {
			t.Errorf("%q is not in what the hub says: %s", word, said)
		}
	}
}
