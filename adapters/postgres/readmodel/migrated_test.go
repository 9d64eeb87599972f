package readmodel_test

import (
	"io/fs"
	"log/slog"
	"testing"

	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/schemas"
)

// A database that an earlier version made goes on: its calls stay, and those that
// something happens to from now on are found by their external ids.
func TestCallsOfAnEarlierVersionGetTheirExternalIDs(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.append(fact(t, "org", "c1", "e1", 1, call.Started{ExternalID: "x-1", Direction: "inbound", StartedAt: t0}))
	runner := r.run("calls", live())
	r.catchUp("calls", 1)
	if err := runner.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	files, err := fs.Sub(schemas.Postgres, "postgres")
	if err != nil {
		t.Fatal(err)
	}
	db := stdlib.OpenDBFromPool(r.pool)
	t.Cleanup(func() { _ = db.Close() })
	migrations, err := goose.NewProvider(goose.DialectPostgres, db, files)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.DownTo(t.Context(), 24); err != nil {
		t.Fatal(err)
	}
	if err := postgres.Migrate(t.Context(), r.pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	r.pool.Reset() // as a new process has it
	r.append(
		fact(t, "org", "c1", "e2", 2, call.Ended{EndedAt: t0}),
		fact(t, "org", "c2", "e3", 3, call.Started{ExternalID: "x-2", Direction: "inbound", StartedAt: t0}),
	)
	r.run("calls", live())
	r.catchUp("calls", 1)
	for external, want := range map[string]string{"x-1": "c1", "x-2": "c2"} {
		var id string
		if err := r.pool.QueryRow(t.Context(), "SELECT id FROM calls WHERE org_id = 'org' AND external_id = $1", external).Scan(&id); err != nil || id != want {
			t.Errorf("%s is %q, %v", external, id, err)
		}
	}
	if c, err := r.reader.Call(t.Context(), "org", "c1"); err != nil || c.Version != 2 || c.Position.Topic != event.Calls {
		t.Errorf("the earlier call is %+v, %v", c, err)
	}
	var indexes int
	if err := r.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_indexes WHERE indexname IN ('calls_g1_org_id_external_id_idx', 'calls_shape_org_id_external_id_idx')").Scan(&indexes); err != nil || indexes != 2 {
		t.Errorf("%d indexes, %v", indexes, err)
	}
}
