package testenv

import (
	"context"
	"fmt"
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
	engine     *clickhouse.Engine
	dir        string
	biPassword string
}

// OwnClickHouse starts an engine for this test alone.
func OwnClickHouse(t *testing.T) *ClickHouseEngine {
	t.Helper()
	lib, err := clickhouse.FindEngine(os.Getenv("TRUNKLINE_CLICKHOUSE_ENGINE"))
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	e := &ClickHouseEngine{dir: t.TempDir(), biPassword: "for-analysts"}
	e.engine, err = clickhouse.New(clickhouse.Config{
		Lib: lib, DataDir: e.dir, HTTPAddr: "127.0.0.1:0", NativeAddr: "127.0.0.1:0", BIPassword: e.biPassword,
	})
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := e.engine.Start(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := e.engine.Stop(ctx); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return e
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
	d.User, d.Password = clickhouse.BIUser, e.biPassword
	return d
}

// Kill ends the engine by kill -9. It is started again by itself.
func (e *ClickHouseEngine) Kill(t *testing.T) {
	t.Helper()
	pid, err := e.pid()
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		t.Fatalf("testenv: killing ClickHouse: %v", err)
	}
}

// pid is read from the engine's lock file.
func (e *ClickHouseEngine) pid() (int, error) {
	b, err := os.ReadFile(filepath.Join(e.dir, "clickhouse", "data", "status"))
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
