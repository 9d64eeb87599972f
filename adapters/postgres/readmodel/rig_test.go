package readmodel_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// rig is a database with the read models, and a log in memory.
type rig struct {
	t      *testing.T
	pool   *pgxpool.Pool
	store  *readmodel.Store
	models map[string]*readmodel.Generations
	log    *memory.Log
	reader *readmodel.Reader
}

func newRig(t *testing.T) *rig {
	t.Helper()
	pool := pgtest.Open(t, 8)
	r := &rig{
		t: t, pool: pool, store: readmodel.NewStore(pool, projections.Models(), "test"),
		models: make(map[string]*readmodel.Generations), log: memory.NewLog(2), reader: readmodel.NewReader(pool, nil),
	}
	for _, g := range r.store.AllGenerations(projections.Models(), 0) {
		if err := g.Ensure(t.Context()); err != nil {
			t.Fatal(err)
		}
		r.models[g.Projection()] = g
	}
	return r
}

func (r *rig) append(events ...event.Event) []event.Position {
	r.t.Helper()
	positions, err := r.log.Append(r.t.Context(), events...)
	if err != nil {
		r.t.Fatal(err)
	}
	return positions
}

// run starts a runner of a projection's generation until the test ends.
func (r *rig) run(projection string, g projections.Generation) *projections.Runner {
	r.t.Helper()
	model := r.models[projection]
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Projection: projection, Generation: g, Topics: model.Topics(), Source: r.log, Applier: model.Applier(g.Number),
		Log: slog.New(slog.DiscardHandler), Now: time.Now, Backoff: time.Millisecond,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	if err := runner.Start(r.t.Context()); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := runner.Stop(ctx); err != nil {
			r.t.Error(err)
		}
	})
	return runner
}

// catchUp waits until a generation has all that is in the log now.
func (r *rig) catchUp(projection string, generation int) {
	r.t.Helper()
	model := r.models[projection]
	ends, err := r.log.Ends(r.t.Context(), model.Topics()...)
	if err != nil {
		r.t.Fatal(err)
	}
	r.until(func() bool {
		have, err := model.Checkpoints(r.t.Context(), generation)
		if err != nil {
			r.t.Fatal(err)
		}
		for topic, parts := range ends {
			for id, end := range parts {
				if have[topic][id] < end {
					return false
				}
			}
		}
		return true
	})
}

// until polls a condition until it holds.
func (r *rig) until(holds func() bool) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-ctx.Done():
			r.t.Fatal("the condition did not come true in time")
		case <-tick.C:
		}
	}
}

func live() projections.Generation {
	return projections.Generation{Number: 1, Status: projections.Live}
}

var t0 = time.Date(2026, 11, 22, 9, 0, 0, 0, time.UTC)

// fact makes an event of an org at a second after t0.
func fact(t *testing.T, org, subject, id string, second int, p event.Payload) event.Event {
	t.Helper()
	at := t0.Add(time.Duration(second) * time.Second)
	e, err := event.New(event.Envelope{ID: id, Org: org, Subject: subject, Source: "api", Actor: "key/1", OccurredAt: at, RecordedAt: at.Add(time.Millisecond)}, p)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// quiet logs warnings to the test.
func quiet(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
}
