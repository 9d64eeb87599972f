package readmodel_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/projections"
)

// indexesOf are the indexes of a table as SQL, without the table's name.
func (r *rig) indexesOf(table string) []string {
	r.t.Helper()
	rows, err := r.pool.Query(r.t.Context(), "SELECT indexdef FROM pg_indexes WHERE tablename = $1 ORDER BY indexname", table)
	if err != nil {
		r.t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		r.t.Fatal(err)
	}
	for i, def := range all {
		all[i] = strings.ReplaceAll(def, table, "…")
	}
	return all
}

// A build leaves the readers' indexes to the end; then it has all of them, as a
// generation that was live from the start.
func TestACompletedBuildHasEveryIndex(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, m := range projections.Models() {
		g := r.models[m.Name]
		built, err := g.Create(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		tables := []string{m.Table}
		if m.History != "" {
			tables = append(tables, m.History)
		}
		if m.Extra != nil {
			tables = append(tables, m.Extra.Table)
		}
		for range 2 { // again changes nothing
			for _, number := range []int{1, built.Number} {
				if err := g.Complete(t.Context(), number); err != nil {
					t.Fatal(err)
				}
			}
			for _, table := range tables {
				want, got := r.indexesOf(table+"_g1"), r.indexesOf(fmt.Sprintf("%s_g%d", table, built.Number))
				if len(want) == 0 {
					t.Errorf("%s has no indexes", table)
				}
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("indexes of %s:\n%s", table, d)
				}
			}
		}
	}
}

// A build asks for repeats of an entity that has more events than it remembers,
// by an index that it makes then.
func TestABuildFindsOldRepeats(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.run("calls", live())
	for i := range 100 {
		r.append(fact(t, "org", "c", fmt.Sprint(i), i, call.NoteAdded{Note: fmt.Sprint(i)}))
	}
	r.append(fact(t, "org", "c", "3", 3, call.NoteAdded{Note: "3"}))
	r.catchUp("calls", 1)
	g, err := r.models["calls"].Create(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.run("calls", g)
	r.catchUp("calls", g.Number)
	c, err := r.models["calls"].Compare(t.Context(), 1, g.Number)
	if err != nil || !c.Equal() {
		t.Errorf("compared: %+v, %v", c, err)
	}
	var rows int
	if err := r.pool.QueryRow(t.Context(), "SELECT count(*) FROM call_history_g2").Scan(&rows); err != nil || rows != 100 {
		t.Errorf("%d rows of history (%v), want 100", rows, err)
	}
}

// An entity that a foreign producer has put into two partitions is new to both
// projectors: the row of the second takes the place of the first's.
func TestAFreshRowMayBeThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ref := projections.Ref{Model: "calls", Generation: 1}
	for partition, version := range []int64{1, 2} {
		tenure, err := r.store.Claim(t.Context(), ref, "trunkline.calls.v1", partition)
		if err != nil {
			t.Fatal(err)
		}
		b := projections.Batch{Topic: "trunkline.calls.v1", Partition: partition, Tenure: tenure, Next: 1}
		for i := range 500 {
			at := projections.Mark{Partition: partition, RecordedAt: t0}
			b.Entities = append(b.Entities, projections.EntityRow{
				Key: projections.Key{Org: "org", ID: fmt.Sprint(i)}, Version: version, State: []byte("{}"), First: at, Last: at, Fresh: true,
				Values: []any{"", "", "", "", "", &t0, ""},
			})
		}
		if err := r.store.Commit(t.Context(), ref, b); err != nil {
			t.Fatal(err)
		}
	}
	var rows, versions int64
	if err := r.pool.QueryRow(t.Context(), "SELECT count(*), sum(version) FROM calls_g1").Scan(&rows, &versions); err != nil || rows != 500 || versions != 1000 {
		t.Errorf("%d rows, versions %d (%v); want 500 of version 2", rows, versions, err)
	}
}

// Another generation's index may take as long as it takes: who looks for repeats in
// one that has its own does not wait.
func TestRepeatsDoNotWaitForAnIndexThatIsThere(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	asks := []projections.Ask{{Key: projections.Key{Org: "org", ID: "agent"}, EventID: "e1", Since: t0}}
	answered := make(chan error, 1)
	err := pgx.BeginFunc(ctx, r.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock(hashtextextended('trunkline generations agents', 0))"); err != nil {
			return err
		}
		go func() {
			_, err := r.store.Repeats(ctx, projections.Ref{Model: "agents", Generation: 1}, asks)
			answered <- err
		}()
		var done, waiting bool
		r.until(func() bool {
			select {
			case err := <-answered:
				answered <- err
				done = true
			default:
			}
			if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database()))").Scan(&waiting); err != nil {
				t.Error(err)
				return true
			}
			return done || waiting
		})
		if waiting {
			t.Error("the question waits for the index of another generation")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Fatal(err)
	}
}
