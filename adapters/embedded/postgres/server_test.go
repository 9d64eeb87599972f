package postgres_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/embedded/postgres"
	"trunkline.dev/trunkline/adapters/internal/testenv"
)

const (
	// hubEnv makes the test binary a hub that runs a server until it is killed.
	hubEnv = "TRUNKLINE_TEST_HUB"
	// stranger is an account that owns nothing.
	stranger = 65534
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(hubEnv); dir != "" {
		os.Exit(hub(dir))
	}
	goleak.VerifyTestMain(m) // no goroutine outlives Stop
}

func hub(dir string) int {
	s, err := postgres.New(postgres.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err == nil {
		err = s.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready", s.URL())
	_, _ = io.Copy(io.Discard, os.Stdin)
	if err := s.Stop(context.Background()); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// hubProcess is a hub in a process of its own.
type hubProcess struct {
	cmd   *exec.Cmd
	stdin io.Closer // closing it asks the hub to stop
	url   string
	error string // what it said instead of being ready
}

func startHub(t *testing.T, dir string, asStranger bool) *hubProcess {
	t.Helper()
	// Not by its name: a stranger may not enter the directory of the test binary.
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), hubEnv+"="+dir)
	cmd.Dir = "/"
	if asStranger {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: stranger, Gid: stranger}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	h := &hubProcess{cmd: cmd, stdin: stdin}
	t.Cleanup(func() { h.stdin.Close(); _ = cmd.Wait() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("hub: %q %v", line, err)
	}
	var ready bool
	if h.url, ready = strings.CutPrefix(strings.TrimSpace(line), "ready "); !ready {
		h.error, h.url = h.url, ""
	}
	return h
}

func (h *hubProcess) kill(t *testing.T) {
	t.Helper()
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = h.cmd.Wait() // "signal: killed" is what was asked for
}

func newServer(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	s, err := postgres.New(postgres.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// started runs a server on dir until the test ends.
func started(t *testing.T, dir string) *postgres.Server {
	t.Helper()
	s := newServer(t, dir)
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, s) })
	return s
}

func stop(t *testing.T, s *postgres.Server) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Second)
	defer cancel()
	if err := s.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// ask runs one statement and gives its first column, "" without rows.
func ask(ctx context.Context, url, sql string) (answer string, err error) {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return "", err
	}
	defer conn.Close(ctx)
	rows, err := conn.Query(ctx, sql)
	if err != nil {
		return "", err
	}
	defer rows.Close()
	for rows.Next() {
		v, err := rows.Values()
		if err != nil {
			return "", err
		}
		answer = fmt.Sprint(v[0])
	}
	return answer, rows.Err()
}

func mustAsk(t *testing.T, url, sql string) string {
	t.Helper()
	answer, err := ask(t.Context(), url, sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func TestDataOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := started(t, dir)
	mustAsk(t, first.URL(), "CREATE TABLE kept AS SELECT generate_series(1, 1000)")
	stop(t, first)
	stop(t, first) // twice is harmless
	if first.State() != "stopped" {
		t.Errorf("state %q", first.State())
	}

	second := started(t, dir)
	if got := mustAsk(t, second.URL(), "SELECT count(*) FROM kept"); got != "1000" {
		t.Errorf("rows after a restart: %s", got)
	}
	fi, err := os.Stat(filepath.Join(dir, "postgres.password"))
	if err != nil {
		t.Fatal(err)
	}
	if fi.Mode().Perm() != 0o600 {
		t.Errorf("the password can be read by others: %v", fi.Mode())
	}
	if _, err := os.Stat(filepath.Join(dir, "postgres.new")); err == nil {
		t.Error("postgres.new is left behind")
	}
}

func TestStopBeforeStartIsHarmless(t *testing.T) {
	t.Parallel()
	stop(t, newServer(t, t.TempDir()))
}

func TestOnlyTheRoleWithItsPasswordGetsIn(t *testing.T) {
	t.Parallel()
	s := started(t, t.TempDir())
	for _, url := range []string{
		"postgres://trunkline:wrong@" + s.Addr() + "/trunkline?sslmode=disable",
		"postgres://trunkline@" + s.Addr() + "/trunkline?sslmode=disable",
		"postgres://postgres@" + s.Addr() + "/postgres?sslmode=disable",
	} {
		if _, err := ask(t.Context(), url, "SELECT 1"); err == nil {
			t.Errorf("%s got in", url)
		}
	}
	if got := mustAsk(t, s.URL(), "SELECT usesuper::text FROM pg_user WHERE usename = current_user"); got != "false" {
		t.Errorf("superuser: %s", got)
	}
	if _, err := ask(t.Context(), s.URL(), "SELECT pg_read_file('/etc/passwd')"); err == nil {
		t.Error("the role reads files")
	}
	for setting, want := range map[string]string{"fsync": "on", "password_encryption": "scram-sha-256", "server_encoding": "UTF8"} {
		if got := mustAsk(t, s.URL(), "SHOW "+setting); got != want {
			t.Errorf("%s is %q", setting, got)
		}
	}
}

func TestALostPasswordFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := started(t, dir)
	stop(t, first)
	if err := os.Remove(filepath.Join(dir, "postgres.password")); err != nil {
		t.Fatal(err)
	}
	second := started(t, dir)
	mustAsk(t, second.URL(), "SELECT 1")
}

func TestATakenPortIsNamedWithItsSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	s, err := postgres.New(postgres.Config{Addr: taken.Addr().String(), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = s.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "TRUNKLINE_POSTGRES_ADDR") || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one line with the setting: %v", err)
	}
}

func TestADeadServerIsRestarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := started(t, dir)
	mustAsk(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS a")
	pid := serverPid(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, func() error {
		got, err := ask(t.Context(), s.URL(), "SELECT a FROM kept")
		if err == nil && got != "7" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
	testenv.Eventually(t, func() error {
		if s.State() != "running" {
			return fmt.Errorf("state %s: %w", s.State(), s.Err())
		}
		return nil
	})
	if serverPid(t, dir) == pid {
		t.Error("the same server still runs")
	}
}

// A session that cannot notice the end of its server, as one that waits for a lock of
// a session that was killed with it, must not keep the next one from starting.
func TestASessionThatStandsStillDoesNotBlockTheNextServer(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := started(t, dir)
	mustAsk(t, s.URL(), "CREATE TABLE kept AS SELECT 7 AS a")
	conn, err := pgx.Connect(t.Context(), s.URL())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.WithoutCancel(t.Context())) })
	var session int
	if err := conn.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&session); err != nil {
		t.Fatal(err)
	}
	for _, end := range []struct {
		pid int
		by  syscall.Signal
	}{{session, syscall.SIGSTOP}, {serverPid(t, dir), syscall.SIGKILL}} {
		if err := syscall.Kill(end.pid, end.by); err != nil {
			t.Fatal(err)
		}
	}
	t.Cleanup(func() { _ = syscall.Kill(session, syscall.SIGKILL) }) // should the test fail
	testenv.Eventually(t, func() error {
		got, err := ask(t.Context(), s.URL(), "SELECT a FROM kept")
		if err != nil {
			return errors.Join(err, s.Err())
		}
		if got != "7" {
			return fmt.Errorf("got %q", got)
		}
		return nil
	})
}

func TestAKilledHubDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := startHub(t, dir, false)
	mustAsk(t, first.url, "CREATE TABLE kept AS SELECT 7 AS a")
	pid := serverPid(t, dir)
	first.kill(t)
	second := startHub(t, dir, false) // while the first one's server may still be closing
	if got := mustAsk(t, second.url, "SELECT a FROM kept"); got != "7" {
		t.Errorf("got %q", got)
	}
	if serverPid(t, dir) == pid {
		t.Error("the orphan still serves")
	}
	pid = serverPid(t, dir)
	second.kill(t)
	awaitEnd(t, pid)
}

// awaitEnd waits until pid has ended. A zombie has: it only lacks a reaper.
func awaitEnd(t *testing.T, pid int) {
	t.Helper()
	testenv.Eventually(t, func() error {
		if b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && len(b) > 0 {
			return fmt.Errorf("process %d runs on", pid)
		}
		return nil
	})
}

func TestASecondHubOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := started(t, dir)
	pid := serverPid(t, dir)
	second := newServer(t, dir)
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another hub") || !strings.Contains(err.Error(), "TRUNKLINE_DATA_DIR") {
		t.Errorf("second start: %v", err)
	}
	stop(t, second) // it never started
	mustAsk(t, first.URL(), "SELECT 1")
	if serverPid(t, dir) != pid {
		t.Error("the first hub's server was ended")
	}
	stop(t, first)
	started(t, dir)
}

func TestItRunsForAPlainUser(t *testing.T) {
	t.Parallel()
	dir := strangersDir(t)
	first := startHub(t, dir, os.Geteuid() == 0)
	if first.error != "" {
		t.Fatal(first.error)
	}
	mustAsk(t, first.url, "CREATE TABLE kept AS SELECT 7 AS a")
	pid := serverPid(t, dir)
	first.kill(t)
	awaitEnd(t, pid)
	// After a container's restart the pid in the file can be anybody's.
	if err := os.WriteFile(filepath.Join(dir, "postgres", "postmaster.pid"), []byte(strconv.Itoa(os.Getpid())+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	second := startHub(t, dir, os.Geteuid() == 0)
	if second.error != "" {
		t.Fatal(second.error)
	}
	if got := mustAsk(t, second.url, "SELECT a FROM kept"); got != "7" {
		t.Errorf("got %q", got)
	}
}

func TestRootTakesAPlainUsersDataAndNotTheOtherWayRound(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // there is no second account to try it with
	}
	dir := strangersDir(t)
	plain := startHub(t, dir, true)
	mustAsk(t, plain.url, "CREATE TABLE kept AS SELECT 7 AS a")
	plain.stdin.Close()
	_ = plain.cmd.Wait()
	s := started(t, dir)
	if got := mustAsk(t, s.URL(), "SELECT a FROM kept"); got != "7" {
		t.Errorf("got %q", got)
	}

	rootsDir := strangersDir(t)
	stop(t, started(t, rootsDir))
	refused := startHub(t, rootsDir, true)
	if !strings.Contains(refused.error, "chown") {
		t.Errorf("want the remedy: %q", refused.error)
	}
}

// strangersDir is a data directory that the stranger may use as well.
func strangersDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "trunkline-test-") //nolint:usetesting // others may not enter what t.TempDir makes
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if os.Geteuid() == 0 {
		if err := os.Chown(dir, stranger, stranger); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func serverPid(t *testing.T, dir string) int {
	t.Helper()
	pid, err := readPid(dir)
	if err != nil {
		t.Fatal(err)
	}
	return pid
}

// readPid is the server's own note of its pid; there is none while it restarts.
func readPid(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dir, "postgres", "postmaster.pid"))
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), "\n")
	return strconv.Atoi(first)
}
