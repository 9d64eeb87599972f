package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// both runs a test for each sink, with a world that gives it something to do.
func both(t *testing.T, test func(t *testing.T, r *rig, s *Sink, w *world)) {
	t.Helper()
	for _, model := range []string{projections.AnalyticsName, projections.DeliveryLogName} {
		t.Run(model, func(t *testing.T) {
			t.Parallel()
			w := newWorld(7).day(60)
			if model == projections.DeliveryLogName {
				w.deliver(event.Calls)
			}
			r := newRig(t, w)
			test(t, r, r.sink(model), w)
		})
	}
}

func (r *rig) sink(model string) *Sink {
	if model == projections.AnalyticsName {
		return r.analytics
	}
	return r.log
}

// gated are the append-only tables of a generation.
func (s *Sink) gated(generation int) []string {
	var list []string
	for _, t := range s.tables {
		if t.gated {
			list = append(list, t.name+"_"+suffix(generation))
		}
	}
	return list
}

func TestRepeatsWithOtherCutsChangeNothing(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		want := fresh(t, s, w)
		rng := rand.New(rand.NewPCG(3, 3))
		for range 4 {
			// A part of the log, in cuts of some size.
			for _, topic := range s.Topics() {
				for p, part := range w.log[topic] {
					if len(part) > 0 {
						must(t, tenure(t.Context(), s, 1, topic, p, part[:rng.IntN(len(part))], 1+rng.IntN(60)))
					}
				}
			}
			// A crash that forgot all checkpoints, and of the rows a third: what
			// remains of inserts that nobody saw succeed.
			must(t, r.store.exec(t.Context(), "ALTER TABLE sink_checkpoints DELETE WHERE generation = 1 SETTINGS mutations_sync = 2"))
			for _, table := range s.gated(1) {
				must(t, r.store.exec(t.Context(), fmt.Sprintf(
					"ALTER TABLE %s DELETE WHERE cityHash64(`offset`, %d) %% 3 = 0 SETTINGS mutations_sync = 2", table, rng.IntN(1000))))
			}
		}
		must(t, replay(t.Context(), s, 1, w, 33))
		wantDigest(t, s, 1, want)
		wantHonestRollups(t, r)
	})
}

// wantHonestRollups compares each rollup, read through its projection, with
// the same view read from the rows, and its sum with the count of the rows.
func wantHonestRollups(t *testing.T, r *rig) {
	t.Helper()
	for table, views := range map[string][]string{
		"events":            {"events_per_minute", "events_per_hour", "events_per_day"},
		"delivery_attempts": {"delivery_attempts_per_minute", "delivery_attempts_per_hour", "delivery_attempts_per_day"},
		"calls":             {"calls_per_hour", "calls_per_day"},
	} {
		rows := r.number(t, "SELECT count() FROM "+table)
		if table == "calls" {
			rows = r.number(t, "SELECT count() FROM calls WHERE isNotNull(started_at)")
		}
		for _, v := range views {
			if n := r.number(t, "SELECT sum(n) FROM "+v); n != rows {
				t.Errorf("%s counts %d, %s has %d rows", v, n, table, rows)
			}
			const hash = "SELECT reinterpretAsInt64(sum(sipHash64(tuple(*)))) FROM %s SETTINGS optimize_use_projections = %d"
			var through, plain int64
			must(t, r.store.conn.QueryRow(t.Context(), fmt.Sprintf(hash, v, 1)).Scan(&through))
			must(t, r.store.conn.QueryRow(t.Context(), fmt.Sprintf(hash, v, 0)).Scan(&plain))
			if through != plain {
				t.Errorf("%s differs from what its rows say", v)
			}
		}
	}
}

func TestRollupsAreReadFromProjections(t *testing.T) {
	t.Parallel()
	w := newWorld(4).day(20).deliver(event.Calls)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 1000))
	must(t, replay(t.Context(), r.log, 1, w, 1000))
	for _, v := range []string{
		"events_per_minute", "events_per_hour", "events_per_day",
		"delivery_attempts_per_minute", "delivery_attempts_per_hour", "delivery_attempts_per_day",
	} {
		if n := r.number(t, "SELECT countIf(explain LIKE '%ReadFromMergeTree (per_%') FROM (EXPLAIN SELECT * FROM "+v+" WHERE org_id = 'org-a')"); n == 0 {
			t.Errorf("%s is not read from a projection", v)
		}
	}
}

func TestAFormerOwnerIsFenced(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		topic := s.Topics()[len(s.Topics())-1]
		if s == r.analytics {
			topic = event.Calls
		}
		part := w.log[topic][0]
		a := s.Applier(1)
		former, err := a.Claim(t.Context(), topic, 0)
		must(t, err)
		must(t, former.Apply(t.Context(), part[:10]))
		next, err := a.Claim(t.Context(), topic, 0)
		must(t, err)
		if err := former.Apply(t.Context(), part[10:20]); !errors.Is(err, projections.ErrFenced) {
			t.Errorf("former owner's apply: %v, want %v", err, projections.ErrFenced)
		}
		if err := former.Apply(t.Context(), part[10:20]); err == nil {
			t.Error("a failed session goes on")
		}
		must(t, next.Apply(t.Context(), part[10:]))
		must(t, replay(t.Context(), s, 1, w, 100))
		wantDigest(t, s, 1, fresh(t, s, w))
	})
}

// TestALostCheckpointIsNoticed: a machine that lost its power, or a backup that was
// put back.
func TestALostCheckpointIsNoticed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		topic := event.Calls
		if s != r.analytics {
			topic = s.Topics()[len(s.Topics())-1]
		}
		part := w.log[topic][0]
		session, err := s.Applier(1).Claim(t.Context(), topic, 0)
		must(t, err)
		must(t, session.Confirm(t.Context()))
		must(t, session.Apply(t.Context(), part[:10]))
		must(t, session.Confirm(t.Context()))
		must(t, session.Apply(t.Context(), part[10:20]))
		const forget = "" +
			"ALTER TABLE sink_checkpoints " +
			"DELETE WHERE topic = ? AND `partition` = 0 AND next > ? " +
			"SETTINGS mutations_sync = 2"
		must(t, r.store.conn.Exec(t.Context(), forget, string(topic), part[9].Position.Offset+1))
		if err := session.Confirm(t.Context()); !errors.Is(err, errClosed) {
			t.Errorf("confirming what is lost: %v, want %v", err, errClosed)
		}
		must(t, replay(t.Context(), s, 1, w, 100))
		wantDigest(t, s, 1, fresh(t, s, w))
	})
}

// Two processes are two stores with appliers of their own: nothing but
// ClickHouse stands between them.
func TestOwnersThatRaceStayExact(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		want := fresh(t, s, w)
		other := rigBeside(t, r, w).sink(s.model)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		done := make(chan error, 2)
		for i, side := range []*Sink{s, other} {
			go func() { done <- race(ctx, side, w, uint64(i), cancel) }()
		}
		for range 2 {
			must(t, <-done)
		}
		must(t, replay(t.Context(), s, 1, w, 70))
		wantDigest(t, s, 1, want)
		wantHonestRollups(t, r)
	})
}

// race takes over random partitions again and again, and goes on with sessions
// that were lost to the other side, until one side has seen enough.
func race(ctx context.Context, s *Sink, w *world, seed uint64, enough func()) error {
	rng := rand.New(rand.NewPCG(seed, 9))
	held := make(map[string]projections.Session)
	fenced := 0
	for range 120 {
		topic := s.Topics()[rng.IntN(len(s.Topics()))]
		p := rng.IntN(worldPartitions)
		part := w.log[topic][p]
		key := fmt.Sprint(topic, p)
		session := held[key]
		if session == nil {
			var err error
			if session, err = s.Applier(1).Claim(ctx, topic, p); err != nil {
				return ignoreEnd(ctx, err)
			}
			held[key] = session
		}
		from, _ := slices.BinarySearchFunc(part, session.Next(), func(e event.Recorded, o int64) int {
			return int(e.Position.Offset - o)
		})
		err := session.Apply(ctx, part[from:min(len(part), from+1+rng.IntN(25))])
		if errors.Is(err, projections.ErrFenced) {
			fenced++
		} else if err != nil && ctx.Err() == nil && !ambiguous(err) {
			return err
		}
		if err != nil || rng.IntN(6) == 0 {
			session.Close()
			delete(held, key)
		}
	}
	enough()
	if fenced == 0 {
		return fmt.Errorf("the owners never met: %w", errUnexpected)
	}
	return nil
}

// ambiguous is what an owner sees whose insert the other one has killed.
func ambiguous(err error) bool { return code(err) == 394 || code(err) == 0 }

func ignoreEnd(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// rigBeside is another process on the same database.
func rigBeside(t *testing.T, r *rig, w *world) *rig {
	t.Helper()
	o := *r.store.bare
	return newRigOn(t, w, fmt.Sprintf("clickhouse://%s:%s@%s/%s", o.Auth.Username, o.Auth.Password, o.Addr[0], r.store.database))
}

func TestARebuildEqualsTheLiveTablesAndSwitches(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		view := s.tables[0].name
		must(t, replay(t.Context(), s, 1, w, 40))
		live := digest(t, s, 1)
		second, err := s.Create(t.Context())
		must(t, err)
		if diff := cmp.Diff(projections.Generation{Number: 2, Status: projections.Building}, second); diff != "" {
			t.Errorf("created (-want +got):\n%s", diff)
		}
		must(t, replay(t.Context(), s, 2, w, 1000))
		wantDigest(t, s, 2, live)

		count := "SELECT count() FROM " + view
		before := r.number(t, count)
		must(t, s.Switch(t.Context(), 2, nil))
		if got := r.number(t, count); got != before {
			t.Errorf("%d rows after the switch, %d before", got, before)
		}
		must(t, r.store.exec(t.Context(), "TRUNCATE TABLE "+view+"_g1"))
		if got := r.number(t, count); got != before {
			t.Errorf("%s still reads the former generation", view)
		}
		wantGenerations(t, s, projections.Generation{Number: 1, Status: projections.Retired}, projections.Generation{Number: 2, Status: projections.Live})
		topic := s.Topics()[0]
		if _, err := s.Applier(1).Claim(t.Context(), topic, 0); !errors.Is(err, projections.ErrRetired) {
			t.Errorf("claim of a retired generation: %v, want %v", err, projections.ErrRetired)
		}
		if err := s.Drop(t.Context(), 2); !errors.Is(err, ErrGenerationLive) {
			t.Errorf("dropping the live generation: %v", err)
		}
		must(t, s.Switch(t.Context(), 1, nil))
		if got := r.number(t, count); got != 0 {
			t.Errorf("%d rows after the roll back to an empty table", got)
		}
		must(t, s.Switch(t.Context(), 2, nil))
		must(t, s.Drop(t.Context(), 1))
		wantGenerations(t, s, projections.Generation{Number: 2, Status: projections.Live})
		third, err := s.Create(t.Context())
		must(t, err)
		if third.Number != 3 {
			t.Errorf("next generation is %d, want 3", third.Number)
		}
		if _, err := s.Digest(t.Context(), 1); !errors.Is(err, ErrNoGeneration) {
			t.Errorf("digest of a dropped generation: %v", err)
		}
	})
}

func wantGenerations(t *testing.T, s *Sink, want ...projections.Generation) {
	t.Helper()
	got, err := s.List(t.Context())
	must(t, err)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("generations (-want +got):\n%s", diff)
	}
}

// A switch that dies before it has replaced all views is finished by the next
// start.
func TestAHalfSwitchIsFinishedByTheNextStart(t *testing.T) {
	t.Parallel()
	w := newWorld(5).day(10)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 100))
	_, err := r.analytics.Create(t.Context())
	must(t, err)
	must(t, r.store.record(t.Context(), projections.AnalyticsName,
		generation{Number: 2, Status: projections.Live}, generation{Number: 1, Status: projections.Retired}))
	must(t, r.store.Migrate(t.Context()))
	if n := r.number(t, "SELECT count() FROM events"); n != 0 {
		t.Errorf("events still shows generation 1 with %d rows", n)
	}
}

func TestCheckpointsAreBehindTheLastEvent(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, r *rig, s *Sink, w *world) {
		must(t, replay(t.Context(), s, 1, w, 40))
		want := make(map[event.Topic]map[int]int64)
		for _, topic := range s.Topics() {
			for p, part := range w.log[topic] {
				if len(part) > 0 {
					if want[topic] == nil {
						want[topic] = make(map[int]int64)
					}
					want[topic][p] = part[len(part)-1].Position.Offset + 1
				}
			}
		}
		got, err := r.store.Checkpoints(t.Context(), s.Projection())
		must(t, err)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("checkpoints (-want +got):\n%s", diff)
		}
	})
}
