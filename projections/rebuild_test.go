package projections_test

import (
	"context"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/projections"
)

// shelf keeps rebuilds.
type shelf struct {
	mu     sync.Mutex
	all    map[string]projections.Rebuild
	leases int
}

func (s *shelf) Get(_ context.Context, projection string) (projections.Rebuild, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, ok := s.all[projection]
	return b, ok, nil
}

func (s *shelf) Put(_ context.Context, b projections.Rebuild) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all[b.Projection] = b
	return nil
}

func (s *shelf) Move(ctx context.Context, from projections.Stage, b projections.Rebuild, do func(context.Context) error) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if at := s.all[b.Projection]; at.Stage != from || !at.StartedAt.Equal(b.StartedAt) {
		return false, nil
	}
	if do != nil {
		if err := do(ctx); err != nil {
			return false, err
		}
	}
	s.all[b.Projection] = b
	return true, nil
}

func (s *shelf) Lease(_ context.Context, b projections.Rebuild, _ string, _ time.Duration) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.leases++
	at, ok := s.all[b.Projection]
	return !ok || at.StartedAt.Equal(b.StartedAt) && at.Stage == b.Stage, nil
}

// leased is how often a lease was asked for.
func (s *shelf) leased() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.leases
}

// A store that cannot compare by itself is compared by digests.
func TestRebuildByDigests(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		auto    bool
		digests map[int]string
		moving  bool
		want    projections.Stage
	}{
		{"equal ones are switched", true, map[int]string{1: "a", 2: "a"}, false, projections.StageSwitched},
		{"equal ones wait for the operator", false, map[int]string{1: "a", 2: "a"}, false, projections.StageReady},
		{"different ones are not switched", true, map[int]string{1: "a", 2: "b"}, false, projections.StageDiffers},
		{"what never stands still is not switched", true, map[int]string{1: "a", 2: "a"}, true, projections.StageReady},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				p := &place{generations: []projections.Generation{{Number: 1, Status: projections.Live}}, next: map[int]int64{1: 1000}, end: 1000, digests: test.digests}
				if test.moving {
					p.move = func() { p.end++; p.next[1]++ }
				}
				r, err := projections.NewRebuilder(projections.RebuilderConfig{
					Generations: []projections.Generations{p}, Rebuilds: &shelf{all: make(map[string]projections.Rebuild)}, Ends: p, Owner: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
				})
				if err != nil {
					t.Fatal(err)
				}
				if _, err := r.Begin(t.Context(), "calls", test.auto); err != nil {
					t.Fatal(err)
				}
				<-time.After(time.Second)
				p.change(func() { p.next[2] = 500 })
				if err := r.Start(t.Context()); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				s := status(t, r)
				if s.Stage != projections.StageBuilding || s.Done != 500 || s.Total != 1000 || s.EventsPerSec != 500 || s.Left != time.Second {
					t.Errorf("half-way: %+v", s)
				}
				p.change(func() { p.next[2] = p.end })
				<-time.After(2 * time.Minute)
				if s := status(t, r); s.Stage != test.want {
					t.Errorf("stage %s (%s), want %s", s.Stage, s.Detail, test.want)
				}
				if err := r.Stop(t.Context()); err != nil {
					t.Error(err)
				}
				want := projections.Live
				if test.want != projections.StageSwitched {
					want = projections.Building
				}
				if diff := cmp.Diff(projections.Generation{Number: 2, Status: want}, built(t, p)); diff != "" {
					t.Errorf("the new generation (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// slow is a place whose generations take for ever to complete.
type slow struct {
	*place
	begun, ended chan struct{}
}

func (s slow) Complete(ctx context.Context, _ int) error {
	defer close(s.ended)
	close(s.begun)
	<-ctx.Done()
	return ctx.Err()
}

// What takes hours keeps its lease, and ends when the operator drops it.
func TestADropEndsTheWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &place{generations: []projections.Generation{{Number: 1, Status: projections.Live}}, next: map[int]int64{1: 10, 2: 10}, end: 10}
		work, shelf := slow{p, make(chan struct{}), make(chan struct{})}, &shelf{all: make(map[string]projections.Rebuild)}
		r, err := projections.NewRebuilder(projections.RebuilderConfig{
			Generations: []projections.Generations{work}, Rebuilds: shelf, Ends: p, Owner: "test", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Begin(t.Context(), "calls", true); err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-work.begun
		before := shelf.leased()
		<-time.After(time.Minute)
		if n := shelf.leased() - before; n < 30 {
			t.Errorf("the lease of 30 s was renewed %d times in a minute", n)
		}
		if err := r.Drop(t.Context(), "calls"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-work.ended:
		case <-time.After(4 * time.Second):
			t.Error("who drops it waits 4 s for its locks, and it goes on")
		}
		synctest.Wait()
		if s := status(t, r); s.Stage != projections.StageDropped {
			t.Errorf("the rebuild is %s", s.Stage)
		}
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func status(t *testing.T, r *projections.Rebuilder) projections.RebuildStatus {
	t.Helper()
	s, err := r.Status(t.Context(), "calls")
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// built is the second generation.
func built(t *testing.T, p *place) projections.Generation {
	t.Helper()
	all, err := p.List(t.Context())
	if err != nil || len(all) != 2 {
		t.Fatalf("generations %v, %v", all, err)
	}
	return all[1]
}
