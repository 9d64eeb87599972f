package projections_test

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/memory/readmodel"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// place is a log and a read model of one partition, as numbers.
type place struct {
	projections.Generations
	mu          sync.Mutex
	generations []projections.Generation
	// next are the checkpoints of the generations, end is that of the log.
	next    map[int]int64
	end     int64
	parked  int64
	digests map[int]string
	// applier is what a projector that runs is given.
	applier projections.Applier
	// move is called by Digest, and grow by Checkpoints: what happens meanwhile.
	move, grow func()
}

func (p *place) Projection() string    { return "calls" }
func (p *place) Topics() []event.Topic { return []event.Topic{event.Calls} }

func (p *place) Applier(int) projections.Applier { return p.applier }

// change changes the numbers.
func (p *place) change(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

func (p *place) List(context.Context) ([]projections.Generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.generations), nil
}

func (p *place) ParkedCount(context.Context) (int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.parked, nil
}

func (p *place) Checkpoints(_ context.Context, generation int) (map[event.Topic]map[int]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.grow != nil {
		p.grow()
	}
	return map[event.Topic]map[int]int64{event.Calls: {0: p.next[generation]}}, nil
}

func (p *place) Ends(context.Context, ...event.Topic) (map[event.Topic]map[int]int64, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return map[event.Topic]map[int]int64{event.Calls: {0: p.end}}, nil
}

func (p *place) Digest(_ context.Context, generation int) ([]projections.TableDigest, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.move != nil {
		p.move()
	}
	return []projections.TableDigest{{Table: "calls", Rows: 1, Hash: p.digests[generation]}}, nil
}

func (p *place) Create(context.Context) (projections.Generation, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := projections.Generation{Number: len(p.generations) + 1, Status: projections.Building}
	p.generations = append(p.generations, g)
	return g, nil
}

func (p *place) Drop(_ context.Context, generation int) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.generations = slices.DeleteFunc(p.generations, func(g projections.Generation) bool { return g.Number == generation })
	return nil
}

func (p *place) Switch(_ context.Context, generation int, _ map[event.Topic]map[int]int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.generations {
		g := &p.generations[i]
		switch {
		case g.Number == generation:
			g.Status = projections.Live
		case g.Status == projections.Live:
			g.Status = projections.Retired
		}
	}
	return nil
}

// idle is a projector that only tells how a place stands.
func idle(t *testing.T, p *place) *projections.Projector {
	t.Helper()
	projector, err := projections.NewProjector(projections.ProjectorConfig{
		Generations: []projections.Generations{p}, Ends: p, Idle: true, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	return projector
}

func TestStatusTellsHowFarBehindAProjectionIs(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := &place{generations: []projections.Generation{{Number: 1, Status: projections.Live}}, next: map[int]int64{1: 10}, end: 10}
		projector := idle(t, p)
		type look struct {
			State      projections.State
			LagEvents  int64
			LagSeconds float64
			Parked     int64
		}
		check := func(name string, want look) {
			t.Helper()
			all, err := projector.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := look{all[0].State, all[0].LagEvents, all[0].LagSeconds, all[0].Parked}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		check("at the end", look{projections.StateLive, 0, 0, 0})
		p.end = 13
		check("an event has just come", look{projections.StateLive, 3, 0, 0})
		<-time.After(3 * time.Second)
		p.end = 20
		check("it waits", look{projections.StateCatchingUp, 10, 3, 0})
		p.next[1] = 13
		check("it is applied, younger ones are not", look{projections.StateLive, 7, 0, 0})
		p.parked = 2
		for range 31 {
			<-time.After(time.Second)
		}
		check("nothing moves any more", look{projections.StateStopped, 7, 31, 2})
		p.next[1], p.generations = 20, append(p.generations, projections.Generation{Number: 2, Status: projections.Building})
		check("a generation is built", look{projections.StateRebuilding, 0, 0, 2})
	})
}

// Whoever lost the log's disk, or connected another Kafka, has read models that are
// ahead of it: what comes would not be read until it is as long as the former.
func TestAReadModelOfAnotherLogIsNotLive(t *testing.T) {
	t.Parallel()
	p := &place{generations: []projections.Generation{{Number: 1, Status: projections.Live}}, next: map[int]int64{1: 10}, end: 10}
	projector := idle(t, p)
	type look struct {
		State projections.State
		Err   string
	}
	check := func(name string, want look) {
		t.Helper()
		all, err := projector.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, look{all[0].State, all[0].Err}); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	p.grow = func() { p.end, p.next[1] = 15, 15 }
	check("events came and were applied after the log was asked for its end", look{State: projections.StateLive})
	p.grow, p.end = nil, 4
	check("the log is shorter", look{
		State: projections.StateStopped,
		Err:   "trunkline.calls.v1/0 has been read up to 15, but the log ends at 4: it is not the log that this was made from",
	})
}

// It has nothing to read, and so does not lag: what it was made from is not there.
func TestAReadModelOfALogThatIsAsLongIsNotLive(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		first, second, store := memory.NewLog(1), memory.NewLog(1), readmodel.NewStore(projections.Models())
		notes(t, first, 0, 10)
		r := start(t, first, store, new(observed))
		synctest.Wait()
		stop(t, r)
		<-time.After(time.Second)
		notes(t, second, 0, 10)
		projector, err := projections.NewProjector(projections.ProjectorConfig{
			Generations: []projections.Generations{&place{
				generations: []projections.Generation{{Number: 1, Status: projections.Live}}, next: map[int]int64{1: 10},
				applier: projections.NewEntityApplier(projections.Calls(), 1, store, 0),
			}},
			Source: second, Ends: second, Log: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := projector.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(time.Second)
		all, err := projector.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if s := all[0]; s.State != projections.StateStopped || s.LagEvents != 0 || !strings.Contains(s.Err, "trunkline.calls.v1/0@9 was recorded at") {
			t.Errorf("%+v", s)
		}
		if err := projector.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
