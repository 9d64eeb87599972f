package reactor_test

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// open returns a migrated database.
func open(t *testing.T, options string) *pgxpool.Pool {
	t.Helper()
	pool, err := postgres.Open(t.Context(), testenv.Postgres(t)+options, 4)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if err := postgres.Migrate(t.Context(), pool, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return pool
}

// An owner that is frozen while it writes does not keep the partition from the next.
func TestAFrozenOwnerIsTakenOverFrom(t *testing.T) {
	t.Parallel()
	pool := open(t, "&idle_in_transaction_session_timeout=50ms")
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

// The log may be another one, and what it has before the checkpoint tells.
func TestAClaimTellsTheLastRecord(t *testing.T) {
	t.Parallel()
	pool := open(t, "")
	claim := func(what string, want projections.Mark) *reactor.Tenure {
		t.Helper()
		tenure, err := reactor.Claim(t.Context(), pool, "test", "a", event.Calls, 3)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, tenure.Last()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
		return tenure
	}
	move := func(tenure *reactor.Tenure, next int64, at time.Time) {
		t.Helper()
		if err := tenure.MoveTo(t.Context(), next, at, nil, func(context.Context, pgx.Tx) error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	at := time.Date(2026, 11, 29, 12, 0, 0, 123456000, time.UTC)
	move(claim("at first", projections.Mark{Partition: 3, Offset: -1}), 7, at)
	tenure := claim("after a record", projections.Mark{Partition: 3, Offset: 6, RecordedAt: at})
	move(tenure, 7, at.Add(time.Hour)) // rows only
	if err := tenure.Confirm(t.Context()); err != nil {
		t.Fatal(err)
	}
	move(claim("while it stays", projections.Mark{Partition: 3, Offset: 6, RecordedAt: at}), 20, time.Time{})
	claim("after what was passed over", projections.Mark{Partition: 3, Offset: 19})
}
