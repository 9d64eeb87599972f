package pgtest

import (
	"context"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
)

// OpenAt is Open for a database whose clock stands still until SetClock moves it.
func OpenAt(t testing.TB, conns int32, now time.Time) *pgxpool.Pool {
	t.Helper()
	url := testenv.Postgres(t)
	migrate(t, connect(t, url, 1))
	return ConnectAt(t, url, conns, now)
}

var clocks atomic.Int64

// ConnectAt returns connections to a migrated database that have a clock of their own,
// which stands still: their clock_timestamp() is found before Postgres's.
func ConnectAt(t testing.TB, url string, conns int32, now time.Time) *pgxpool.Pool {
	t.Helper()
	schema := fmt.Sprintf("clock_%d", clocks.Add(1))
	pool := connect(t, url+"&search_path="+schema+",pg_catalog,public", conns)
	for _, sql := range []string{
		"CREATE SCHEMA " + schema,
		"CREATE TABLE " + schema + ".now AS SELECT NULL::timestamptz AS now",
		"CREATE FUNCTION " + schema + ".clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT now FROM " + schema + ".now'",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	SetClock(t, pool, now)
	return pool
}

// SetClock says what time it is for connections of ConnectAt.
func SetClock(t testing.TB, pool *pgxpool.Pool, now time.Time) {
	t.Helper()
	if _, err := pool.Exec(context.WithoutCancel(t.Context()), "UPDATE now SET now = $1", now); err != nil {
		t.Fatal(err)
	}
}

func connect(t testing.TB, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), url, conns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

func migrate(t testing.TB, pool *pgxpool.Pool) {
	t.Helper()
	if err := postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
}
