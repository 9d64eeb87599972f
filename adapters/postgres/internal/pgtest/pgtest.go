// Package pgtest gives tests a database that has the hub's tables.
package pgtest

import (
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// Open returns up to so many connections to a migrated, empty database of the test's
// own; they are closed when it ends.
func Open(t testing.TB, conns int32) *pgxpool.Pool {
	t.Helper()
	pool := connect(t, testenv.Postgres(t), conns)
	migrate(t, pool)
	return pool
}
