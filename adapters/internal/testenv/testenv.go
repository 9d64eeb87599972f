// Package testenv gives tests the real services: an embedded Kafka, one Postgres
// and one ClickHouse per test binary with a fresh database per test, and Apache
// Kafka itself. A service that cannot be had fails the test with the command that
// installs it; nothing is ever skipped. Its invariant: when the test binary ends,
// nothing it started still runs.
package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
)

// patience bounds every start and stop of a service.
const patience = 60 * time.Second

// Main is the body of TestMain in every package that uses this one:
//
//	func TestMain(m *testing.M) { testenv.Main(m) }
//
// It must be all of it: the test binary is also the ClickHouse engine's child
// process, and the services that tests share are stopped here.
func Main(m *testing.M) {
	clickhouse.MaybeRunChild()
	os.Exit(run(m))
}

func run(m *testing.M) int {
	shared.mu.Lock()
	shared.ready = true
	shared.mu.Unlock()
	code := m.Run()
	if err := stopShared(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		return max(code, 1)
	}
	return code
}

// shared is what the tests of this binary have in common, started on first use.
var shared struct {
	mu       sync.Mutex
	ready    bool // Main runs
	cleanups []func(context.Context) error
	postgres once
	engine   once
	counter  int
}

// once keeps the outcome of a start, good or bad, for every later test.
type once struct {
	done  bool
	value any
	err   error
}

// start runs f if it has not run yet. A start that went wrong is not repeated:
// the next test would only wait for the same error.
func start[T any](t testing.TB, o *once, f func(ctx context.Context) (T, error)) T {
	t.Helper()
	shared.mu.Lock()
	defer shared.mu.Unlock()
	if !shared.ready {
		t.Fatal("testenv: this package lacks func TestMain(m *testing.M) { testenv.Main(m) }")
	}
	if !o.done {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		o.value, o.err = f(ctx)
		o.done = true
	}
	if o.err != nil {
		t.Fatalf("testenv: %v", o.err)
	}
	return o.value.(T)
}

// later adds what Main does at the end. The caller holds shared.mu.
func later(f func(context.Context) error) { shared.cleanups = append(shared.cleanups, f) }

func stopShared() (err error) {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for i := len(shared.cleanups) - 1; i >= 0; i-- {
		if e := shared.cleanups[i](ctx); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// freshName is a database name that no other test of this binary has.
func freshName() string {
	shared.mu.Lock()
	defer shared.mu.Unlock()
	shared.counter++
	return fmt.Sprintf("test_%d", shared.counter)
}

// tempDir is a directory that another account may enter, which t.TempDir is not:
// a Postgres that root starts runs as another user.
func tempDir() (string, error) {
	dir, err := os.MkdirTemp("", "trunkline-test-")
	if err != nil {
		return "", err
	}
	return dir, os.Chmod(dir, 0o755)
}

// repository is the module's root, where .cache is.
func repository() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", fmt.Errorf("no go.mod above the working directory")
		}
		dir = parent
	}
}
