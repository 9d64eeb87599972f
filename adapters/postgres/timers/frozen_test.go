package timers_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/call"
)

// freezer stops a process once it has locked what is due, and meanwhile does something.
type freezer func()

type lockingKey struct{}

func (freezer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, lockingKey{}, strings.Contains(q.SQL, "SKIP LOCKED"))
}

func (f freezer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if locking, _ := ctx.Value(lockingKey{}).(bool); locking {
		f()
	}
}

// A hub is frozen before it settles a call; Postgres ends its transaction, and what was
// waited for comes to the hub that has the partition.
func TestAHubThatWasFrozenSettlesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	session := r.claim(r.service(nil, nil))
	r.append(end(t, "c1", 0))
	r.drain(session, 10, nothing)
	r.clock(60)
	owners := r.pool
	cfg := owners.Config()
	cfg.ConnConfig.Tracer = freezer(func() {
		if _, err := owners.Exec(t.Context(), `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND state = 'idle in transaction'`); err != nil {
			t.Error(err)
		}
		r.append(fact(t, "c1", "x", 60, call.TranscriptReady{Transcript: "hi"}))
		r.drain(session, 10, nothing)
	})
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	r.pool = pool
	zombie := r.service(nil, nil)
	zombie.LockedMost(time.Nanosecond)
	if _, err := zombie.Fire(t.Context()); err == nil {
		t.Error("it settled")
	}
	if ids := r.settled(); len(ids) != 0 {
		t.Errorf("it said %q", ids)
	}
}
