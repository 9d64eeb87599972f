package clickhouse

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// The power goes: of what was inserted within the last minutes some tables have
// lost all, and the checkpoints are there. Nobody is told, but the server is
// another one.
func TestWhatALostPowerTookIsReadAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(23).day(60).deliver(event.Calls)
	engine := testenv.OwnClickHouse(t)
	r := newRigOn(t, w, engine.Database().URL())
	clock := &clock{}
	cfg := SinkConfig{Every: time.Millisecond, Now: clock.now}
	var err error
	r.analytics, err = NewAnalytics(r.store, cfg, w, w)
	must(t, err)
	r.log, err = NewDeliveryLog(r.store, cfg)
	must(t, err)
	for _, test := range []struct {
		sink   *Sink
		topic  event.Topic
		tables []string
	}{
		{r.analytics, event.Calls, []string{"events_g1", "calls_g1"}},
		{r.log, event.Deliveries, []string{"delivery_attempts_g1", "delivery_outcomes_g1"}},
	} {
		must(t, r.store.exec(t.Context(), "SYSTEM STOP MERGES"))
		testenv.Eventually(t, func() error {
			// Servers are told apart by when they began, to the second.
			if up := r.number(t, "SELECT uptime()"); up < 3 {
				return fmt.Errorf("up for %d s", up)
			}
			return nil
		})
		part := w.log[test.topic][0]
		a, b := len(part)/3, 2*len(part)/3
		claim := func() projections.Session {
			t.Helper()
			s, err := test.sink.Applier(1).Claim(t.Context(), test.topic, 0)
			must(t, err)
			return s
		}
		session := claim()
		clock.pass(time.Minute)
		must(t, session.Apply(t.Context(), part[:a]))
		clock.pass(DefaultSettle)
		before := r.parts(t, test.tables)
		must(t, session.Apply(t.Context(), part[a:b]))
		if same := claim().Next(); same != part[b-1].Position.Offset+1 {
			t.Errorf("%s: on the same server a claim goes on from %d", test.sink.model, same)
		}
		session, quiet := claim(), claim()
		lost := 0
		for _, p := range r.parts(t, test.tables) {
			if !slices.Contains(before, p) {
				must(t, r.store.exec(t.Context(), "ALTER TABLE "+p.table+" DROP PART '"+p.name+"'"))
				lost++
			}
		}
		if lost < len(test.tables) {
			t.Fatalf("%s: only %d parts are lost", test.sink.model, lost)
		}
		engine.Kill(t)
		must(t, awaitEngine(t.Context(), r.store))
		reached := func(when string, want int64) {
			t.Helper()
			have, err := test.sink.Checkpoints(t.Context(), 1)
			must(t, err)
			if got := have[test.topic][0]; got != want {
				t.Errorf("%s: %s the checkpoint is %d, want %d", test.sink.model, when, got, want)
			}
		}
		reached("on another server", part[a-1].Position.Offset+1)
		testenv.Eventually(t, func() error {
			if err := quiet.Confirm(t.Context()); !errors.Is(err, errRestarted) {
				return fmt.Errorf("%s: confirming on another server: %w, want %w", test.sink.model, err, errRestarted)
			}
			return nil
		})
		if err := session.Apply(t.Context(), part[b:]); err == nil {
			t.Errorf("%s: a session goes on as if nothing were lost", test.sink.model)
		}
		session = claim()
		if next := session.Next(); next != part[a-1].Position.Offset+1 {
			t.Errorf("%s: after a restart a claim goes on from %d, want %d", test.sink.model, next, part[a-1].Position.Offset+1)
		}
		if last := session.Last(); last.Offset != part[b-1].Position.Offset || !last.RecordedAt.Equal(part[b-1].RecordedAt) {
			t.Errorf("%s: after a restart a claim tells %+v, want what was written last, %s", test.sink.model, last, part[b-1].Position)
		}
		must(t, replay(t.Context(), test.sink, 1, w, 50))
		wantDigest(t, test.sink, 1, fresh(t, test.sink, w))
		end := part[len(part)-1].Position.Offset + 1
		reached("in the end", end)
		if next := claim().Next(); next != end {
			t.Errorf("%s: in the end a claim goes on from %d", test.sink.model, next)
		}
	}
}

// What was merged is kept until the result is on the disk.
func TestTheEngineKeepsWhatWasMerged(t *testing.T) {
	t.Parallel()
	r := newRig(t, newWorld(1))
	const sql = "SELECT toUInt32(value) FROM system.merge_tree_settings WHERE name = 'old_parts_lifetime'"
	if kept := time.Duration(r.number(t, sql)) * time.Second; kept < DefaultSettle {
		t.Errorf("what was merged is kept for %s, and rows are given %s to reach the disk", kept, DefaultSettle)
	}
}

type partOfTable struct{ table, name string }

// parts are the present parts of tables.
func (r *rig) parts(t *testing.T, tables []string) []partOfTable {
	t.Helper()
	const sql = "SELECT table, name FROM system.parts WHERE active AND database = ? AND has(?, table)"
	var all []partOfTable
	must(t, r.store.query(t.Context(), sql, []any{r.store.database, tables}, func(rows driver.Rows) error {
		var p partOfTable
		if err := rows.Scan(&p.table, &p.name); err != nil {
			return err
		}
		all = append(all, p)
		return nil
	}))
	return all
}

// clock stands still until it is told that time passes.
type clock struct{ passed atomic.Int64 }

func (c *clock) now() time.Time       { return time.Unix(1_800_000_000, c.passed.Load()) }
func (c *clock) pass(d time.Duration) { c.passed.Add(int64(d)) }

// What has been there for long enough is on the disk; a busy partition does not
// remember each of its batches.
func TestSettling(t *testing.T) {
	t.Parallel()
	c := &clock{}
	s := settling{after: time.Minute, settled: 3}
	most := 0
	for n := range int64(600) { // one a second
		s.reached(c.now(), 3+n)
		most = max(most, len(s.marks))
		got := s.at(c.now())
		if late := 3 + n - got; got < 3 || late < 60 && got != 3 || n > 70 && late > 66 {
			t.Fatalf("after %d s %d are settled of %d", n, got, 3+n)
		}
		c.pass(time.Second)
	}
	if most > settlingMarks+1 {
		t.Errorf("%d marks", most)
	}
}

func TestOffsets(t *testing.T) {
	t.Parallel()
	var a, b []span
	for _, o := range []int64{3, 4, 5, 9} {
		a = extend(a, o)
	}
	for _, o := range []int64{7, 8} {
		b = extend(b, o)
	}
	have := offsets{a, nil, b}
	var found []int64
	for o := range int64(12) {
		if have.has(o) {
			found = append(found, o)
		}
	}
	if want := []int64{3, 4, 5, 7, 8, 9}; !slices.Equal(found, want) {
		t.Errorf("has %v, want %v", found, want)
	}
	if len(a) != 2 || offsets(nil).has(0) {
		t.Errorf("%d spans of two", len(a))
	}
}
