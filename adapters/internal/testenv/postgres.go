package testenv

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"testing"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/embedded/postgres"
)

// Postgres makes an empty database for this test and returns its URL. The server
// is one per test binary and does not fsync; the database is dropped at the end,
// whoever is still connected.
func Postgres(t testing.TB) (databaseURL string) {
	t.Helper()
	server := start(t, &shared.postgres, startPostgres)
	name := freshName()
	admin(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server.URL())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func startPostgres(ctx context.Context) (*postgres.Server, error) {
	root, err := repository()
	if err != nil {
		return nil, err
	}
	dir, err := tempDir()
	if err != nil {
		return nil, err
	}
	later(func(context.Context) error { return os.RemoveAll(dir) })
	server, err := postgres.New(postgres.Config{
		Addr:     "127.0.0.1:0",
		DataDir:  dir,
		CacheDir: filepath.Join(root, ".cache", "postgres"),
		Settings: map[string]string{"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "max_connections": "300"},
	})
	if err != nil {
		return nil, err
	}
	later(server.Stop)
	if err := server.Start(ctx); err != nil {
		return nil, fmt.Errorf("%w (on Debian: `apt-get install postgresql`)", err)
	}
	return server, nil
}

func admin(t testing.TB, server *postgres.Server, sql string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := pgx.Connect(ctx, server.URL())
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	defer func() { _ = conn.Close(ctx) }()
	if _, err := conn.Exec(ctx, sql); err != nil {
		t.Fatalf("testenv: %s: %v", sql, err)
	}
}
