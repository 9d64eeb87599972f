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
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"trunkline.dev/trunkline/schemas"
)

// IdleLimit is how long a transaction may wait for its hub before Postgres ends it.
// A hub that is frozen, or whose machine is gone without a word, would otherwise keep
// what it has locked from the hub that takes over. It is longer than anything that a
// transaction waits for itself: the log, a blob store.
const IdleLimit = 30 * time.Second

// idleSetting is Postgres's name of that limit. A URL that says it is obeyed.
const idleSetting = "idle_in_transaction_session_timeout"

// Open returns a pool of at most max connections. It does not connect: a
// database that is down at the start is waited for by those who use it.
func Open(ctx context.Context, url string, max int32) (*pgxpool.Pool, error) {
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, fmt.Errorf("reading the Postgres URL: %w", err)
	}
	cfg.MaxConns = max
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

// ErrNewer is the error of a database that a later version of the hub has
// migrated: what this one would write there may be wrong by then.
var ErrNewer = errors.New("the database was migrated by a newer Trunkline")

// Migrate applies the migrations that the database lacks, and refuses a database
// with ones that it does not know. Several hubs may call it at once: an advisory
// lock lets one of them do the work.
func Migrate(ctx context.Context, pool *pgxpool.Pool, log *slog.Logger) error {
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
