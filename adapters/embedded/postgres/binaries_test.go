package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// fetchedCache is the repository's: the 30 MB are fetched once per machine.
func fetchedCache(t *testing.T) string {
	t.Helper()
	cache, err := filepath.Abs("../../../.cache/postgres")
	if err != nil {
		t.Fatal(err)
	}
	return cache
}

func TestFetchedBinariesAreKept(t *testing.T) {
	t.Parallel()
	cache := fetchedCache(t)
	first, err := fetchBinaries(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	before := stamp(t, first)
	second, err := fetchBinaries(t.Context(), cache)
	if err != nil {
		t.Fatal(err)
	}
	if second != first || stamp(t, second) != before {
		t.Errorf("fetched again: %v, then %v", first, second)
	}
	leftovers, err := filepath.Glob(filepath.Join(cache, "fetch-*"))
	if err != nil || len(leftovers) > 0 {
		t.Errorf("left behind: %v %v", leftovers, err)
	}
}

func stamp(t *testing.T, b binaries) time.Time {
	t.Helper()
	fi, err := os.Stat(b.path("postgres"))
	if err != nil {
		t.Fatal(err)
	}
	return fi.ModTime()
}

// A fresh machine: no Postgres installed and, for root, everything below a
// directory that the server's account cannot enter.
func TestFetchedBinariesServe(t *testing.T) {
	t.Parallel()
	cache := fetchedCache(t)
	if _, err := fetchBinaries(t.Context(), cache); err != nil {
		t.Fatal(err)
	}
	closed := filepath.Join(t.TempDir(), "closed")
	if err := os.Mkdir(closed, 0o700); err != nil {
		t.Fatal(err)
	}
	reachable, err := os.MkdirTemp("", "trunkline-test-") //nolint:usetesting // others may not enter what t.TempDir makes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(reachable); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(reachable, 0o755); err != nil {
		t.Fatal(err)
	}
	s, err := New(Config{Addr: "127.0.0.1:0", DataDir: filepath.Join(closed, "data")})
	if err != nil {
		t.Fatal(err)
	}
	s.installed = func(context.Context, string, int) (binaries, bool, error) { return binaries{}, false, nil }
	s.rootCache = reachable
	unpackFrom := s.cfg.CacheDir
	if os.Geteuid() == 0 {
		unpackFrom = s.rootCache
	}
	copyArchive(t, cache, unpackFrom)
	for range 2 {
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if s.bin.major != 17 {
			t.Errorf("ran %v", s.bin)
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Second)
		if err := s.Stop(ctx); err != nil {
			t.Error(err)
		}
		cancel()
	}
}

// copyArchive spares the network a second fetch.
func copyArchive(t *testing.T, from, to string) {
	t.Helper()
	archives, err := filepath.Glob(filepath.Join(from, "*.txz"))
	if err != nil || len(archives) != 1 {
		t.Fatal(archives, err)
	}
	b, err := os.ReadFile(archives[0])
	if err != nil {
		t.Fatal(err)
	}
	if err := os.MkdirAll(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(to, filepath.Base(archives[0])), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func TestInstalledBinariesOfAnotherMajorAreNotTaken(t *testing.T) {
	t.Parallel()
	if b, ok, err := findBinaries(t.Context(), "", 9); err != nil || ok {
		t.Errorf("took %v for data of version 9 (%v)", b, err)
	}
}
