package pgtest

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
)

// OpenAt is Open for a database whose clock stands still until SetClock moves it: its
// own clock_timestamp() is found before Postgres's.
func OpenAt(t testing.TB, conns int32, now time.Time) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), testenv.Postgres(t)+"&search_path=public,pg_catalog", conns)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	migrate(t, pool)
	for _, sql := range []string{
		"CREATE TABLE test_clock (now timestamptz)",
		"INSERT INTO test_clock VALUES (NULL)",
		"CREATE FUNCTION clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS 'SELECT now FROM public.test_clock'",
	} {
		if _, err := pool.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	SetClock(t, pool, now)
	return pool
}

// SetClock says what time it is in a database of OpenAt.
func SetClock(t testing.TB, pool *pgxpool.Pool, now time.Time) {
	t.Helper()
	if _, err := pool.Exec(context.WithoutCancel(t.Context()), "UPDATE test_clock SET now = $1", now); err != nil {
		t.Fatal(err)
	}
}
