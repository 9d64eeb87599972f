package testenv

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

// ClickHouseDatabase is an empty database on this test binary's ClickHouse, and
// how to log in to it.
type ClickHouseDatabase struct {
	HTTPAddr, NativeAddr     string // host:port
	User, Password, Database string
}

// ClickHouse makes an empty database for this test; it is dropped at the end. The
// engine is one per test binary. Its user may do in the database what the hub's
// user may do in its own.
func ClickHouse(t testing.TB) ClickHouseDatabase {
	t.Helper()
	engine := start(t, &shared.engine, startClickHouse)
	d := ClickHouseDatabase{
		HTTPAddr: engine.HTTPAddr(), NativeAddr: engine.NativeAddr(),
		User: clickhouse.User, Password: engine.Password(), Database: freshName(),
	}
	d.exec(t, "CREATE DATABASE "+d.Database)
	t.Cleanup(func() { d.exec(t, "DROP DATABASE "+d.Database+" SYNC") })
	return d
}

func startClickHouse(ctx context.Context) (*clickhouse.Engine, error) {
	lib, err := clickhouse.FindEngine(os.Getenv("TRUNKLINE_CLICKHOUSE_ENGINE"))
	if err != nil {
		return nil, err
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	later(func(context.Context) error { return os.RemoveAll(dir) })
	engine, err := clickhouse.New(clickhouse.Config{
		Lib: lib, DataDir: dir, HTTPAddr: "127.0.0.1:0", NativeAddr: "127.0.0.1:0",
		ExtraGrants: []string{"GRANT ALL ON test_*.*"},
	})
	if err != nil {
		return nil, err
	}
	later(engine.Stop)
	return engine, engine.Start(ctx)
}

func (d ClickHouseDatabase) exec(t testing.TB, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := d.post(ctx, sql); err != nil {
		t.Fatalf("testenv: %s: %v", sql, err)
	}
}

func (d ClickHouseDatabase) post(ctx context.Context, sql string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+d.HTTPAddr+"/", strings.NewReader(sql))
	if err != nil {
		return err
	}
	req.Header.Set("X-ClickHouse-User", d.User)
	req.Header.Set("X-ClickHouse-Key", d.Password)
	req.Close = true // an idle connection would hold up the engine's end
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", resp.Status, strings.TrimSpace(string(b)))
	}
	return nil
}
