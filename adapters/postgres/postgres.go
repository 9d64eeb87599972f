// Package postgres opens the hub's Postgres database and brings its schema up
// to date. What is kept there is in the packages below it: readmodel, control,
// deliveries, timers.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/postgres/internal/answer"
	"trunkline.dev/trunkline/schemas"
)

// IdleLimit is how long a transaction may wait for its hub before Postgres ends it.
// A hub that is frozen, or whose machine is gone without a word, would otherwise keep
// what it has locked from the hub that takes over. It is longer than anything that a
// transaction waits for itself: the log, a blob store.
const IdleLimit = 30 * time.Second

// idleSetting is Postgres's name of that limit. A URL that says it is obeyed.
const idleSetting = "idle_in_transaction_session_timeout"

const (
	// connectMost bounds the making of a connection, unless the URL says otherwise.
	connectMost = 15 * time.Second
	// pingMost bounds the look at a connection that lay idle: after a failover all of
	// a pool may be dead, and each is looked at.
	pingMost = 5 * time.Second
	// aliveEvery is the pace at which the kernel looks whether the other machine is
	// there, deadAfter how long it says nothing, or takes nothing, until the
	// connection is given up.
	aliveEvery = 15 * time.Second
	deadAfter  = time.Minute
)

// Open returns a pool of at most max connections. It does not connect: a
// database that is down at the start is waited for by those who use it. No statement
// waits for ever for a server that answers nothing (answer.Most).
func Open(ctx context.Context, url string, max int32) (*pgxpool.Pool, error) {
	return open(ctx, url, max, answer.Most)
}

func open(ctx context.Context, url string, max int32, most time.Duration) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the Postgres URL: %w", err)
	}
	cfg.MaxConns = max
	cfg.PingTimeout = pingMost
	cfg.ConnConfig.Tracer = answer.Limit(most)
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = connectMost
	}
	cfg.ConnConfig.DialFunc = dialer().DialContext
	cfg.ConnConfig.RuntimeParams["application_name"] = "trunkline"
	cfg.ConnConfig.RuntimeParams["timezone"] = "UTC"
	if _, said := cfg.ConnConfig.RuntimeParams[idleSetting]; !said {
		// A statement, because poolers refuse a connection that begins with it.
		cfg.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
			_, err := conn.Exec(ctx, fmt.Sprintf("SET %s = %d", idleSetting, IdleLimit.Milliseconds()))
			return err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("opening the Postgres pool: %w", err)
	}
	return pool, nil
}

// dialer makes connections that end when the other machine is gone without a word.
// It has no timeout: ConnectTimeout bounds it.
func dialer() *net.Dialer {
	return &net.Dialer{
		KeepAliveConfig: net.KeepAliveConfig{Enable: true, Idle: aliveEvery, Interval: aliveEvery, Count: int(deadAfter / aliveEvery)},
		Control: func(network, _ string, c syscall.RawConn) error {
			if network == "unix" {
				return nil
			}
			// What was sent and is not acknowledged is asked after by no keepalive.
			var errno error
			err := c.Control(func(fd uintptr) {
				errno = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadAfter.Milliseconds()))
			})
			return errors.Join(err, errno)
		},
	}
}

// ErrNewer is the error of a database that a later version of the hub has
// migrated: what this one would write there may be wrong by then.
var ErrNewer = errors.New("the database was migrated by a newer Trunkline")

// Migrate applies the migrations that the database lacks, and refuses a database
// with ones that it does not know. Several hubs may call it at once: an advisory
// lock lets one of them do the work.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
	ctx = answer.Long(ctx)
	db := stdlib.OpenDBFromPool(pool)
	defer func() { _ = db.Close() }()
	locker, err := lock.NewPostgresSessionLocker()
	if err != nil {
		return fmt.Errorf("making the migration lock: %w", err)
	}
	files, err := fs.Sub(schemas.Postgres, "postgres")
	if err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("reading the Postgres migrations: %w", err)
	}
	if err := checkKnown(ctx, p); err != nil {
		return err
	}
	done, err := p.Up(ctx)
	if err != nil {
		return fmt.Errorf("migrating Postgres: %w", err)
	}
	for _, m := range done {
		log.InfoContext(ctx, "postgres migrated", slog.String("migration", m.Source.Path))
	}
	return nil
}

// checkKnown refuses what goose goes past: migrations of the database that this
// program does not have.
func checkKnown(ctx context.Context, p *goose.Provider) error {
	current, err := p.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("reading the version of the Postgres database: %w", err)
	}
	sources := p.ListSources()
	if newest := sources[len(sources)-1].Version; current > newest {
		return fmt.Errorf("migrating Postgres: %w (it has migration %d, this program ends at %d): run that one, or put back a backup from before", ErrNewer, current, newest)
	}
	return nil
}
