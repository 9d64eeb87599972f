package postgres

import (
	"context"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// An orphan is what Pdeathsig cannot prevent, as when the hub's whole process
// group was frozen first. It is not simulated: the server simply has no hub.
func TestAnOrphanIsEndedFirst(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lost, err := New(Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.prepareStart(t.Context()); err != nil {
		t.Fatal(err)
	}
	lost.release() // its hub is gone
	args, err := lost.args()
	if err != nil {
		t.Fatal(err)
	}
	cmd := lost.command(context.WithoutCancel(t.Context()), "postgres", args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if err := await(t.Context(), func() bool {
		conn, err := pgx.Connect(t.Context(), lost.URL())
		if err == nil {
			t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) }) // stays open: it must not hold up the end
		}
		return err == nil
	}); err != nil {
		t.Fatal(err)
	}

	next, err := New(Config{Addr: lost.Addr(), DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := next.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	select {
	case <-ended:
	default:
		t.Error("the orphan still runs")
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Second)
	defer cancel()
	if err := next.Stop(ctx); err != nil {
		t.Error(err)
	}
}

func TestAStrangersPidIsNotTouched(t *testing.T) {
	t.Parallel()
	pgdata := t.TempDir()
	file := filepath.Join(pgdata, "postmaster.pid")
	for content, kept := range map[string]bool{
		"1\n":         true, // init is nobody's Postgres, and not worth a signal
		"not a pid\n": true,
		"999999999\n": true, // dead: Postgres clears it itself
	} {
		if err := os.WriteFile(file, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := endOrphan(t.Context(), pgdata); err != nil {
			t.Errorf("%q: %v", content, err)
		}
		if _, err := os.Stat(file); (err == nil) != kept {
			t.Errorf("%q: kept is %v", content, err == nil)
		}
	}
}
