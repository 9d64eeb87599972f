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

// A hub that is frozen in a transaction keeps its locks for a time only.
func TestATransactionThatIdlesIsEnded(t *testing.T) {
	t.Parallel()
	url := testenv.Postgres(t)
	for params, want := range map[string]string{"": "30s", "&idle_in_transaction_session_timeout=7s": "7s"} {
		pool, err := postgres.Open(t.Context(), url+params, 1)
		if err != nil {
			t.Fatal(err)
		}
		defer pool.Close()
		var got string
		if err := pool.QueryRow(t.Context(), "SHOW idle_in_transaction_session_timeout").Scan(&got); err != nil || got != want {
			t.Errorf("with %q it is ended after %s, want %s: %v", params, got, want, err)
		}
	}
}
