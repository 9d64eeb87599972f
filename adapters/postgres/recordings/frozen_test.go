package recordings_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/call"
)

// freezer stops the process whose pool it traces once a recording is locked, until
// thaw is closed.
type freezer struct{ frozen, thaw chan struct{} }

type lockingKey struct{}

func (*freezer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, q pgx.TraceQueryStartData) context.Context {
	return context.WithValue(ctx, lockingKey{}, strings.Contains(q.SQL, "FOR UPDATE"))
}

func (f *freezer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, _ pgx.TraceQueryEndData) {
	if locking, _ := ctx.Value(lockingKey{}).(bool); locking {
		close(f.frozen)
		<-f.thaw
	}
}

// traced makes connections of the hubs made from now on that say so to a tracer, and
// that Postgres ends when they idle in a transaction.
func (r *rig) traced(tracer pgx.QueryTracer) {
	r.t.Helper()
	cfg := r.pool.Config()
	cfg.ConnConfig.Tracer = tracer
	cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, "SET idle_in_transaction_session_timeout = 50")
		return err
	}
	pool, err := pgxpool.NewWithConfig(r.t.Context(), cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(pool.Close)
	r.pool = pool
}

// A hub that is frozen just before it deletes a recording finds that it may be held.
func TestAHubThatWasFrozenDeletesNothingThatIsHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.keptShortly("c1")
	h := r.hub("a", nil)
	r.start(h)
	id := r.keep(h, "c1")
	if err := h.Sweep(t.Context()); err != nil { // finds its list
		t.Fatal(err)
	}
	f := &freezer{frozen: make(chan struct{}), thaw: make(chan struct{})}
	r.traced(f)
	zombie := r.hub("b", nil)
	zombie.rows.LockedMost(time.Nanosecond)
	r.set(31 * 24 * 3600)
	swept := make(chan error, 1)
	go func() { swept <- zombie.Sweep(t.Context()) }()
	<-f.frozen
	if _, err := h.Hold(t.Context(), r.caller("k"), id, "a lawsuit"); err != nil {
		t.Errorf("holding it: %v", err)
	}
	close(f.thaw)
	if err := <-swept; err == nil {
		t.Error("the sweep went on")
	}
	if rec := r.known(h, id); rec.State != call.CopyStored || !rec.Held || len(r.files()) != 1 {
		t.Errorf("it is %s, held %v, and there are %q", rec.State, rec.Held, r.files())
	}
}
