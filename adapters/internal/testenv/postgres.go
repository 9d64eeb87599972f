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
	t.Cleanup(func() { dropDatabase(t, server, name) })
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

// dropDatabase drops a database and ends who is connected. WITH (FORCE) would be refused
// while the autovacuum is in it, which only a superuser may end; a plain DROP ends that
// by itself, and waits for those who are leaving.
func dropDatabase(t testing.TB, server *postgres.Server, name string) {
	t.Helper()
	admin(t, server, "ALTER DATABASE "+name+" WITH ALLOW_CONNECTIONS false")
	admin(t, server, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"' AND usename = current_user")
	admin(t, server, "DROP DATABASE "+name)
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
