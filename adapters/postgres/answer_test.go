package postgres_test

import (
	"context"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/postgres"
	"trunkline.dev/trunkline/adapters/postgres/internal/answer"
)

// A server that answers nothing is not waited for for ever, whatever it was asked,
// by a caller who would.
func TestAStatementThatIsNotAnsweredIsGivenUp(t *testing.T) {
	t.Parallel()
	pool, err := postgres.OpenWithin(t.Context(), testenv.Postgres(t), 4, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	const frozen = "SELECT pg_sleep(3600)"
	for name, ask := range map[string]func(ctx context.Context) error{
		"a statement": func(ctx context.Context) error {
			_, err := pool.Exec(ctx, frozen)
			return err
		},
		"a query": func(ctx context.Context) error {
			var nothing string
			return pool.QueryRow(ctx, frozen).Scan(&nothing)
		},
		"a batch": func(ctx context.Context) error {
			var b pgx.Batch
			b.Queue("SELECT 1")
			b.Queue(frozen)
			return pool.SendBatch(ctx, &b).Close()
		},
		"a commit": func(ctx context.Context) error {
			return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
				_, err := tx.Exec(ctx, `
CREATE TEMPORARY TABLE t (a int);
CREATE FUNCTION pg_temp.stand_still() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(3600); RETURN NULL; END $$;
CREATE CONSTRAINT TRIGGER stand_still AFTER INSERT ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION pg_temp.stand_still();
INSERT INTO t VALUES (1)`)
				return err
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if err := ask(t.Context()); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("it was given up with %v", err)
			}
			if _, err := pool.Exec(t.Context(), "SELECT 1"); err != nil {
				t.Errorf("the next one: %v", err)
			}
		})
	}
}

func TestAStatementThatMayTakeLongIsWaitedFor(t *testing.T) {
	t.Parallel()
	pool, err := postgres.OpenWithin(t.Context(), testenv.Postgres(t), 1, 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	if _, err := pool.Exec(answer.Long(t.Context()), "SELECT pg_sleep(3)"); err != nil {
		t.Error(err)
	}
}

// A machine that is gone without a word acknowledges nothing, and the kernel ends the
// connection; a listener that takes connections and says nothing ends the attempt.
func TestAConnectionNoticesThatItsServerIsGone(t *testing.T) {
	t.Parallel()
	pool, err := postgres.Open(t.Context(), testenv.Postgres(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	err = pool.AcquireFunc(t.Context(), func(c *pgxpool.Conn) error {
		raw, err := c.Conn().PgConn().Conn().(*net.TCPConn).SyscallConn()
		if err != nil {
			return err
		}
		return raw.Control(func(fd uintptr) {
			if ms, err := unix.GetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT); err != nil || ms != 60_000 {
				t.Errorf("what is not acknowledged is waited for %d ms, %v", ms, err)
			}
			if on, err := unix.GetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_KEEPALIVE); err != nil || on != 1 {
				t.Errorf("keepalive %d, %v", on, err)
			}
		})
	})
	if err != nil {
		t.Fatal(err)
	}

	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { silent.Close() })
	waiting, err := postgres.Open(t.Context(), "postgres://u:p@"+silent.Addr().String()+"/d?sslmode=disable&connect_timeout=1", 1)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(waiting.Close)
	var refused *pgconn.ConnectError
	if err := waiting.Ping(t.Context()); !errors.As(err, &refused) {
		t.Errorf("connecting ended with %v", err)
	}
}
