// Package appliertest is the conformance suite of projections.Store together
// with projections.EntityApplier: what every store of folded read models must
// do, whatever happens on the way.
package appliertest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Harness is a store under test.
type Harness struct {
	// Store keeps all of projections.Models, each with a live generation 1.
	Store projections.Store
	// Rows returns every row of a generation, parked events included, as lines
	// that are equal only if the rows are, in an order that follows from them.
	Rows func(ctx context.Context, ref projections.Ref) ([]string, error)
	// Create makes a further, empty generation.
	Create func(ctx context.Context, model string) (projections.Generation, error)
	// Duplicates lists what the store found twice.
	Duplicates projections.Duplicates
}

// Run runs the suite. open is called once per test.
func Run(t *testing.T, open func(t *testing.T) Harness) {
	for _, test := range []struct {
		name string
		run  func(*testing.T, Harness)
	}{
		{"applying twice is applying once", applyTwice},
		{"any split and any crash give the same rows", anySplit},
		{"a former owner is fenced", fenced},
		{"a session learns that its effect is gone", confirmed},
		{"a claim tells the last event that had its effect", last},
		{"poison parks its entity only", poison},
		{"a fold that breaks parks its entity and leaves no trace", brokenFold},
		{"an entity that grows without end is parked", outgrown},
		{"retry folds what was parked in order", retry},
		{"skip leaves one event out in every generation", skip},
		{"an event without an entity is parked alone", nameless},
		{"repeats are found far back", farRepeats},
		{"a retired generation cannot be claimed", unknownGeneration},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			test.run(t, open(t))
		})
	}
}

const partition = 3

// applier returns an applier of a model's generation; small makes a cache that
// keeps nothing between batches.
func (h Harness) applier(m projections.Model, generation int, small bool) *projections.EntityApplier {
	cache := 0
	if small {
		cache = 1
	}
	return projections.NewEntityApplier(m, generation, h.Store, cache)
}

func (h Harness) rows(t fataler, m projections.Model, generation int) []string {
	t.Helper()
	rows, err := h.Rows(context.Background(), projections.Ref{Model: m.Name, Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
}

// apply applies events to a generation in one batch, under a new tenure.
func (h Harness) apply(t fataler, m projections.Model, generation int, events []event.Recorded) {
	t.Helper()
	s, err := h.applier(m, generation, false).Claim(context.Background(), m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Apply(context.Background(), events); err != nil {
		t.Fatal(err)
	}
}

func applyTwice(t *testing.T, h Harness) {
	m := projections.Calls()
	events := story(1)
	h.apply(t, m, 1, events)
	once := h.rows(t, m, 1)
	h.apply(t, m, 1, events)
	if diff := cmp.Diff(once, h.rows(t, m, 1)); diff != "" {
		t.Errorf("rows after the second time (-once +twice):\n%s", diff)
	}
	if len(once) == 0 {
		t.Error("no rows at all")
	}
	// An event that is read again after a crash is no repeat in the log.
	end := events[len(events)-1].Position.Offset + 1
	twice, err := h.Duplicates.Duplicates(t.Context(), m.Topic, partition, 0, end)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.Duplicates.Duplicates(t.Context(), m.Topic, partition, 0, end+1); !errors.Is(err, projections.ErrBehind) {
		t.Errorf("beyond the checkpoint: %v, want ErrBehind", err)
	}
	if diff := cmp.Diff(map[int64]struct{}{events[3].Position.Offset: {}}, twice); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
	s, err := h.applier(m, 1, false).Claim(t.Context(), m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(t.Context(), events[:2]); err != nil {
		t.Fatal(err)
	}
	if got, want := s.Next(), events[len(events)-1].Position.Offset+1; got != want {
		t.Errorf("the checkpoint is %d after old events, want %d", got, want)
	}
}

// anySplit applies random histories in one go, and again in random batches with
// crashes before and after the commit, small caches and changes of owner.
func anySplit(t *testing.T, h Harness) {
	rapid.Check(t, func(r *rapid.T) {
		m := rapid.SampledFrom(projections.Models()).Draw(r, "model")
		events := histories(m.Topic).Draw(r, "events")
		whole, split := h.create(r, m), h.create(r, m)
		h.apply(r, m, whole, events)
		h.crashing(r, m, split, events)
		want := h.rows(r, m, whole)
		if diff := cmp.Diff(want, h.rows(r, m, split)); diff != "" {
			r.Fatalf("%s in batches (-in one go +in batches):\n%s", m.Name, diff)
		}
	})
}

func (h Harness) create(t fataler, m projections.Model) int {
	t.Helper()
	g, err := h.Create(context.Background(), m.Name)
	if err != nil {
		t.Fatal(err)
	}
	return g.Number
}

// crashing applies events in random batches; commits fail before or after they
// had their effect.
func (h Harness) crashing(r *rapid.T, m projections.Model, generation int, events []event.Recorded) {
	faulty := &faulty{Store: h.Store}
	cache := rapid.SampledFrom([]int{0, 1, 2000}).Draw(r, "cache")
	applier := projections.NewEntityApplier(m, generation, faulty, cache)
	ctx := context.Background()
	s, err := applier.Claim(ctx, m.Topic, partition)
	if err != nil {
		r.Fatal(err)
	}
	for s.Next() <= events[len(events)-1].Position.Offset {
		first := slices.IndexFunc(events, func(e event.Recorded) bool { return e.Position.Offset >= s.Next() })
		n := rapid.IntRange(1, len(events)-first).Draw(r, "batch")
		faulty.mode = rapid.SampledFrom([]string{"", "", "", "before", "after"}).Draw(r, "fault")
		err := s.Apply(ctx, events[first:first+n])
		if (faulty.mode == "") != (err == nil) {
			r.Fatalf("apply with fault %q: %v", faulty.mode, err)
		}
		if err != nil || rapid.Bool().Draw(r, "resign") {
			s.Close()
			if s, err = applier.Claim(ctx, m.Topic, partition); err != nil {
				r.Fatal(err)
			}
		}
	}
	s.Close()
}

// faulty makes commits fail.
type faulty struct {
	projections.Store
	mode string
}

var errCrash = errors.New("crash")

func (f *faulty) Commit(ctx context.Context, ref projections.Ref, b projections.Batch) error {
	if f.mode == "before" {
		return errCrash
	}
	if err := f.Store.Commit(ctx, ref, b); err != nil {
		return err
	}
	if f.mode == "after" {
		return errCrash
	}
	return nil
}

func fenced(t *testing.T, h Harness) {
	m := projections.Calls()
	events := story(1)
	ctx := t.Context()
	a := h.applier(m, 1, false)
	former, err := a.Claim(ctx, m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	if err := former.Apply(ctx, events[:1]); err != nil {
		t.Fatal(err)
	}
	latter, err := a.Claim(ctx, m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	if err := former.Apply(ctx, events[1:]); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("the former owner's apply: %v, want ErrFenced", err)
	}
	if got, want := latter.Next(), events[0].Position.Offset+1; got != want {
		t.Errorf("the new owner goes on from %d, want %d", got, want)
	}
	if err := latter.Apply(ctx, events[1:]); err != nil {
		t.Fatal(err)
	}
	whole := h.create(t, m)
	h.apply(t, m, whole, events)
	if diff := cmp.Diff(h.rows(t, m, whole), h.rows(t, m, 1)); diff != "" {
		t.Errorf("rows by two owners (-one +two):\n%s", diff)
	}
}

// confirmed: to confirm changes nothing, and tells when the checkpoint is not the
// session's any more.
func confirmed(t *testing.T, h Harness) {
	m := projections.Calls()
	events := story(1)
	ctx := t.Context()
	a := h.applier(m, 1, false)
	s, err := a.Claim(ctx, m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	confirm := func() {
		t.Helper()
		if err := s.Confirm(ctx); err != nil {
			t.Fatal(err)
		}
	}
	confirm()
	if err := s.Apply(ctx, events[:1]); err != nil {
		t.Fatal(err)
	}
	applied := h.rows(t, m, 1)
	confirm()
	confirm()
	if diff := cmp.Diff(applied, h.rows(t, m, 1)); diff != "" {
		t.Errorf("confirming changed rows (-applied +confirmed):\n%s", diff)
	}
	if err := s.Apply(ctx, events[1:2]); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Claim(ctx, m.Topic, partition); err != nil {
		t.Fatal(err)
	}
	if err := s.Confirm(ctx); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("confirming what another owns: %v, want ErrFenced", err)
	}
	if err := s.Apply(ctx, events[2:]); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("applying after that: %v, want ErrFenced", err)
	}
}

func unknownGeneration(t *testing.T, h Harness) {
	_, err := h.applier(projections.Calls(), 99, false).Claim(t.Context(), event.Calls, partition)
	if !errors.Is(err, projections.ErrRetired) {
		t.Errorf("claiming a generation that is not there: %v, want ErrRetired", err)
	}
}

func farRepeats(t *testing.T, h Harness) {
	m := projections.Agents()
	var events []event.Recorded
	for i := range 3 * projections.RecentIDs {
		events = append(events, shift(int64(i), fmt.Sprintf("e%d", i), i%2 == 0))
	}
	again := shift(int64(len(events)), "e0", true)
	late := shift(int64(len(events)+1), "e1", false)
	late.RecordedAt = late.RecordedAt.Add(projections.RepeatSpan + 1)
	h.apply(t, m, 1, events[:100])
	h.apply(t, m, 1, append(events[100:], again, late))
	got, err := h.Duplicates.Duplicates(t.Context(), m.Topic, partition, 0, late.Position.Offset+1)
	if err != nil {
		t.Fatal(err)
	}
	want := map[int64]struct{}{again.Position.Offset: {}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
}

// last: the log may be another one, and what it has there tells.
func last(t *testing.T, h Harness) {
	m := projections.Calls()
	events := story(1)
	ctx := t.Context()
	claim := func() projections.Session {
		t.Helper()
		s, err := h.applier(m, 1, false).Claim(ctx, m.Topic, partition)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if first := claim().Last(); !first.RecordedAt.IsZero() {
		t.Errorf("before the first event it is %+v", first)
	}
	timeless := events[4]
	timeless.RecordedAt = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	for _, step := range []struct {
		name   string
		events []event.Recorded
		want   time.Time
	}{
		{"some events", events[:3], events[2].RecordedAt},
		{"a repeat", events[3:4], events[3].RecordedAt},
		{"an event whose time cannot be", []event.Recorded{timeless}, time.Time{}},
		{"an event of an entity that is parked", junk(events, 5)[5:], events[5].RecordedAt},
	} {
		s := claim()
		if err := s.Apply(ctx, step.events); err != nil {
			t.Fatal(err)
		}
		if err := s.Confirm(ctx); err != nil {
			t.Fatal(err)
		}
		// That it reads what it has again changes nothing.
		if err := s.Apply(ctx, events[:1]); err != nil {
			t.Fatal(err)
		}
		want := projections.Mark{Partition: partition, Offset: step.events[len(step.events)-1].Position.Offset, RecordedAt: step.want}
		if diff := cmp.Diff(want, claim().Last()); diff != "" {
			t.Errorf("after %s (-want +got):\n%s", step.name, diff)
		}
	}
}
