package testenv

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

// ClickHouseEngine is a ClickHouse of one test, for tests that kill it or need
// the analysts' user. Its methods are for the test's own goroutine.
type ClickHouseEngine struct {
	engine *clickhouse.Engine
	cfg    clickhouse.Config
}

// OwnClickHouse starts an engine for this test alone.
func OwnClickHouse(t *testing.T) *ClickHouseEngine {
	t.Helper()
	lib, err := clickhouse.FindEngine(os.Getenv("TRUNKLINE_CLICKHOUSE_ENGINE"))
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	e := &ClickHouseEngine{cfg: clickhouse.Config{
		Lib: lib, DataDir: t.TempDir(), HTTPAddr: "127.0.0.1:0", NativeAddr: "127.0.0.1:0", BIPassword: "for-analysts",
		Logger: slog.New(slog.DiscardHandler),
	}}
	e.start(t)
	// From now on it is the same one, whatever becomes of it.
	e.cfg.HTTPAddr, e.cfg.NativeAddr = e.engine.HTTPAddr(), e.engine.NativeAddr()
	t.Cleanup(func() { e.stop(t) })
	return e
}

func (e *ClickHouseEngine) start(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	engine, err := clickhouse.New(e.cfg)
	if err == nil {
		err = engine.Start(ctx)
	}
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	e.engine = engine
}

func (e *ClickHouseEngine) stop(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.engine.Stop(ctx); err != nil {
		t.Errorf("testenv: %v", err)
	}
}

// Database is the hub's database on it.
func (e *ClickHouseEngine) Database() ClickHouseDatabase {
	return ClickHouseDatabase{
		HTTPAddr: e.engine.HTTPAddr(), NativeAddr: e.engine.NativeAddr(),
		User: clickhouse.User, Password: e.engine.Password(), Database: clickhouse.Database,
	}
}

// Analyst is the same database as the analysts log in to it.
func (e *ClickHouseEngine) Analyst() ClickHouseDatabase {
	d := e.Database()
	d.User, d.Password = clickhouse.BIUser, e.cfg.BIPassword
	return d
}

// Kill ends the engine by kill -9 and starts it again at once, where it would
// make its users wait longer each time.
func (e *ClickHouseEngine) Kill(t *testing.T) {
	t.Helper()
	pid, err := e.pid()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("testenv: killing ClickHouse: %v", err)
	}
	e.stop(t)
	e.start(t)
}

// pid is read from the engine's lock file.
func (e *ClickHouseEngine) pid() (int, error) {
	b, err := os.ReadFile(filepath.Join(e.cfg.DataDir, "clickhouse", "data", "status"))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PID: "); ok {
			return strconv.Atoi(strings.TrimSpace(v))
		}
	}
	return 0, fmt.Errorf("no pid in %q", b)
}

// URL is how clickhouse-go logs in, by the native protocol.
func (d ClickHouseDatabase) URL() string {
	return "clickhouse://" + d.User + ":" + d.Password + "@" + d.NativeAddr + "/" + d.Database
}

// HTTPURL is how clickhouse-go logs in, by HTTP.
func (d ClickHouseDatabase) HTTPURL() string {
	return "http://" + d.User + ":" + d.Password + "@" + d.HTTPAddr + "/" + d.Database
}
