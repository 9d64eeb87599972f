package clickhouse_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// hubEnv makes the test binary a hub that runs an engine until it is killed.
const hubEnv = "TRUNKLINE_TEST_HUB"

func TestMain(m *testing.M) {
	clickhouse.MaybeRunChild()
	if dir := os.Getenv(hubEnv); dir != "" {
		os.Exit(hub(dir))
	}
	goleak.VerifyTestMain(m) // no goroutine outlives Stop
}

func hub(dir string) int {
	e, err := newEngine(dir)
	if err == nil {
		err = e.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println("ready")
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

func newEngine(dir string, change ...func(*clickhouse.Config)) (*clickhouse.Engine, error) {
	lib, err := clickhouse.FindEngine(os.Getenv("TRUNKLINE_CLICKHOUSE_ENGINE"))
	if err != nil {
		return nil, err
	}
	cfg := clickhouse.Config{Lib: lib, DataDir: dir, HTTPAddr: "127.0.0.1:0", NativeAddr: "127.0.0.1:0"}
	for _, c := range change {
		c(&cfg)
	}
	return clickhouse.New(cfg)
}

// started runs an engine on dir until the test ends.
func started(t *testing.T, dir string, change ...func(*clickhouse.Config)) *clickhouse.Engine {
	t.Helper()
	e, err := newEngine(dir, change...)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	return e
}

func stop(t *testing.T, e *clickhouse.Engine) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 15*time.Second)
	defer cancel()
	if err := e.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// query asks over HTTP, as curl would.
func query(e *clickhouse.Engine, user, password, sql string) (string, error) {
	req, err := http.NewRequest(http.MethodPost, "http://"+e.HTTPAddr()+"/", strings.NewReader(sql))
	if err != nil {
		return "", err
	}
	req.SetBasicAuth(user, password)
	req.Close = true
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return "", err
	}
	answer := strings.TrimSpace(string(b))
	if resp.StatusCode != http.StatusOK {
		return "", errors.New(answer)
	}
	return answer, nil
}

func mustQuery(t *testing.T, e *clickhouse.Engine, sql string) string {
	t.Helper()
	answer, err := query(e, clickhouse.User, e.Password(), sql)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

func TestDataOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := started(t, dir)
	mustQuery(t, first, "CREATE TABLE trunkline.kept (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustQuery(t, first, "INSERT INTO trunkline.kept SELECT number FROM numbers(1000)")
	password := first.Password()
	stop(t, first)
	stop(t, first) // twice is harmless

	second := started(t, dir)
	if got := mustQuery(t, second, "SELECT count() FROM trunkline.kept"); got != "1000" {
		t.Errorf("rows after a restart: %s", got)
	}
	if second.Password() != password {
		t.Error("a restart made another password")
	}
	for _, name := range []string{"clickhouse.password", "clickhouse-bi.password"} {
		fi, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if fi.Mode().Perm() != 0o600 {
			t.Errorf("%s can be read by others: %v", name, fi.Mode())
		}
	}
}

func TestStopBeforeStartIsHarmless(t *testing.T) {
	t.Parallel()
	e, err := newEngine(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	stop(t, e)
	if e.State() != "stopped" {
		t.Errorf("state %q", e.State())
	}
}

func TestATakenPortIsNamedWithItsSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	for setting, cfg := range map[string]clickhouse.Config{
		"TRUNKLINE_CLICKHOUSE_ADDR":        {HTTPAddr: taken.Addr().String(), NativeAddr: "127.0.0.1:0"},
		"TRUNKLINE_CLICKHOUSE_NATIVE_ADDR": {HTTPAddr: "127.0.0.1:0", NativeAddr: taken.Addr().String()},
	} {
		cfg.Lib, cfg.DataDir = "unused", t.TempDir()
		e, err := clickhouse.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		err = e.Start(t.Context())
		if err == nil || !strings.Contains(err.Error(), setting) || strings.Contains(err.Error(), "\n") {
			t.Errorf("want one line with %s: %v", setting, err)
		}
	}
}

func TestASecondHubOnTheSameDataIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	started(t, dir)
	second, err := newEngine(dir)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := second.Start(ctx); err == nil || !strings.Contains(err.Error(), "in use by another hub") {
		t.Errorf("second start: %v", err)
	}
}

func TestADeadEngineIsRestarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := started(t, dir)
	mustQuery(t, e, "CREATE TABLE trunkline.kept (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustQuery(t, e, "INSERT INTO trunkline.kept VALUES (7)")
	pid := enginePid(t, dir)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, func() error {
		got, err := query(e, clickhouse.User, e.Password(), "SELECT a FROM trunkline.kept")
		if err == nil && got != "7" {
			err = fmt.Errorf("got %q", got)
		}
		return err
	})
	testenv.Eventually(t, func() error {
		if e.State() != "running" {
			return fmt.Errorf("state %s: %w", e.State(), e.Err())
		}
		return nil
	})
	if enginePid(t, dir) == pid {
		t.Error("the same engine still runs")
	}
}

// What a frozen engine had is there once it was ended and started again.
func TestAFrozenEngineIsRestarted(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	lib, err := clickhouse.FindEngine(os.Getenv("TRUNKLINE_CLICKHOUSE_ENGINE"))
	if err != nil {
		t.Fatal(err)
	}
	e, err := clickhouse.New(clickhouse.Config{Lib: lib, DataDir: dir, HTTPAddr: "127.0.0.1:0", NativeAddr: "127.0.0.1:0", Patience: 3 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, e) })
	mustQuery(t, e, "CREATE TABLE trunkline.kept (a UInt64) ENGINE = MergeTree ORDER BY a")
	mustQuery(t, e, "INSERT INTO trunkline.kept VALUES (7)")
	pid := enginePid(t, dir)
	if err := syscall.Kill(pid, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, func() error {
		if err := e.Err(); err == nil || !strings.Contains(err.Error(), "gave no answer for") {
			return fmt.Errorf("it is not said: %w", err)
		}
		return nil
	})
	testenv.Eventually(t, func() error {
		if e.State() != "running" || e.Err() != nil {
			return fmt.Errorf("state %s: %w", e.State(), e.Err())
		}
		return nil
	})
	if got := mustQuery(t, e, "SELECT a FROM trunkline.kept"); got != "7" {
		t.Errorf("got %q", got)
	}
	if enginePid(t, dir) == pid {
		t.Error("the frozen engine still has the data")
	}
}

func TestSignalsOfATerminalOrAServiceManagerDoNotEndTheEngine(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := started(t, dir)
	pid := enginePid(t, dir)
	for _, sig := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP} {
		if err := syscall.Kill(pid, sig); err != nil {
			t.Fatal(err)
		}
	}
	mustQuery(t, e, "SELECT 1")
	if got := enginePid(t, dir); got != pid {
		t.Errorf("engine %d was replaced by %d", pid, got)
	}
}

func TestAKilledHubDoesNotBlockTheNext(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for range 2 {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), hubEnv+"="+dir)
		stdin, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		defer stdin.Close()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, err := bufio.NewReader(out).ReadString('\n')
		if err != nil || line != "ready\n" {
			t.Fatalf("hub: %q %v", line, err)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // "signal: killed" is what was asked for
	}
	orphan := enginePid(t, dir)
	e := started(t, dir) // while the orphan may still be closing
	mustQuery(t, e, "SELECT 1")
	if enginePid(t, dir) == orphan {
		t.Error("the orphan still owns the data")
	}
}

// enginePid reads the owner of the data from the engine's own lock file.
func enginePid(t *testing.T, dir string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, "clickhouse", "data", "status"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(line, "PID: "); ok {
			pid, err := strconv.Atoi(strings.TrimSpace(v))
			if err != nil {
				t.Fatal(err)
			}
			return pid
		}
	}
	t.Fatalf("no pid in %q", b)
	return 0
}
