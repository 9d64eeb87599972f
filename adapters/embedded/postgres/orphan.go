package postgres

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	// pollEvery is the pace of waiting for another process.
	pollEvery = 20 * time.Millisecond
	// orphanGrace is how long an orphan may close in order.
	orphanGrace = 5 * time.Second
)

// endOrphan ends a server that an earlier, killed hub left on our data. It
// touches only a process that is a postgres with our directory on its command
// line: the pid in postmaster.pid may long be somebody else's.
func endOrphan(ctx context.Context, pgdata string) error {
	pid, err := readPid(pgdata)
	if err != nil || pid == 0 {
		return err
	}
	if !isServerOf(pid, pgdata) {
		return clearStale(ctx, pid, pgdata)
	}
	for _, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGQUIT, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("ending the Postgres (pid %d) that a killed hub left on %s: %w", pid, pgdata, err)
		}
		if err := await(ctx, func() bool { return !isServerOf(pid, pgdata) }); err == nil {
			return nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return fmt.Errorf("ending the Postgres (pid %d) that a killed hub left on %s: it does not end", pid, pgdata)
}

// clearStale deals with a postmaster.pid whose server is gone. Sessions may have
// outlived it for a moment; Postgres refuses to start beside them, so we wait. One
// that waits for a lock of a session that ended without giving it back never
// notices the end of its server; it can do nothing any more, and is killed.
// And when its pid is a living process the file is removed: after a container's
// restart pids come again, and Postgres would take the stranger for a server.
// In every other case the file stays, because Postgres also finds such sessions
// by it, in places where /proc does not show them to us.
func clearStale(ctx context.Context, pid int, pgdata string) error {
	ended := func() bool { return len(sessions(pgdata)) == 0 }
	err := await(ctx, ended)
	if err != nil && ctx.Err() == nil {
		for _, left := range sessions(pgdata) {
			_ = syscall.Kill(left, syscall.SIGKILL) // it may have ended
		}
		err = await(ctx, ended)
	}
	if err != nil {
		return fmt.Errorf("waiting for sessions that a killed Postgres left on %s: %w", pgdata, err)
	}
	if err := syscall.Kill(pid, 0); err != nil {
		return nil
	}
	if err := os.Remove(filepath.Join(pgdata, "postmaster.pid")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("clearing a stale postmaster.pid: %w", err)
	}
	return nil
}

// sessions are the Postgres processes that work in pgdata, as all of a server's do.
func sessions(pgdata string) []int {
	links, err := filepath.Glob("/proc/[0-9]*/cwd")
	if err != nil {
		return nil
	}
	var pids []int
	for _, l := range links {
		if dir, err := os.Readlink(l); err != nil || dir != pgdata {
			continue
		}
		name, err := os.ReadFile(filepath.Join(filepath.Dir(l), "comm"))
		if err != nil || string(name) != "postgres\n" {
			continue // somebody looks at the files
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(l))); err == nil {
			pids = append(pids, pid)
		}
	}
	return pids
}

// await polls until done, for at most orphanGrace.
func await(ctx context.Context, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, orphanGrace)
	defer cancel()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for !done() {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
	return nil
}

// readPid returns the pid that the last server wrote, 0 for none.
func readPid(pgdata string) (int, error) {
	b, err := os.ReadFile(filepath.Join(pgdata, "postmaster.pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("looking for an orphan: %w", err)
	}
	first, _, _ := strings.Cut(string(b), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 1 {
		return 0, nil
	}
	return pid, nil
}

// isServerOf says whether pid is a running postgres whose command line names
// pgdata as its data directory.
func isServerOf(pid int, pgdata string) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return false // gone, or a zombie that only its parent has yet to notice
	}
	args := bytes.Split(b, []byte{0})
	if filepath.Base(string(args[0])) != "postgres" {
		return false
	}
	for i, a := range args[:len(args)-1] {
		if string(a) == "-D" && string(args[i+1]) == pgdata {
			return true
		}
	}
	return false
}
