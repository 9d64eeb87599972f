package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// Config says which ClickHouse and how it is used.
type Config struct {
	// URL is clickhouse://user:password@host:9000/database (native protocol) or
	// http://… / https://… with the port of the HTTP interface. Without a
	// database it is trunkline.
	URL string
	// MaxConns bounds the connections. Default 16.
	MaxConns int
	// BodyDays is for how many days the bodies and headers of delivery attempts
	// are kept; it is written into the tables when a build of the delivery log is
	// made. Default 30.
	BodyDays int
	// MigratesLater is for a server that may be away: the read models cannot be listed,
	// and so are not written, before Migrate has run.
	MigratesLater bool
	// Logger gets what an operator should know. Default slog.Default().
	Logger *slog.Logger
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if _, err := c.options(); err != nil {
		errs = append(errs, fmt.Errorf("TRUNKLINE_CLICKHOUSE_URL: %w", err))
	}
	if c.MaxConns < 0 {
		errs = append(errs, fmt.Errorf("clickhouse: MaxConns is %d, must be positive", c.MaxConns))
	}
	if c.BodyDays < 0 {
		errs = append(errs, fmt.Errorf("clickhouse: BodyDays is %d, must be positive", c.BodyDays))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() Config {
	if c.MaxConns == 0 {
		c.MaxConns = 16
	}
	if c.BodyDays == 0 {
		c.BodyDays = 30
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	return c
}

const defaultDatabase = "trunkline"

func (c Config) options() (*ch.Options, error) {
	if c.URL == "" {
		return nil, errors.New("not set")
	}
	dsn := c.URL
	if u, err := url.Parse(dsn); err == nil && u.Scheme == "https" && !u.Query().Has("secure") {
		q := u.Query()
		q.Set("secure", "true") // the driver wants it said twice
		u.RawQuery = q.Encode()
		dsn = u.String()
	}
	o, err := ch.ParseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if o.Auth.Database == "" {
		o.Auth.Database = defaultDatabase
	}
	if o.Compression == nil && !isLocal(o.Addr) {
		o.Compression = &ch.Compression{Method: ch.CompressionLZ4}
	}
	// A connection keeps its buffers; of a block it then holds the largest column.
	o.MaxCompressionBuffer = 1 << 20
	if o.Settings == nil {
		o.Settings = ch.Settings{}
	}
	for k, v := range sinkSettings {
		o.Settings[k] = v
	}
	o.DialTimeout = 5 * time.Second
	return o, nil
}

// isLocal reports whether all of it stays on this machine, where compressing
// costs more than it saves.
func isLocal(addrs []string) bool {
	for _, addr := range addrs {
		host, _, err := net.SplitHostPort(addr)
		if err != nil {
			return false
		}
		if ip, err := netip.ParseAddr(host); host != "localhost" && (err != nil || !ip.IsLoopback()) {
			return false
		}
	}
	return true
}

// sinkSettings are sent with every query, because profiles of a server may say
// otherwise and exactness rests on them.
var sinkSettings = map[string]any{
	// An insert has happened when it is acknowledged.
	"async_insert": 0,
	// A remembered block whose rows were lost would be swallowed for ever.
	"insert_deduplicate": 0,
	// The gate must be able to refuse.
	"materialized_views_ignore_errors": 0,
	// A rebuild may meet rows of many months in one block.
	"max_partitions_per_insert_block": 0,
}

// Store is a ClickHouse database. It is safe for concurrent use.
type Store struct {
	cfg  Config
	conn driver.Conn
	// bulk has the connections for large inserts, whose buffers are as large as
	// what they carry and are kept: few of them, taken in turns.
	bulk  driver.Conn
	turns chan struct{}
	// slots are the connections of conn. They are waited for here: the driver's pool
	// gives up after its DialTimeout, and the sessions of hundreds of partitions ask
	// at the same time when they were claimed together.
	slots    chan struct{}
	database string
	bare     *ch.Options
	migrated atomic.Bool

	mu sync.Mutex
	// restarted is the last server that sayRestarted spoke of.
	restarted time.Time
	// probing is held by who asks for startedWithin; start is what was learned at
	// startedAt.
	probing          chan struct{}
	start, startedAt time.Time
}

// bulkConns is how many large inserts are under way at a time: the tables of
// one group, and one of another's.
const bulkConns = 3

// Open makes a store. It does not connect: a ClickHouse that is down at the
// start is waited for by those who use it.
func Open(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg = cfg.withDefaults()
	o, err := cfg.options()
	if err != nil {
		return nil, err
	}
	o.MaxOpenConns, o.MaxIdleConns = cfg.MaxConns, cfg.MaxConns
	o.ConnMaxLifetime = time.Hour
	conn, err := ch.Open(o)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse: %w", err)
	}
	large := *o
	large.MaxOpenConns, large.MaxIdleConns = bulkConns, bulkConns
	bulk, err := ch.Open(&large)
	if err != nil {
		return nil, fmt.Errorf("opening ClickHouse: %w", err)
	}
	bare := *o
	bare.Auth.Database = "default" // the database of the hub may not exist yet
	bare.MaxOpenConns, bare.MaxIdleConns = 1, 1
	s := &Store{cfg: cfg, conn: conn, bulk: bulk, turns: make(chan struct{}, bulkConns), slots: make(chan struct{}, cfg.MaxConns), probing: make(chan struct{}, 1), database: o.Auth.Database, bare: &bare}
	s.migrated.Store(!cfg.MigratesLater)
	return s, nil
}

// Ping reports whether ClickHouse answers.
func (s *Store) Ping(ctx context.Context) error {
	if err := s.inTurn(ctx, func(c driver.Conn) error { return c.Ping(ctx) }); err != nil {
		return fmt.Errorf("pinging ClickHouse: %w", err)
	}
	return nil
}

// Close closes the connections. An embedded engine stops at once only after it.
func (s *Store) Close() error { return errors.Join(s.conn.Close(), s.bulk.Close()) }

// inBulk runs f with the connections for large inserts when it is its turn.
func (s *Store) inBulk(ctx context.Context, f func(driver.Conn) error) error {
	return inTurn(ctx, s.turns, s.bulk, f)
}

// inTurn runs f, which uses one connection at a time, when one is free.
func (s *Store) inTurn(ctx context.Context, f func(driver.Conn) error) error {
	return inTurn(ctx, s.slots, s.conn, f)
}

func inTurn(ctx context.Context, turns chan struct{}, conn driver.Conn, f func(driver.Conn) error) error {
	select {
	case turns <- struct{}{}:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { <-turns }()
	return f(conn)
}

// exec runs a statement to its end.
func (s *Store) exec(ctx context.Context, sql string, args ...any) error {
	return s.inTurn(ctx, func(c driver.Conn) error { return c.Exec(ctx, sql, args...) })
}

// row reads the one row of a query.
func (s *Store) row(ctx context.Context, sql string, args []any, into ...any) error {
	return s.inTurn(ctx, func(c driver.Conn) error { return c.QueryRow(ctx, sql, args...).Scan(into...) })
}

// query calls scan for each row; scan must not ask for more.
func (s *Store) query(ctx context.Context, sql string, args []any, scan func(driver.Rows) error) error {
	return s.inTurn(ctx, func(c driver.Conn) error {
		rows, err := c.Query(ctx, sql, args...)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// code is ClickHouse's error code, 0 for an error that is not an answer of it.
func code(err error) int32 {
	if e, ok := errors.AsType[*ch.Exception](err); ok {
		return e.Code
	}
	return 0
}

// The error codes that are acted on (ErrorCodes.cpp).
const (
	codeThrowIf      = 395 // FUNCTION_THROW_IF_VALUE_IS_NON_ZERO: the gate
	codeAccessDenied = 497
)
