package postgres_test

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestADatabaseOfANewerHubIsRefused(t *testing.T) {
	t.Parallel()
	pool := pgtest.Open(t, 4)
	log := slog.New(slog.DiscardHandler)
	if err := postgres.Migrate(t.Context(), pool, log); err != nil {
		t.Fatalf("its own database: %v", err)
	}
	if _, err := pool.Exec(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (99999, true)`); err != nil {
		t.Fatal(err)
	}
	err := postgres.Migrate(t.Context(), pool, log)
	if !errors.Is(err, postgres.ErrNewer) {
		t.Fatalf("a database with a migration that this program does not have: %v", err)
	}
	if !strings.Contains(err.Error(), "99999") {
		t.Fatalf("the error does not say which: %v", err)
	}
}
