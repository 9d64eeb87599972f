package postgres

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"time"
)

// The embedded Postgres's fixed names.
const (
	Database = "trunkline"
	User     = "trunkline"
)

// Config says where the server listens and keeps its data.
type Config struct {
	// Addr is host:port; port 0 picks a free one. Default 127.0.0.1:15432.
	Addr string
	// DataDir is the hub's data directory. The server's files are kept in its
	// folder postgres, the generated password beside that in postgres.password.
	DataDir string
	// BinDir is where initdb and postgres are. Empty: the installed ones (at
	// least version 15), else they are fetched.
	BinDir string
	// CacheDir keeps fetched binaries. Default: folder cache/postgres of DataDir.
	CacheDir string
	// Settings are added to the server's own, and win over them. Test
	// environments switch fsync off by it; the hub leaves it empty.
	Settings map[string]string
	// Patience is how long the server may give no answer before it is ended and
	// started again. Default 60 s; tests have less.
	Patience time.Duration
	// Logger gets a warning when the server had to be restarted. Default
	// slog.Default().
	Logger *slog.Logger
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if c.DataDir == "" {
		errs = append(errs, errors.New("postgres: DataDir is not set"))
	}
	if _, _, err := net.SplitHostPort(c.Addr); err != nil {
		errs = append(errs, fmt.Errorf("TRUNKLINE_POSTGRES_ADDR: %w", err))
	}
	return errors.Join(errs...)
}

func (c Config) withDefaults() (Config, error) {
	if c.Addr == "" {
		c.Addr = "127.0.0.1:15432"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if err := c.Validate(); err != nil {
		return Config{}, err
	}
	var err error
	if c.DataDir, err = filepath.Abs(c.DataDir); err != nil {
		return Config{}, fmt.Errorf("postgres: DataDir: %w", err)
	}
	// The server's own process list is searched for this path.
	if real, err := filepath.EvalSymlinks(c.DataDir); err == nil {
		c.DataDir = real
	}
	if c.CacheDir == "" {
		c.CacheDir = filepath.Join(c.DataDir, "cache", "postgres")
	}
	if c.CacheDir, err = filepath.Abs(c.CacheDir); err != nil {
		return Config{}, fmt.Errorf("postgres: CacheDir: %w", err)
	}
	return c, nil
}
