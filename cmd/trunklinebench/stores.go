package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
)

// intake is what the API accepts against the bare appender on the same broker.
func (b *bench) intake(ctx context.Context) ([]row, error) {
	work, err := batches(b.o.events)
	if err != nil {
		return nil, err
	}
	begin := time.Now()
	if err := b.post(ctx, work, []string{b.quiet.key}, 8); err != nil {
		return nil, err
	}
	api := float64(b.o.events) / time.Since(begin).Seconds()
	if err := b.settled(ctx); err != nil {
		return nil, err
	}
	bare, err := b.bareAppend(ctx)
	if err != nil {
		return nil, err
	}
	if err := b.settled(ctx); err != nil {
		return nil, err
	}
	return []row{{"events accepted by the API, batches of 100", fmt.Sprintf("%.0f/s", api), fmt.Sprintf("bare appender %.0f/s", bare), fmt.Sprintf("%.0f %%", 100*api/bare), "60 %"}}, nil
}

func (b *bench) bareAppend(ctx context.Context) (float64, error) {
	client, err := kafka.NewClient(kafka.Config{Brokers: []string{b.hub.kafka}})
	if err != nil {
		return 0, err
	}
	defer client.Close()
	log, err := kafka.NewLog(client, kafka.LogConfig{})
	if err != nil {
		return 0, err
	}
	if err := log.Start(ctx); err != nil {
		return 0, err
	}
	defer func() { _ = log.Stop(context.WithoutCancel(ctx)) }()
	var batches [][]event.Event
	for made := 0; made < b.o.events; made += 100 {
		batch := make([]event.Event, 100)
		for i := range batch {
			id, now := uuid.NewString(), time.Now()
			batch[i], err = event.New(event.Envelope{ID: uuid.NewString(), Source: "bench", Subject: id, Org: "bench-bare", OccurredAt: now, RecordedAt: now},
				call.Started{Direction: "outbound", From: "+14143756757", To: "+14155550100", StartedAt: now, Campaign: strings.Repeat("talk ", 110)})
			if err != nil {
				return 0, err
			}
		}
		batches = append(batches, batch)
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, 8)
	begin := time.Now()
	for range 8 {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(batches) {
					return
				}
				if _, err := log.Append(ctx, batches[i]...); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return float64(b.o.events) / time.Since(begin).Seconds(), <-errs
}

// status is what the API says of a projection.
type status struct {
	Name      string `json:"name"`
	State     string `json:"state"`
	LagEvents int64  `json:"lag_events"`
}

// settled waits until every read model has the whole log.
func (b *bench) settled(ctx context.Context) error {
	for {
		var answer struct {
			Data []status `json:"data"`
		}
		if err := b.hub.call(ctx, adminKey, http.MethodGet, "/v1/projections", nil, &answer); err != nil {
			return err
		}
		lag := int64(0)
		for _, s := range answer.Data {
			lag += s.LagEvents
		}
		if lag == 0 {
			return nil
		}
		if err := waitUntil(ctx, time.Now().Add(500*time.Millisecond)); err != nil {
			return err
		}
	}
}

// rebuilds are both stores built anew from a log of usual calls, by a hub of
// their own, against bare writes of the same rows.
func (b *bench) rebuilds(ctx context.Context) ([]row, error) {
	// Nothing is to be appended while a build is timed.
	h, err := startHub(ctx, b.o.program, "TRUNKLINE_SETTLE_DISPOSITION=24h", "TRUNKLINE_SETTLE_TRANSCRIPT=24h", "TRUNKLINE_SETTLE_RECORDING=24h")
	if err != nil {
		return nil, err
	}
	defer h.stop()
	b = &bench{o: b.o, hub: h}
	if err := b.makeOrg(ctx, &b.quiet, "quiet", 0); err != nil {
		return nil, err
	}
	if err := b.postCalls(ctx, rebuildTimes*b.o.events); err != nil {
		return nil, err
	}
	if err := b.settled(ctx); err != nil {
		return nil, err
	}
	p := newProfiler(h, b.o.profiles)
	var rates [3]float64
	var sink, bare float64
	for i, step := range []struct {
		name string
		run  func(context.Context) (float64, error)
	}{
		{"rebuild-calls", func(ctx context.Context) (float64, error) { return b.rebuild(ctx, "calls") }},
		{"copy", b.bareCopy},
		{"rebuild-analytics", func(ctx context.Context) (float64, error) { return b.rebuild(ctx, "analytics") }},
	} {
		if err := h.idle(ctx); err != nil {
			return nil, err
		}
		err := p.during(ctx, step.name, func() (err error) { rates[i], err = step.run(ctx); return err })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}
	if sink, bare, err = b.sinks(ctx); err != nil {
		return nil, fmt.Errorf("ClickHouse sink: %w", err)
	}
	return []row{
		{"Postgres rebuild of calls and their history, 12 events a call", fmt.Sprintf("%.0f events/s", rates[0]), fmt.Sprintf("bare COPY of the history rows %.0f/s", rates[1]), percent(rates[0], rates[1]), "35 %"},
		{"ClickHouse sink of events, calls, agent states, the events in memory", fmt.Sprintf("%.0f events/s", sink), fmt.Sprintf("bare clickhouse-go batches of the same rows %.0f events/s", bare), percent(sink, bare), "80 %"},
		{"ClickHouse rebuild of the same, from the log", fmt.Sprintf("%.0f events/s", rates[2]), fmt.Sprintf("the same %.0f events/s", bare), percent(rates[2], bare), ""},
	}, nil
}

// rebuildTimes is how many times longer the log is that is rebuilt from: the start
// and the end of a rebuild take a second together, however long it is.
const rebuildTimes = 20

// rebuild builds a projection anew and returns events per second until it has
// the whole log and its indexes; the comparison with the live tables is not part
// of it.
func (b *bench) rebuild(ctx context.Context, name string) (float64, error) {
	begin := time.Now()
	if err := b.hub.call(ctx, adminKey, http.MethodPost, "/v1/projections/"+name+"/rebuild", map[string]string{"switch": "manual"}, nil); err != nil {
		return 0, err
	}
	for {
		var answer struct {
			Rebuild struct {
				Stage string  `json:"stage"`
				Done  int64   `json:"done"`
				Total int64   `json:"total"`
				Error *string `json:"error"`
			} `json:"rebuild"`
		}
		if err := b.hub.call(ctx, adminKey, http.MethodGet, "/v1/projections/"+name, nil, &answer); err != nil {
			return 0, err
		}
		r := answer.Rebuild
		if r.Total > 0 && r.Stage != "building" {
			rate := float64(r.Total) / time.Since(begin).Seconds()
			return rate, b.afterBuild(ctx, name)
		}
		if r.Error != nil {
			return 0, fmt.Errorf("rebuilding %s: %s", name, *r.Error)
		}
		if err := waitUntil(ctx, time.Now().Add(100*time.Millisecond)); err != nil {
			return 0, err
		}
	}
}

// afterBuild gives the built tables up again, once the hub has compared them.
func (b *bench) afterBuild(ctx context.Context, name string) error {
	for {
		err := b.hub.call(ctx, adminKey, http.MethodPost, "/v1/projections/"+name+"/drop", nil, nil)
		if err == nil || !strings.Contains(err.Error(), " 409 ") {
			return err
		}
		if err := waitUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return err
		}
	}
}

func (h *hub) postgresURL() (string, error) {
	password, err := h.secret("postgres.password")
	u := url.URL{Scheme: "postgres", User: url.UserPassword("trunkline", password), Host: h.postgres, Path: "trunkline", RawQuery: "sslmode=disable"}
	return u.String(), err
}

func (h *hub) secret(name string) (string, error) {
	raw, err := os.ReadFile(filepath.Join(h.dir, "data", name))
	return strings.TrimSpace(string(raw)), err
}

// bareCopy writes the rows of the call history by COPY into a table of the same
// shape and indexes.
func (b *bench) bareCopy(ctx context.Context) (float64, error) {
	dsn, err := b.hub.postgresURL()
	if err != nil {
		return 0, err
	}
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		return 0, err
	}
	defer func() { _ = conn.Close(ctx) }()
	rows, err := conn.Query(ctx, "SELECT * FROM call_history_g1")
	if err != nil {
		return 0, err
	}
	var columns []string
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	var all [][]any
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return 0, err
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		return 0, err
	}
	if _, err := conn.Exec(ctx, "CREATE TABLE bench_copy (LIKE call_history_g1 INCLUDING ALL)"); err != nil {
		return 0, err
	}
	begin := time.Now()
	n, err := conn.CopyFrom(ctx, pgx.Identifier{"bench_copy"}, columns, pgx.CopyFromRows(all))
	rate := float64(n) / time.Since(begin).Seconds()
	_, dropErr := conn.Exec(ctx, "DROP TABLE bench_copy")
	return rate, errors.Join(err, dropErr)
}
