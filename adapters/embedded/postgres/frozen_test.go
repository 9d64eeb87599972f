package postgres_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/embedded/postgres"
	"trunkline.dev/trunkline/adapters/internal/proc"
	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// A server that stands still, as a whole, or where it lets in, or in its sessions, is
// ended and started again, and what was committed is there.
func TestAFrozenServerIsRestarted(t *testing.T) {
	t.Parallel()
	for name, freezes := range map[string]func(postmaster, pid int) bool{
		"all of it":       func(int, int) bool { return true },
		"its postmaster":  func(postmaster, pid int) bool { return pid == postmaster },
		"all its workers": func(postmaster, pid int) bool { return pid != postmaster },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			s, err := postgres.New(postgres.Config{Addr: "127.0.0.1:0", DataDir: dir, Patience: 3 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			if err := s.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { stop(t, s) })
			mustAsk(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS a")
			postmaster := serverPid(t, dir)
			var frozen []int
			t.Cleanup(func() {
				for _, pid := range frozen { // should the test fail
					if slices.Contains(serverProcesses(t, dir), pid) {
						_ = syscall.Kill(pid, syscall.SIGKILL)
					}
				}
			})
			said := false
			testenv.Eventually(t, func() error {
				for _, pid := range serverProcesses(t, dir) { // new sessions, too
					p, _ := proc.Stat(pid)
					if (pid == postmaster || p.Parent == postmaster) && freezes(postmaster, pid) && syscall.Kill(pid, syscall.SIGSTOP) == nil && !slices.Contains(frozen, pid) {
						frozen = append(frozen, pid)
					}
				}
				if err := s.Err(); err != nil && strings.Contains(err.Error(), "gave no answer for") {
					said = true
				}
				if pid, err := readPid(dir); err != nil || pid == postmaster {
					return fmt.Errorf("the frozen server is still there: %w, %w", err, s.Err())
				}
				got, err := ask(t.Context(), s.URL(), "SELECT a FROM kept")
				if err == nil && got != "7" {
					err = fmt.Errorf("got %q", got)
				}
				if err == nil && s.State() != "running" {
					err = fmt.Errorf("state %s: %w", s.State(), s.Err())
				}
				return err
			})
			if !said {
				t.Error("nobody was told that it gives no answer")
			}
			for _, pid := range serverProcesses(t, dir) {
				if slices.Contains(frozen, pid) {
					t.Errorf("process %d is left of the frozen server", pid)
				}
			}
		})
	}
}

// serverProcesses are those that work in the server's data directory.
func serverProcesses(t *testing.T, dir string) []int {
	t.Helper()
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, l := range links {
		if at, err := os.Readlink(l); err != nil || at != filepath.Join(dir, "postgres") {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(l))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}
