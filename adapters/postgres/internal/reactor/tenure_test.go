package reactor_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/event"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// An owner that is frozen while it writes does not keep the partition from the next.
func TestAFrozenOwnerIsTakenOverFrom(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), testenv.Postgres(t)+"&idle_in_transaction_session_timeout=50ms", 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	frozen, err := reactor.Claim(t.Context(), pool, "test", "a", event.Calls, 0)
	if err != nil {
		t.Fatal(err)
	}
	err = frozen.MoveTo(t.Context(), 1, time.Time{}, nil, func(ctx context.Context, tx pgx.Tx) error {
		next, err := reactor.Claim(t.Context(), pool, "test", "b", event.Calls, 0)
		if err != nil {
			return err
		}
		if next.Next() != 0 {
			t.Errorf("it goes on from %d", next.Next())
		}
		_, err = tx.Exec(ctx, "SELECT 1")
		return err
	})
	if err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the former owner wrote: %v", err)
	}
}
