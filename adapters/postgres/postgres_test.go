package postgres_test

import (
	"testing"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
)

func TestMain(m *testing.M) { testenv.Main(m) }

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
