package projections_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/memory/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// observed keeps what a runner tells its observer and meter.
type observed struct {
	mu       sync.Mutex
	next     map[int]int64
	failures int
}

func (o *observed) Applied(_ string, _ int, _ event.Topic, partition int, next int64) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.next == nil {
		o.next = make(map[int]int64)
	}
	o.next[partition] = next
}

func (o *observed) Batch(string, int, time.Duration) {}

func (o *observed) Failure(string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.failures++
}

// look is what was observed so far.
func (o *observed) look() (next map[int]int64, failures int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return maps.Clone(o.next), o.failures
}

// notes appends so many facts at once: who reads meanwhile would see some of them.
func notes(t *testing.T, log *memory.Log, from, n int) {
	t.Helper()
	var events []event.Event
	for i := from; i < from+n; i++ {
		e, err := event.New(event.Envelope{
			ID: fmt.Sprint(i), Org: "org", Subject: fmt.Sprintf("c%d", i%7), Source: "api", OccurredAt: time.Now(), RecordedAt: time.Now(),
		}, call.NoteAdded{Note: fmt.Sprint(i)})
		if err != nil {
			t.Fatal(err)
		}
		events = append(events, e)
	}
	if _, err := log.Append(t.Context(), events...); err != nil {
		t.Fatal(err)
	}
}

func start(t *testing.T, log *memory.Log, store projections.Store, o *observed) *projections.Runner {
	t.Helper()
	m := projections.Calls()
	r, err := projections.NewRunner(projections.RunnerConfig{
		Projection: m.Name, Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{m.Topic},
		Source: log, Applier: projections.NewEntityApplier(m, 1, store, 0), Batch: 3, Observer: o, Meter: o,
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	return r
}

// Each of many partitions waits for a store that is away, and tries every few seconds.
func TestAStoreThatIsAwayDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, minutes = 64, 10
		log, store, m := memory.NewLog(partitions), readmodel.NewStore(projections.Models()), projections.Calls()
		var said bytes.Buffer
		notes(t, log, 0, 20)
		store.FailCommits(errors.New("connection refused"))
		r, err := projections.NewRunner(projections.RunnerConfig{
			Projection: m.Name, Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{m.Topic},
			Source: log, Applier: projections.NewEntityApplier(m, 1, store, 0), Log: slog.New(slog.NewTextHandler(&said, nil)), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		<-time.After(minutes * time.Minute)
		if err := r.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		// Each says once that it waits, and all together six times a minute.
		if n := strings.Count(said.String(), "\n"); n < partitions || n > partitions+minutes*6 {
			t.Errorf("of %d partitions that wait there are %d lines in %d minutes", partitions, n, minutes)
		}
	})
}

func TestRunnerOutlastsItsStore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store, o := memory.NewLog(2), readmodel.NewStore(projections.Models()), new(observed)
		notes(t, log, 0, 20)
		store.FailCommits(errors.New("connection refused"))
		r := start(t, log, store, o)
		<-time.After(time.Minute) // of the bubble's clock: many a backoff
		for _, p := range r.Parts() {
			if p.Next != 0 || p.Err == "" || p.Pending.IsZero() {
				t.Errorf("while the store is away: %+v", p)
			}
		}
		if _, n := o.look(); n < 10 || n > 60 {
			t.Errorf("%d failures in a minute: the pause between them should grow to seconds", n)
		}
		notes(t, log, 20, 20)
		store.FailCommits(nil)
		<-time.After(10 * time.Second)
		ends, err := log.Ends(t.Context(), event.Calls)
		if err != nil {
			t.Fatal(err)
		}
		next, _ := o.look()
		if diff := cmp.Diff(ends[event.Calls], next); diff != "" {
			t.Errorf("checkpoints after the store came back (-end +applied):\n%s", diff)
		}
		stop(t, r)
	})
}

func stop(t *testing.T, r *projections.Runner) {
	t.Helper()
	for range 2 { // twice does no harm
		if err := r.Stop(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

func TestFencedRunnerResignsAndComesBack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store, o := memory.NewLog(1), readmodel.NewStore(projections.Models()), new(observed)
		r := start(t, log, store, o)
		notes(t, log, 0, 5)
		synctest.Wait()
		// Somebody else takes the partition, as after a network partition.
		if _, err := projections.NewEntityApplier(projections.Calls(), 1, store, 0).Claim(t.Context(), event.Calls, 0); err != nil {
			t.Fatal(err)
		}
		notes(t, log, 5, 5)
		synctest.Wait()
		fenced := log.HandleErrors()
		if len(fenced) != 1 || !errors.Is(fenced[0], projections.ErrFenced) {
			t.Errorf("the group was told %v, want ErrFenced once", fenced)
		}
		<-time.After(time.Second)
		if next, _ := o.look(); next[0] != 10 {
			t.Errorf("came to %d, want 10", next[0])
		}
		stop(t, r)
	})
}

// crashing is a store that goes back to what it had flushed: commits since it was
// told to hold are lost, claims are not.
type crashing struct {
	projections.Store
	mu      sync.Mutex
	flushed projections.Store
	holds   bool
}

func (c *crashing) Claim(ctx context.Context, ref projections.Ref, topic event.Topic, partition int) (projections.Tenure, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, err := c.flushed.Claim(ctx, ref, topic, partition); c.Store == c.flushed {
		return t, err
	}
	return c.Store.Claim(ctx, ref, topic, partition)
}

func (c *crashing) Commit(ctx context.Context, ref projections.Ref, b projections.Batch) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if err := c.Store.Commit(ctx, ref, b); err != nil || c.holds || c.Store == c.flushed {
		return err
	}
	return c.flushed.Commit(ctx, ref, b)
}

func (c *crashing) hold() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.holds = true
}

func (c *crashing) crash() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.Store = c.flushed
}

// TestRunnerAppliesAgainWhatItsStoreLost, although nothing comes after it: a database
// that was killed lost it at once, one that a lagging replica took over from later.
func TestRunnerAppliesAgainWhatItsStoreLost(t *testing.T) {
	t.Parallel()
	for name, later := range map[string]time.Duration{"killed": 0, "taken over from": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { loseCommits(t, later) })
		})
	}
}

func loseCommits(t *testing.T, later time.Duration) {
	flushed, lost := readmodel.NewStore(projections.Models()), readmodel.NewStore(projections.Models())
	log, store := memory.NewLog(1), &crashing{Store: lost, flushed: flushed}
	r := start(t, log, store, new(observed))
	notes(t, log, 0, 4)
	<-time.After(time.Minute)
	store.hold()
	notes(t, log, 4, 3)
	synctest.Wait()
	<-time.After(later)
	store.crash()
	<-time.After(2 * time.Minute)
	ref := projections.Ref{Model: "calls", Generation: 1}
	want, err := lost.Rows(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	got, err := flushed.Rows(t.Context(), ref)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("rows after the crash (-before +after):\n%s", diff)
	}
	stop(t, r)
}

func TestRunnerOfARetiredGenerationEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log, store := memory.NewLog(1), readmodel.NewStore(nil) // which has no generation at all
		r := start(t, log, store, new(observed))
		<-r.Done()
		stop(t, r)
	})
}

func TestRunnerNeverStartedStops(t *testing.T) {
	t.Parallel()
	r, err := projections.NewRunner(projections.RunnerConfig{
		Projection: "x", Topics: []event.Topic{event.Calls}, Source: memory.NewLog(1),
		Applier: projections.NewEntityApplier(projections.Calls(), 1, nil, 0), Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if _, err := projections.NewRunner(projections.RunnerConfig{}); err == nil {
		t.Error("a runner of nothing was made")
	}
}

// batched keeps the sizes of the batches, beside what is observed.
type batched struct {
	observed
	sizes []int
}

func (b *batched) Batch(_ string, events int, _ time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.sizes = append(b.sizes, events)
}

func TestPaceGathersAStreamAndHoldsUpNothingElse(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m, log, o := projections.Calls(), memory.NewLog(1), new(batched)
		r, err := projections.NewRunner(projections.RunnerConfig{
			Projection: m.Name, Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: []event.Topic{m.Topic},
			Source: log, Applier: projections.NewEntityApplier(m, 1, readmodel.NewStore(projections.Models()), 0), Batch: 10, Pace: time.Second, Meter: o,
			Log: slog.New(slog.DiscardHandler), Now: time.Now,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := r.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		var seen [][]int
		step := func(after time.Duration, n int) {
			<-time.After(after)
			notes(t, log, 100*len(seen), n)
			synctest.Wait()
			o.mu.Lock()
			seen = append(seen, o.sizes)
			o.sizes = nil
			o.mu.Unlock()
		}
		step(0, 1)                    // the first is applied at once
		step(100*time.Millisecond, 2) // these wait
		step(100*time.Millisecond, 2) // and so do these
		step(900*time.Millisecond, 0) // together
		step(10*time.Second, 1)       // after a silence again at once
		step(10*time.Second, 25)      // a backlog is read without a pause
		step(10*time.Second, 0)       // and its last event too
		want := [][]int{{1}, nil, nil, {4}, {1}, {10, 10, 5}, nil}
		if diff := cmp.Diff(want, seen); diff != "" {
			t.Errorf("sizes of batches (-want +seen):\n%s", diff)
		}
		stop(t, r)
	})
}
