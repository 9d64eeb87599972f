package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"trunkline.dev/trunkline/adapters/procstat"
)

// adminKey is the key of the hub under test; it listens on loopback only.
const adminKey = "bench-admin-key"

// hub is the program under test, in a process of its own with a fresh data
// directory.
type hub struct {
	dir, base               string
	kafka, postgres, native string
	profiles                string
	cmd                     *exec.Cmd
	ended                   chan struct{}
	http                    *http.Client
	// peak is the most memory that the process held before forgetPeak.
	peak int64
}

// startHub starts a hub; settings are added to those that it needs.
func startHub(ctx context.Context, program string, settings ...string) (*hub, error) {
	dir, err := os.MkdirTemp("", "trunkline-bench-")
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(dir, 0o755); err != nil { // a Postgres that root starts runs as another user
		return nil, err
	}
	if program == "" {
		program = filepath.Join(dir, "trunkline")
		build := exec.CommandContext(ctx, "go", "build", "-o", program, "trunkline.dev/trunkline/cmd/trunkline")
		if out, err := build.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("building the hub: %w: %s", err, out)
		}
	}
	ports, err := freePorts(6)
	if err != nil {
		return nil, err
	}
	h := &hub{
		dir: dir, base: "http://" + ports[0], kafka: ports[1], postgres: ports[2], native: ports[4], profiles: ports[5], ended: make(chan struct{}),
		http: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}},
	}
	log, err := os.Create(filepath.Join(dir, "hub.log"))
	if err != nil {
		return nil, err
	}
	defer log.Close()
	h.cmd = exec.Command(program, "serve")
	h.cmd.Stdout, h.cmd.Stderr = log, log
	h.cmd.Env = append(os.Environ(),
		"TRUNKLINE_DATA_DIR="+filepath.Join(dir, "data"), "TRUNKLINE_HTTP_ADDR="+ports[0], "TRUNKLINE_KAFKA_ADDR="+ports[1],
		"TRUNKLINE_POSTGRES_ADDR="+ports[2], "TRUNKLINE_CLICKHOUSE_ADDR="+ports[3], "TRUNKLINE_CLICKHOUSE_NATIVE_ADDR="+ports[4],
		"TRUNKLINE_ADMIN_KEY="+adminKey, "TRUNKLINE_PROFILE_ADDR="+ports[5], "TRUNKLINE_WEBHOOKS_ALLOW_CIDRS=127.0.0.0/8", "TRUNKLINE_WEBHOOKS_ALLOW_HTTP=true")
	h.cmd.Env = append(h.cmd.Env, settings...)
	if err := h.cmd.Start(); err != nil {
		return nil, fmt.Errorf("starting the hub: %w", err)
	}
	go func() { _ = h.cmd.Wait(); close(h.ended) }()
	if err := h.awaitReady(ctx); err != nil {
		h.stop()
		return nil, err
	}
	return h, nil
}

func (h *hub) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-h.ended:
			log, _ := os.ReadFile(filepath.Join(h.dir, "hub.log"))
			return fmt.Errorf("the hub ended at its start: %s", log)
		case <-ctx.Done():
			return fmt.Errorf("waiting for the hub: %w", ctx.Err())
		case <-tick.C:
		}
		if err := h.call(ctx, adminKey, http.MethodGet, "/readyz", nil, nil); err == nil {
			return nil
		}
	}
}

// stop ends the hub and deletes its data.
func (h *hub) stop() {
	_ = h.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-h.ended:
	case <-time.After(20 * time.Second):
		_ = h.cmd.Process.Kill()
		<-h.ended
	}
	_ = os.RemoveAll(h.dir)
}

// call makes one request of the API with a key.
func (h *hub) call(ctx context.Context, key, method, path string, body, into any) error {
	var r io.Reader
	contentType := "application/json"
	switch b := body.(type) {
	case nil:
	case []byte:
		r, contentType = bytes.NewReader(b), "application/cloudevents-batch+json"
	default:
		raw, err := json.Marshal(b)
		if err != nil {
			return err
		}
		r = bytes.NewReader(raw)
	}
	req, err := http.NewRequestWithContext(ctx, method, h.base+path, r)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+key)
	req.Header.Set("Content-Type", contentType)
	resp, err := h.http.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %d %s", method, path, resp.StatusCode, answer)
	}
	if into == nil {
		return nil
	}
	return json.Unmarshal(answer, into)
}

// cpu is the processor time that the hub and all its embedded stores have used.
func (h *hub) cpu() procstat.Used { return procstat.Of(h.cmd.Process.Pid) }

func freePorts(n int) ([]string, error) {
	addrs := make([]string, n)
	for i := range addrs {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs[i] = l.Addr().String()
	}
	return addrs, nil
}
