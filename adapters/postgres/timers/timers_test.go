package timers

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// rig is a log of one partition, an applier that reads it when told to, and a
// time that stands still until it is moved.
type rig struct {
	*testing.T
	pool *pgxpool.Pool
	log  *memory.Log
	mu   sync.Mutex
	now  time.Time
	s    projections.Session
	sent int
}

func newRig(t *testing.T) *rig {
	pool, err := postgres.Open(t.Context(), testenv.Postgres(t), 6)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	r := &rig{T: t, pool: pool, log: memory.NewLog(1), now: event.Time(time.Now())}
	r.claim()
	return r
}

func (r *rig) claim() {
	r.Helper()
	s, err := NewApplier(r.pool, projections.Waits{}).Claim(r.Context(), event.Calls, 0)
	if err != nil {
		r.Fatal(err)
	}
	r.s = s
}

func (r *rig) clock() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.now
}

func (r *rig) pass(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.now = r.now.Add(d)
}

// happen appends a fact about a call.
func (r *rig) happen(id string, p event.Payload) {
	r.Helper()
	r.sent++
	now := r.clock()
	e, err := event.New(event.Envelope{ID: fmt.Sprintf("e%d", r.sent), Source: "api", Subject: id, Org: "org", OccurredAt: now, RecordedAt: now}, p)
	if err != nil {
		r.Fatal(err)
	}
	if _, err := r.log.Append(r.Context(), e); err != nil {
		r.Fatal(err)
	}
}

// apply reads what the applier has not read yet.
func (r *rig) apply() {
	r.Helper()
	if err := r.s.Apply(r.Context(), r.log.Events(event.Calls)[r.s.Next():]); err != nil {
		r.Fatal(err)
	}
}

func (r *rig) newClock() *Clock {
	r.Helper()
	c, err := NewClock(ClockConfig{Pool: r.pool, Log: r.log, Ends: r.log, Now: r.clock})
	if err != nil {
		r.Fatal(err)
	}
	return c
}

// tick lets a clock work until it has nothing to do now.
func (r *rig) tick(c *Clock) {
	r.Helper()
	for range 20 {
		wait, err := c.tick(r.Context())
		if err != nil {
			r.Fatal(err)
		}
		if wait > 0 {
			return
		}
	}
	r.Fatal("the clock never rests")
}

type settled struct {
	Call, WaitedFor string
	At              time.Time
}

func (r *rig) settled() []settled {
	var all []settled
	for _, e := range r.log.Events(event.Calls) {
		if e.Type != (call.Settled{}).EventType() {
			continue
		}
		var f struct {
			WaitedFor string `json:"waited_for"`
		}
		if err := json.Unmarshal(e.Data, &f); err != nil {
			r.Fatal(err)
		}
		all = append(all, settled{e.Subject, f.WaitedFor, e.OccurredAt})
	}
	return all
}

func TestWaitThatIsOverIsAFactOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	began := r.clock()
	r.happen("x", call.Ended{EndedAt: began})
	r.apply()
	c := r.newClock()
	r.tick(c)
	r.pass(59 * time.Second)
	r.tick(c)
	if got := r.settled(); len(got) != 0 {
		t.Fatalf("too early: %+v", got)
	}
	r.pass(5 * time.Second)
	r.tick(c)
	r.tick(r.newClock())
	want := []settled{{"x", "transcript", began.Add(time.Minute)}}
	if diff := cmp.Diff(want, r.settled()); diff != "" {
		t.Fatal(diff)
	}
	r.apply()
	r.pass(time.Hour)
	r.tick(c)
	want = append(want, settled{"x", "disposition", began.Add(2 * time.Minute)})
	if diff := cmp.Diff(want, r.settled()); diff != "" {
		t.Fatal(diff)
	}
}

func TestWhatIsInTheLogIsTakenIntoAccountFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.happen("x", call.Ended{EndedAt: r.clock()})
	r.apply()
	r.happen("x", call.TranscriptReady{Transcript: "t"})
	r.happen("x", call.Dispositioned{Disposition: "sale"})
	r.pass(time.Hour)
	c := r.newClock()
	r.tick(c) // the applier lags
	if got := r.settled(); len(got) != 0 {
		t.Fatalf("fired although what was waited for is in the log: %+v", got)
	}
	r.apply()
	r.tick(c)
	if got := r.settled(); len(got) != 0 {
		t.Fatalf("fired after it was cancelled: %+v", got)
	}
}

func TestTimersSurviveTheirProcess(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.happen("x", call.Dispositioned{Disposition: "sale"})
	r.apply()
	r.claim()
	r.happen("x", call.Ended{EndedAt: r.clock()})
	r.apply()
	r.claim()
	r.pass(time.Hour)
	r.log.Fail(errors.New("the broker is away"))
	c := r.newClock()
	if _, err := c.tick(t.Context()); err == nil {
		t.Fatal("the log was down and nobody noticed")
	}
	r.log.Fail(nil)
	r.tick(r.newClock())
	if got := r.settled(); len(got) != 0 {
		t.Fatalf("a leased timer was taken: %+v", got)
	}
	r.pass(31 * time.Second)
	r.tick(r.newClock())
	if got := r.settled(); len(got) != 1 || got[0].WaitedFor != "transcript" {
		t.Fatalf("%+v", got)
	}
}

func TestTwoClocksShareTheWork(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	const calls = 1200
	for i := range calls {
		r.happen(fmt.Sprintf("call-%d", i), call.Ended{EndedAt: r.clock()})
	}
	r.apply()
	r.pass(time.Hour)
	var both sync.WaitGroup
	for range 2 {
		c := r.newClock()
		both.Go(func() { r.tick(c) })
	}
	both.Wait()
	// One may have rested while the other held the rest.
	r.apply()
	r.tick(r.newClock())
	seen := make(map[settled]int)
	for _, s := range r.settled() {
		seen[s]++
	}
	for s, n := range seen {
		if n > 1 {
			t.Fatalf("%+v fired %d times", s, n)
		}
	}
	if len(seen) != 2*calls {
		t.Errorf("%d fired, want %d", len(seen), 2*calls)
	}
}

func TestFormerOwnerIsFenced(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	former := r.s
	r.claim()
	r.happen("x", call.Ended{EndedAt: r.clock()})
	if err := former.Apply(t.Context(), r.log.Events(event.Calls)); !errors.Is(err, projections.ErrFenced) {
		t.Errorf("a former owner applied: %v", err)
	}
	r.apply()
}

func TestOldCallsAreForgotten(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.happen("old", call.Dispositioned{Disposition: "sale"})
	r.pass(6 * 24 * time.Hour)
	r.happen("new", call.Dispositioned{Disposition: "sale"})
	r.apply()
	r.pass(2 * 24 * time.Hour)
	if err := r.newClock().clean(t.Context()); err != nil {
		t.Fatal(err)
	}
	var left []string
	if err := r.pool.QueryRow(context.Background(), "SELECT array_agg(call_id) FROM timer_calls").Scan(&left); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"new"}, left); diff != "" {
		t.Error(diff)
	}
}

func TestClockRunsByItself(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.happen("x", call.Ended{EndedAt: r.clock()})
	r.apply()
	r.pass(time.Minute)
	c := r.newClock()
	if err := errors.Join(c.Start(t.Context()), c.Start(t.Context())); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, func() error {
		if n := len(r.settled()); n != 1 {
			return fmt.Errorf("%d fired", n)
		}
		return nil
	})
	if err := errors.Join(c.Stop(t.Context()), c.Stop(t.Context()), r.newClock().Stop(t.Context())); err != nil {
		t.Fatal(err)
	}
}
