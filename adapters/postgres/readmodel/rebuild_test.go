package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// hub is what a process runs of the read models.
type hub struct {
	projector *projections.Projector
	rebuilder *projections.Rebuilder
	progress  *readmodel.Progress
}

// hub starts the projector and the rebuilder of some projections.
func (r *rig) hub(owner string, names ...string) *hub {
	r.t.Helper()
	var all []projections.Generations
	for _, n := range names {
		all = append(all, r.models[n])
	}
	return r.hubOf(owner, readmodel.NewRebuilds(r.pool), all...)
}

func (r *rig) hubOf(owner string, rebuilds projections.Rebuilds, all ...projections.Generations) *hub {
	r.t.Helper()
	log := quiet(r.t)
	h := &hub{progress: readmodel.NewProgress(r.pool, log)}
	var err error
	h.projector, err = projections.NewProjector(projections.ProjectorConfig{
		Generations: all, Source: r.log, Ends: r.log, Observer: h.progress, Log: log, Now: time.Now, Every: 20 * time.Millisecond,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	h.rebuilder, err = projections.NewRebuilder(projections.RebuilderConfig{
		Generations: all, Rebuilds: rebuilds, Ends: r.log, Owner: owner, Changed: h.projector.Look,
		Log: log, Now: time.Now, Every: 10 * time.Millisecond,
	})
	if err != nil {
		r.t.Fatal(err)
	}
	for _, start := range []func(context.Context) error{h.projector.Start, h.rebuilder.Start} {
		if err := start(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
	}
	r.t.Cleanup(func() { h.stop(r.t) })
	return h
}

func (h *hub) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	for _, stop := range []func(context.Context) error{h.rebuilder.Stop, h.projector.Stop, h.progress.Stop} {
		if err := stop(ctx); err != nil {
			t.Error(err)
		}
	}
}

func (r *rig) calls(from, n int) {
	r.t.Helper()
	var events []event.Event
	for i := from; i < from+n; i++ {
		id := fmt.Sprintf("c%d", i)
		at := t0.Add(time.Duration(i) * time.Second)
		events = append(events,
			fact(r.t, "org", id, id+"-started", i, call.Started{Direction: "inbound", From: "+14155550100", To: "+14155550111", StartedAt: at}),
			fact(r.t, "org", id, id+"-ended", i+5, call.Ended{EndedAt: at.Add(5 * time.Second)}))
	}
	r.append(events...)
}

func (r *rig) stage(h *hub, projection string, want projections.Stage) projections.RebuildStatus {
	r.t.Helper()
	var last projections.RebuildStatus
	r.until(func() bool {
		var err error
		last, err = h.rebuilder.Status(r.t.Context(), projection)
		if err != nil {
			r.t.Fatal(err)
		}
		if last.Stage != want && last.Stage == projections.StageDiffers {
			r.t.Fatalf("the new generation differs: %s", last.Detail)
		}
		return last.Stage == want
	})
	return last
}

// Readers and writers work on while generations are built, compared and
// switched; nobody fails, and what was acknowledged is never missing again.
func TestRebuildSwitchesUnderLoad(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("one", "calls")
	r.calls(0, 2000)
	r.catchUp("calls", 1)

	ctx, cancel := context.WithCancel(t.Context())
	var group sync.WaitGroup
	defer group.Wait()
	defer cancel()
	group.Go(func() { // a writer whose every call must be seen once it is waited for
		for i := 10_000; ctx.Err() == nil; i++ {
			id := fmt.Sprintf("c%d", i)
			at, err := r.log.Append(ctx, fact(t, "org", id, id, 9000, call.Started{Direction: "inbound", From: "+1", To: "+2", StartedAt: t0}))
			if err != nil {
				continue
			}
			if err := h.progress.Wait(ctx, "calls", at...); err != nil {
				continue
			}
			if _, err := r.reader.Call(ctx, "org", id); err != nil && ctx.Err() == nil {
				t.Errorf("reading a call that was waited for: %v", err)
			}
		}
	})
	for range 3 {
		group.Go(func() {
			for ctx.Err() == nil {
				list, err := r.reader.Calls(ctx, "org", readmodel.CallFilter{From: "+14155550100"}, readmodel.Page{Limit: 200})
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("reading during the rebuild: %v", err)
					return
				}
				if len(list.Items) != 200 {
					t.Errorf("a list of %d calls during the rebuild, want 200", len(list.Items))
					return
				}
			}
		})
	}
	for want := 2; want <= 4; want++ {
		if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
			t.Fatal(err)
		}
		if got := r.stage(h, "calls", projections.StageSwitched); got.Generation != want {
			t.Errorf("generation %d is live, want %d", got.Generation, want)
		}
	}
	// A roll back is for emergencies: it shows older rows until it has caught up.
	cancel()
	group.Wait()
	if err := h.rebuilder.Rollback(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	r.until(func() bool {
		c, err := h.rebuilder.Diff(t.Context(), "calls")
		if err != nil {
			t.Fatal(err)
		}
		return c.Equal() && len(c.Tables) == 3
	})
}

func TestRebuildGoesOnInAnotherProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.calls(0, 300)
	first := r.hub("one", "calls")
	r.catchUp("calls", 1)
	first.projector.Stop(t.Context())
	if _, err := first.rebuilder.Begin(t.Context(), "calls", true); err != nil {
		t.Fatal(err)
	}
	if _, err := first.rebuilder.Begin(t.Context(), "calls", true); err == nil {
		t.Error("a second rebuild began beside the first")
	}
	first.stop(t)
	// The lease of a process that is gone ends by time; here by hand.
	if _, err := r.pool.Exec(t.Context(), "UPDATE rebuilds SET lease_until = '-infinity'"); err != nil {
		t.Fatal(err)
	}
	second := r.hub("two", "calls")
	r.stage(second, "calls", projections.StageSwitched)
}

// Who has seen an event in the live generation must not miss it in the next.
func TestAGenerationThatIsBehindIsNotSwitchedTo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run("calls", live())
	r.calls(0, 10)
	r.catchUp("calls", 1)
	g, err := r.models["calls"].Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.models["calls"].Switch(t.Context(), g.Number, nil); !errors.Is(err, readmodel.ErrBehind) {
		t.Errorf("switching to an empty generation: %v, want ErrBehind", err)
	}
	r.run("calls", g) // it catches up while the switch waits
	if err := r.models["calls"].Switch(t.Context(), g.Number, nil); err != nil {
		t.Fatal(err)
	}
	if list, err := r.reader.Calls(t.Context(), "org", readmodel.CallFilter{}, readmodel.Page{}); err != nil || len(list.Items) != 10 {
		t.Errorf("%d calls after the switch (%v), want 10", len(list.Items), err)
	}
}

// The log was lost, and the one in its place is shorter than what the live generation has
// read: whoever says that the new one is the truth need not wait until it is as long.
func TestAGenerationOfAShorterLogIsSwitchedTo(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("one", "calls")
	r.calls(0, 10)
	r.catchUp("calls", 1)
	h.stop(t)
	r.log = memory.NewLog(2)
	r.calls(100, 2)
	h = r.hub("two", "calls")
	if _, err := h.rebuilder.Begin(t.Context(), "calls", false); err != nil {
		t.Fatal(err)
	}
	if err := h.rebuilder.Switch(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	if list, err := r.reader.Calls(t.Context(), "org", readmodel.CallFilter{}, readmodel.Page{}); err != nil || len(list.Items) != 2 {
		t.Errorf("%d calls after the switch (%v), want 2", len(list.Items), err)
	}
	r.calls(200, 1)
	r.catchUp("calls", 2)
}

func TestDifferencesAreToldInWords(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	h := r.hub("one", "calls")
	r.calls(0, 5)
	r.catchUp("calls", 1)
	if _, err := r.pool.Exec(t.Context(), `UPDATE calls_g1 SET disposition = 'made up' WHERE id = 'c3'`); err != nil {
		t.Fatal(err)
	}
	if _, err := r.pool.Exec(t.Context(), `DELETE FROM call_history_g1 WHERE event_id = 'c2-ended'`); err != nil {
		t.Fatal(err)
	}
	if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
		t.Fatal(err)
	}
	var s projections.RebuildStatus
	r.until(func() bool {
		var err error
		if s, err = h.rebuilder.Status(t.Context(), "calls"); err != nil {
			t.Fatal(err)
		}
		return s.Stage == projections.StageDiffers
	})
	for _, want := range []string{"calls org/c3: disposition differ between calls_g1 and calls_g2", "call_history org/c2/2: only in call_history_g2"} {
		if !strings.Contains(s.Detail, want) {
			t.Errorf("the detail lacks %q:\n%s", want, s.Detail)
		}
	}
	// The operator knows better: the new one is right.
	if err := h.rebuilder.Switch(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	got, err := r.reader.Call(t.Context(), "org", "c3")
	if err != nil || got.State.Disposition != "" {
		t.Errorf("call after the switch: %+v, %v", got, err)
	}
	if err := h.rebuilder.Drop(t.Context(), "calls"); err != nil {
		t.Fatal(err)
	}
	if all, err := r.models["calls"].List(t.Context()); err != nil || len(all) != 1 {
		t.Errorf("generations after the drop: %v, %v", all, err)
	}
}

func TestTwoProcessesShareThePartitions(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.calls(0, 500)
	one := r.hub("one", "calls")
	two := r.hub("two", "calls")
	r.calls(500, 500)
	r.catchUp("calls", 1)
	two.stop(t)
	r.calls(1000, 500)
	r.catchUp("calls", 1)
	var calls, events int
	if err := r.pool.QueryRow(t.Context(), "SELECT (SELECT count(*) FROM calls), (SELECT count(*) FROM call_history)").Scan(&calls, &events); err != nil {
		t.Fatal(err)
	}
	if calls != 1500 || events != 3000 {
		t.Errorf("%d calls with %d events, want 1500 and 3000", calls, events)
	}
	all, err := one.projector.Status(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if s := all[0]; s.Name != "calls" || s.State != projections.StateLive || s.LagEvents != 0 || s.Progress.IsZero() {
		t.Errorf("status %+v", s)
	}
}
