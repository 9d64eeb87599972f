package clickhouse

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// flushes records the sizes of the groups that are inserted.
type flushes struct {
	mu    sync.Mutex
	sizes []int
	fail  error
	hold  chan struct{} // when not nil, an insert waits for it
	ended error         // why the context of a held insert ended
}

func (f *flushes) flush(ctx context.Context, works []*work[int]) {
	if f.hold != nil {
		select {
		case <-f.hold:
		case <-ctx.Done():
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = ctx.Err()
	f.sizes = append(f.sizes, len(works))
	for _, w := range works {
		w.err = f.fail
	}
}

func TestGroupsWaitForCompanyOnlyAsLongAsTheyShould(t *testing.T) {
	t.Parallel()
	cfg := SinkConfig{Every: time.Second, MinRows: 100, MaxRows: 200}.withDefaults()
	cfg.MaxBytes = 4 * behindBytes
	type arrival struct {
		after time.Duration
		rows  int
		bytes int
	}
	for name, test := range map[string]struct {
		arrivals []arrival
		groups   []int
		took     time.Duration
	}{
		"alone, until the next is due":    {[]arrival{{0, 1, 0}}, []int{1}, time.Second},
		"few, in one insert":              {[]arrival{{0, 1, 0}, {100 * time.Millisecond, 1, 0}, {900 * time.Millisecond, 1, 0}}, []int{3}, time.Second},
		"many rows, for a moment":         {[]arrival{{0, 100, 0}, {10 * time.Millisecond, 50, 0}}, []int{2}, busyLinger},
		"until there are many":            {[]arrival{{0, 1, 0}, {300 * time.Millisecond, 99, 0}}, []int{2}, 300*time.Millisecond + busyLinger},
		"no longer than that":             {[]arrival{{0, 1, 0}, {990 * time.Millisecond, 99, 0}}, []int{2}, time.Second},
		"not at all when it is full":      {[]arrival{{0, 200, 0}}, []int{1}, 0},
		"until it is full":                {[]arrival{{0, 100, 0}, {10 * time.Millisecond, 100, 0}}, []int{2}, 10 * time.Millisecond},
		"the late one makes a group":      {[]arrival{{0, 1, 0}, {1500 * time.Millisecond, 1, 0}}, []int{1, 1}, 2 * time.Second},
		"after a pause, for a moment":     {[]arrival{{time.Hour, 1, 0}, {time.Hour + 10*time.Millisecond, 1, 0}}, []int{2}, time.Hour + busyLinger},
		"who is behind, for a moment":     {[]arrival{{0, 1, 0}, {300 * time.Millisecond, 1, behindBytes}}, []int{2}, 300*time.Millisecond + busyLinger},
		"not at all when it is heavy":     {[]arrival{{0, 1, 4 * behindBytes}}, []int{1}, 0},
		"nothing to insert waits as well": {[]arrival{{0, 0, 0}, {100 * time.Millisecond, 0, 0}}, []int{2}, time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &flushes{}
				g := newGroups(cfg, f.flush)
				begin := time.Now()
				g.begun = begin
				var wg sync.WaitGroup
				for _, a := range test.arrivals {
					wg.Go(func() {
						<-time.After(a.after)
						if err := g.apply(t.Context(), &work[int]{n: a.rows, bytes: a.bytes}); err != nil {
							t.Error(err)
						}
					})
				}
				wg.Wait()
				slices.Sort(f.sizes)
				if diff := cmp.Diff(test.groups, f.sizes); diff != "" {
					t.Errorf("groups (-want +got):\n%s", diff)
				}
				if took := time.Since(begin); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
			})
		})
	}
}

func TestAGroupTellsAllOfItsMembersWhatHappened(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flushes{fail: errUnexpected}
		g := newGroups(SinkConfig{}.withDefaults(), f.flush)
		var wg sync.WaitGroup
		for range 5 {
			wg.Go(func() {
				if err := g.apply(t.Context(), &work[int]{n: 1}); !errors.Is(err, errUnexpected) {
					t.Errorf("got %v, want %v", err, errUnexpected)
				}
			})
		}
		wg.Wait()
	})
}

func TestALeaderWhosePartitionIsTakenFinishesForTheOthers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flushes{}
		g := newGroups(SinkConfig{Every: time.Hour}.withDefaults(), f.flush)
		g.begun = time.Now()
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := g.apply(ctx, &work[int]{n: 1}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if err := g.apply(t.Context(), &work[int]{n: 1}); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
		if diff := cmp.Diff([]int{2}, f.sizes); diff != "" {
			t.Errorf("groups (-want +got):\n%s", diff)
		}
	})
}

func TestAMemberDoesNotWaitPastItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &flushes{hold: make(chan struct{})}
		g := newGroups(SinkConfig{}.withDefaults(), f.flush)
		var wg sync.WaitGroup
		wg.Go(func() { _ = g.apply(t.Context(), &work[int]{n: 1}) })
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if err := g.apply(ctx, &work[int]{n: 1}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
		}
		close(f.hold)
		wg.Wait()
	})
}

func TestAnInsertThatHangsIsEnded(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		cancelled bool
		took      time.Duration
	}{
		"after the timeout":               {false, busyLinger + time.Minute},
		"after the grace of a late owner": {true, 2*time.Second + leaderGrace},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				f := &flushes{hold: make(chan struct{})}
				g := newGroups(SinkConfig{}.withDefaults(), f.flush)
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				if test.cancelled {
					time.AfterFunc(2*time.Second, cancel)
				}
				begin := time.Now()
				_ = g.apply(ctx, &work[int]{n: 1})
				if took := time.Since(begin); took != test.took {
					t.Errorf("took %s, want %s", took, test.took)
				}
				if f.ended == nil {
					t.Error("the insert's context did not end")
				}
			})
		})
	}
}
