package readmodel_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/projections"
)

// meddled is a Generations with somebody who acts at the end of what takes long,
// once.
type meddled struct {
	*readmodel.Generations
	completed, compared func()
}

func (m *meddled) Complete(ctx context.Context, generation int) error {
	err := m.Generations.Complete(ctx, generation)
	if f := m.completed; f != nil && err == nil {
		m.completed = nil
		f()
	}
	return err
}

func (m *meddled) Compare(ctx context.Context, a, b int) (projections.Comparison, error) {
	c, err := m.Generations.Compare(ctx, a, b)
	if f := m.compared; f != nil && err == nil {
		m.compared = nil
		f()
	}
	return c, err
}

// lookout tells each time that a rebuilder looks at its rebuild: what it was at
// before is done.
type lookout struct {
	projections.Rebuilds
	looks chan struct{}
}

func (w lookout) Get(ctx context.Context, projection string) (projections.Rebuild, bool, error) {
	select {
	case w.looks <- struct{}{}:
	default:
	}
	return w.Rebuilds.Get(ctx, projection)
}

// operator is a rebuilder of another process that is only asked.
func (r *rig) operator(name string) *projections.Rebuilder {
	r.t.Helper()
	b, err := projections.NewRebuilder(projections.RebuilderConfig{
		Generations: []projections.Generations{r.models[name]}, Rebuilds: readmodel.NewRebuilds(r.pool), Ends: r.log, Owner: "operator", Log: quiet(r.t), Now: time.Now,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	return b
}

// What an operator drops stays dropped, whatever the hub is at, and the next
// rebuild begins.
func TestADroppedRebuildStaysDropped(t *testing.T) {
	t.Parallel()
	for name, meddle := range map[string]func(*rig, *meddled, func()){
		"while its last index is made": func(_ *rig, m *meddled, drop func()) { m.completed = drop },
		"while it is compared":         func(_ *rig, m *meddled, drop func()) { m.compared = drop },
		"while a reader of it keeps its tables": func(r *rig, m *meddled, drop func()) {
			m.compared = func() {
				tx, err := r.pool.Begin(r.t.Context())
				if err != nil {
					r.t.Error(err)
					return
				}
				defer func() { _ = tx.Rollback(context.WithoutCancel(r.t.Context())) }()
				if _, err := tx.Exec(r.t.Context(), "SELECT count(*) FROM calls_g2"); err != nil {
					r.t.Error(err)
				}
				drop()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.calls(0, 20)
			m, dropped := &meddled{Generations: r.models["calls"]}, make(chan error, 1)
			meddle(r, m, func() { dropped <- r.operator("calls").Drop(t.Context(), "calls") })
			w := lookout{readmodel.NewRebuilds(r.pool), make(chan struct{})}
			h := r.hubOf("one", w, m)
			if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
				t.Fatal(err)
			}
			// Its tables may be in use, and then it is told so. It is dropped none the less.
			t.Logf("the operator was told: %v", <-dropped)
			<-w.looks
			if got, err := h.rebuilder.Status(t.Context(), "calls"); err != nil || got.Stage != projections.StageDropped {
				t.Errorf("the rebuild is %s (%v)", got.Stage, err)
			}
			if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
				t.Fatal(err)
			}
			r.stage(h, "calls", projections.StageSwitched)
			all, err := r.models["calls"].List(t.Context())
			if err != nil || len(all) != 2 || all[0] != (projections.Generation{Number: 1, Status: projections.Retired}) || all[1] != (projections.Generation{Number: 2, Status: projections.Live}) {
				t.Errorf("the generations are %v (%v), want the first to roll back to and the next live", all, err)
			}
		})
	}
}

// Who drops a rebuild that is switched to meanwhile has not meant the generation
// that was live.
func TestADropThatComesTooLateLeavesTheRollBack(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.calls(0, 20)
	g := r.models["calls"]
	made, err := g.Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.run("calls", live())
	r.run("calls", made)
	r.catchUp("calls", 1)
	rebuilds := readmodel.NewRebuilds(r.pool)
	b := projections.Rebuild{Projection: "calls", Generation: made.Number, Stage: projections.StageReady, StartedAt: t0, ChangedAt: t0}
	if err := rebuilds.Put(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	dropped := make(chan error, 1)
	b.Stage = projections.StageSwitched
	moved, err := rebuilds.Move(t.Context(), projections.StageReady, b, func(ctx context.Context) error {
		go func() { dropped <- r.operator("calls").Drop(t.Context(), "calls") }()
		r.until(func() bool { // the drop waits for the rebuild
			var waits bool
			if err := r.pool.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%UPDATE rebuilds%')`).Scan(&waits); err != nil {
				t.Fatal(err)
			}
			return waits
		})
		return g.Switch(ctx, made.Number, nil)
	})
	if err != nil || !moved {
		t.Fatal(moved, err)
	}
	if err := <-dropped; !errors.Is(err, projections.ErrNoRebuild) {
		t.Errorf("the drop said %v, want ErrNoRebuild", err)
	}
	if all, err := g.List(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("the generations are %v (%v)", all, err)
	}
}
