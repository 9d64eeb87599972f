package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/embedded/clickhouse"
	"trunkline.dev/trunkline/adapters/httpapi/apitest"
	"trunkline.dev/trunkline/adapters/testenv"
)

// asProgram makes the test binary be the program: the tests start it, kill it
// and look at it from outside, as an operator does.
const asProgram = "TEST_AS_TRUNKLINE"

func TestMain(m *testing.M) {
	clickhouse.MaybeRunChild()
	if os.Getenv(asProgram) != "" {
		main()
	}
	testenv.Main(m)
}

// patience bounds every wait of these tests; nothing waits that long when all
// is well.
const patience = 90 * time.Second

// hub is one trunkline in a process of its own, with a data directory and
// addresses that stay the same over its restarts.
type hub struct {
	t   *testing.T
	dir string
	env map[string]string
	cmd *exec.Cmd
	out *tailBuffer
	// earlier is what the processes before this one said.
	earlier []*tailBuffer
	// ended is closed when the process is gone.
	ended chan struct{}
	// binary is run instead of this test binary, as user instead of this one.
	binary string
	user   *syscall.Credential
}

// newHub prepares a hub; extra settings win.
func newHub(t *testing.T, extra map[string]string) *hub {
	t.Helper()
	ports := freePorts(t, 5)
	// Not t.TempDir: a Postgres that root starts runs as another user, who must
	// be able to enter.
	dir, err := os.MkdirTemp("", "trunkline-hub-")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h := &hub{t: t, dir: dir, env: map[string]string{
		asProgram:                          "1",
		"TRUNKLINE_DATA_DIR":               filepath.Join(dir, "data"),
		"TRUNKLINE_HTTP_ADDR":              ports[0],
		"TRUNKLINE_KAFKA_ADDR":             ports[1],
		"TRUNKLINE_POSTGRES_ADDR":          ports[2],
		"TRUNKLINE_CLICKHOUSE_ADDR":        ports[3],
		"TRUNKLINE_CLICKHOUSE_NATIVE_ADDR": ports[4],
		"TRUNKLINE_ADMIN_KEY":              "test-admin-key-of-this-hub",
		"TRUNKLINE_CLICKHOUSE_BI_PASSWORD": "for-analysts",
		"TRUNKLINE_WEBHOOKS_ALLOW_CIDRS":   "127.0.0.0/8",
		"TRUNKLINE_WEBHOOKS_ALLOW_HTTP":    "true",
	}}
	maps.Copy(h.env, extra)
	t.Cleanup(func() {
		h.kill()
		if t.Failed() {
			for i, words := range append(h.earlier, h.out) {
				t.Logf("the last words of the hub's start %d:\n%s", i+1, words)
			}
		}
		removeWhenFree(t, dir)
	})
	return h
}

// removeWhenFree deletes the data directory; children of a killed hub may still
// write into it for a moment.
func removeWhenFree(t *testing.T, dir string) {
	t.Helper()
	eventually(t, "removing "+dir, func(context.Context) error { return os.RemoveAll(dir) })
}

func (h *hub) environ() []string {
	env := slices.DeleteFunc(os.Environ(), func(s string) bool { return strings.HasPrefix(s, "TRUNKLINE_") })
	for k, v := range h.env {
		env = append(env, k+"="+v)
	}
	return env
}

// program is what is run: this test binary, as the hub.
func (h *hub) program(t *testing.T) string {
	t.Helper()
	if h.binary != "" {
		return h.binary
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return self
}

// launch starts the process without waiting for it to be ready.
func (h *hub) launch() {
	h.t.Helper()
	if h.out != nil {
		h.earlier = append(h.earlier, h.out)
	}
	h.out = &tailBuffer{}
	h.cmd = exec.Command(h.program(h.t), "serve")
	h.cmd.Env = h.environ()
	h.cmd.SysProcAttr = &syscall.SysProcAttr{Credential: h.user}
	h.cmd.Stdout, h.cmd.Stderr = h.out, h.out
	h.cmd.WaitDelay = 5 * time.Second // its children hold the pipe a moment longer
	if err := h.cmd.Start(); err != nil {
		h.t.Fatalf("starting the hub: %v", err)
	}
	h.ended = make(chan struct{})
	go func() { _ = h.cmd.Wait(); close(h.ended) }()
}

// start launches the hub and waits until it says that it is ready.
func (h *hub) start() {
	h.t.Helper()
	h.launch()
	eventually(h.t, "the hub's readiness", func(ctx context.Context) error {
		select {
		case <-h.ended:
			h.t.Fatalf("the hub ended at its start:\n%s", h.out)
		default:
		}
		status, body, err := h.get(ctx, "/readyz")
		if err != nil {
			return err
		}
		if status != http.StatusOK {
			return fmt.Errorf("readyz: %d %s", status, body)
		}
		return nil
	})
}

// ends launches a hub that is not going to run, and returns its exit code and
// the last that it said.
func (h *hub) ends(t *testing.T) (code int, said string) {
	t.Helper()
	h.launch()
	select {
	case <-h.ended:
	case <-time.After(patience):
		t.Fatalf("the hub runs, or hangs:\n%s", h.out)
	}
	code = h.cmd.ProcessState.ExitCode()
	h.cmd = nil
	return code, h.out.String()
}

// kill ends the hub by kill -9 and returns when it is gone.
func (h *hub) kill() {
	if h.cmd == nil {
		return
	}
	_ = h.cmd.Process.Kill()
	<-h.ended
	h.cmd = nil
}

// terminate sends SIGTERM and returns the exit code.
func (h *hub) terminate() int {
	h.t.Helper()
	if err := h.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		h.t.Fatalf("ending the hub: %v", err)
	}
	select {
	case <-h.ended:
	case <-time.After(patience):
		h.t.Fatal("the hub does not end")
	}
	code := h.cmd.ProcessState.ExitCode()
	h.cmd = nil
	return code
}

func (h *hub) base() string { return "http://" + h.env["TRUNKLINE_HTTP_ADDR"] }

func (h *hub) get(ctx context.Context, path string) (int, []byte, error) {
	status, _, body, err := h.do(ctx, http.MethodGet, path, nil, nil)
	return status, body, err
}

// do makes one request with the admin key.
func (h *hub) do(ctx context.Context, method, path string, header map[string]string, body any) (int, http.Header, []byte, error) {
	var sent []byte
	if body != nil {
		b, err := json.Marshal(body)
		if err != nil {
			return 0, nil, nil, err
		}
		sent = b
	}
	req, err := http.NewRequestWithContext(ctx, method, h.base()+path, bytes.NewReader(sent))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Authorization", "Bearer "+h.env["TRUNKLINE_ADMIN_KEY"])
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err == nil {
		described(h.t, apitest.Exchange{
			Method: method, Target: path, Request: req.Header, Sent: sent,
			Status: resp.StatusCode, Answer: resp.Header, Got: b,
		})
	}
	return resp.StatusCode, resp.Header, b, err
}

// eventually polls until check has no more complaint, and fails with the last
// one when patience ends. A check that patience cut short says nothing of what it
// looked for, so the complaint before it is shown too.
func eventually(t *testing.T, what string, check func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(25 * time.Millisecond)
	defer tick.Stop()
	var before error
	for {
		began := time.Now()
		err := check(ctx)
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("waiting for %s: %v (a check of %v; the one before it said: %v)", what, err, time.Since(began), before)
		}
		before = err
		select {
		case <-ctx.Done():
			t.Fatalf("waiting for %s: %v", what, err)
		case <-tick.C:
		}
	}
}

// freePorts returns addresses that nothing listens on; all are held at once, so
// that they differ.
func freePorts(t *testing.T, n int) []string {
	t.Helper()
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs
}

// tailBuffer keeps the end of what a process printed.
type tailBuffer struct {
	mu sync.Mutex
	b  []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b = append(t.b, p...)
	if over := len(t.b) - 1<<20; over > 0 {
		t.b = t.b[over:]
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	if t == nil {
		return ""
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.b)
}
