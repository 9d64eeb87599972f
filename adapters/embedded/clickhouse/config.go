package clickhouse

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"

	"trunkline.dev/trunkline/adapters/embedded/internal/memory"
)

// The embedded ClickHouse's fixed names.
const (
	Database = "trunkline" // made at the first start
	User     = "trunkline" // the hub's user: everything on Database, nothing beside it
	BIUser   = "bi"        // the analysts' user: reads Database
)

// maxMemoryDefault caps the engine on large machines; on small ones it is a
// quarter of the memory.
const maxMemoryDefault = 2 << 30

// biQueries is how many queries of the analysts run at once, the panels of a dashboard
// or two. More are refused.
const biQueries = 32

// Config says what the engine is and where it listens.
type Config struct {
	// Lib is the path of libchdb.so; FindEngine finds it.
	Lib string
	// DataDir is the hub's data directory. The engine's files are kept in its
	// folder clickhouse, generated passwords beside that in clickhouse.password
	// and clickhouse-bi.password.
	DataDir string
	// HTTPAddr and NativeAddr are host:port with the same host; port 0 picks a
	// free one. Default 127.0.0.1:8123 and 127.0.0.1:9000.
	HTTPAddr, NativeAddr string
	// Password is the hub user's; empty: generated once and kept.
	Password string
	// BIPassword is the analysts'; empty: generated once and kept.
	BIPassword string
	// BIQueryTime is how long a query of the analysts may take, in whole seconds. Default
	// 5 minutes.
	BIQueryTime time.Duration
	// MaxMemory caps the engine's memory in bytes. Default: a quarter of the
	// machine's, at most 2 GiB.
	MaxMemory uint64
	// ExtraGrants are added to the hub user's grants. Test environments give
	// each test a database of its own by it; the hub leaves it empty.
	ExtraGrants []string
	// Patience is how long the engine may give no answer before it is ended and
	// started again. Default 60 s; tests have less.
	Patience time.Duration
	// Logger gets a warning when the engine had to be restarted. Default
	// slog.Default().
	Logger *slog.Logger
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.Lib == "" {
		errs = append(errs, errors.New("clickhouse: Lib is not set"))
	}
	if c.DataDir == "" {
		errs = append(errs, errors.New("clickhouse: DataDir is not set"))
	}
	if c.BIQueryTime < 0 || c.BIQueryTime%time.Second != 0 {
		errs = append(errs, errors.New("clickhouse: BIQueryTime is not in whole seconds"))
	}
	httpHost, _, err := net.SplitHostPort(c.HTTPAddr)
	if err != nil {
		errs = append(errs, fmt.Errorf("TRUNKLINE_CLICKHOUSE_ADDR: %w", err))
	}
	nativeHost, _, err := net.SplitHostPort(c.NativeAddr)
	if err != nil {
		errs = append(errs, fmt.Errorf("TRUNKLINE_CLICKHOUSE_NATIVE_ADDR: %w", err))
	}
	if httpHost != nativeHost {
		errs = append(errs, fmt.Errorf("TRUNKLINE_CLICKHOUSE_ADDR and TRUNKLINE_CLICKHOUSE_NATIVE_ADDR must name the same host, not %q and %q", httpHost, nativeHost))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() (Config, error) {
	if c.HTTPAddr == "" {
		c.HTTPAddr = "127.0.0.1:8123"
	}
	if c.NativeAddr == "" {
		c.NativeAddr = "127.0.0.1:9000"
	}
	if c.MaxMemory == 0 {
		c.MaxMemory = maxMemoryDefault
		if total := memory.Total(); total > 0 {
			c.MaxMemory = min(c.MaxMemory, uint64(total)/4)
		}
	}
	if c.BIQueryTime == 0 {
		c.BIQueryTime = 5 * time.Minute
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	var err error
	// The engine is started in its own directory, so its paths must be absolute.
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return Config{}, fmt.Errorf("clickhouse: DataDir: %w", err)
	}
	if c.Lib, err = filepath.Abs(c.Lib); err != nil {
		return Config{}, fmt.Errorf("clickhouse: Lib: %w", err)
	}
	return c, nil
}
