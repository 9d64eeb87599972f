package clickhouse

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/embedded/internal/address"
	"trunkline.dev/trunkline/adapters/internal/supervise"
)

const (
	// lockWait is how long a start waits for the child of a killed hub to close.
	lockWait = 10 * time.Second
	// pollEvery is the pace of waiting for the engine's lock and first answer.
	pollEvery = 20 * time.Millisecond
	// pingPatience is how long a start waits for one answer before it asks again.
	pingPatience = 10 * time.Second
	// outputTail is how much of the engine's last words an error repeats.
	outputTail = 2000
)

// generation is one run of the engine.
type generation struct {
	*supervise.Process
	pipe   *os.File // the engine runs until this closes
	master *os.File // our end of its terminal
	output string   // the file with its last words
	ask    func(context.Context) error
}

// launch starts the engine and waits until it answers.
func (e *Engine) launch(ctx context.Context, working func()) (supervise.Child, error) {
	s, err := e.settings()
	if err != nil {
		return nil, err
	}
	if err := s.write(); err != nil {
		return nil, err
	}
	g, err := e.exec(s)
	if err != nil {
		return nil, fmt.Errorf("starting the embedded ClickHouse: %w", err)
	}
	if err := e.awaitReady(ctx, g, working); err != nil {
		stop, cancel := context.WithCancel(context.WithoutCancel(ctx))
		cancel() // no time for manners: it never served
		_ = g.Stop(stop)
		return nil, fmt.Errorf("starting the embedded ClickHouse: %w", err)
	}
	return g, nil
}

func (e *Engine) exec(s settings) (_ *generation, err error) {
	master, slave, err := openPTY()
	if err != nil {
		return nil, err
	}
	defer slave.Close()
	read, write, err := os.Pipe()
	if err != nil {
		return nil, errors.Join(err, master.Close())
	}
	defer read.Close()
	defer func() {
		if err != nil {
			err = errors.Join(err, master.Close(), write.Close())
		}
	}()
	f := filesIn(e.dir)
	// A file, not a pipe: the child must be able to write while it closes after
	// our death.
	output, err := os.OpenFile(f.output, os.O_CREATE|os.O_TRUNC|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	defer output.Close()

	// /proc/self/exe is this very program even if its file was replaced since.
	cmd := exec.Command("/proc/self/exe",
		"--config-file", f.config, "--interactive", "--disable_suggestion",
		// Read to its end before it is run: so the engine sits on our pipe.
		"--queries-file", f.listen, "--queries-file", "/dev/fd/3")
	cmd.Args[0] = "trunkline-clickhouse"
	cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, output, output
	cmd.ExtraFiles = []*os.File{read} // fd 3
	cmd.Dir = e.dir
	order, err := json.Marshal(childOrder{Lib: e.cfg.Lib, Dir: e.dir, Ports: []uint64{uint64(s.HTTPPort), uint64(s.NativePort)}})
	if err != nil {
		return nil, err
	}
	// Not our environment: it holds the hub's secrets.
	cmd.Env = []string{childEnv + "=" + string(order), "HOME=" + e.dir, "TMPDIR=" + e.dir, "TERM=dumb", "TZ=UTC", "PATH=" + os.Getenv("PATH")}
	// A Ctrl-C at the hub's terminal is for the hub.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p, err := supervise.Exec(cmd)
	if err != nil {
		return nil, err
	}
	go func() { _, _ = io.Copy(io.Discard, master) }() // ends when the terminal closes
	return &generation{Process: p, pipe: write, master: master, output: f.output, ask: func(ctx context.Context) error { return e.query(ctx, "SELECT 1") }}, nil
}

// Err is how the engine ended, with its last words.
func (g *generation) Err() error {
	err := g.Process.Err()
	words := tail(g.output)
	switch {
	case err == nil && words == "":
		return nil
	case err == nil:
		return errors.New(words)
	case words == "":
		return err
	}
	return fmt.Errorf("%w: %s", err, words)
}

// Ask runs a query, on a connection of its own. One that is refused is answered.
func (g *generation) Ask(ctx context.Context) { _ = g.ask(ctx) }

// Stop closes the pipe; the engine then closes its ports and its tables.
func (g *generation) Stop(ctx context.Context) error {
	_ = g.pipe.Close()
	_ = g.master.Close()
	return g.End(ctx, os.Kill)
}

// awaitReady returns when HTTP answers and our user has its database, which also
// proves that it is our engine that answers on that port. Before it answers it reads
// its tables, and calls working for as long as it is seen to do so.
func (e *Engine) awaitReady(ctx context.Context, g *generation, working func()) error {
	seen := effortOf(g.Pid())
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		select {
		case <-g.Exited():
			return fmt.Errorf("the engine ended: %w", g.Err())
		case <-ctx.Done():
			return fmt.Errorf("waiting for the engine's first answer: %w", context.Cause(ctx))
		case <-t.C:
		}
		if now := effortOf(g.Pid()); now.since(seen) {
			working()
			seen = now
		}
		if !e.ping(ctx) {
			continue
		}
		// It holds the passwords' digests, and everybody who can log in can read
		// the engine's own directory (see sandbox.go).
		if err := os.Remove(filesIn(e.dir).users); err != nil {
			return err
		}
		return e.query(ctx, "CREATE DATABASE IF NOT EXISTS "+Database)
	}
}

// newClient keeps no idle connection: an open one delays the engine's end by 5 s. It
// has no timeout of its own, which would pass for an answer of a frozen engine.
func newClient() *http.Client {
	return &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
}

func (e *Engine) ping(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, pingPatience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address.Dialable(e.HTTPAddr())+"/ping", nil)
	if err != nil {
		return false
	}
	resp, err := e.client.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64))
	return err == nil && resp.StatusCode == http.StatusOK && string(b) == "Ok.\n"
}

// query runs one statement as the hub's user.
func (e *Engine) query(ctx context.Context, sql string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address.Dialable(e.HTTPAddr())+"/", strings.NewReader(sql))
	if err != nil {
		return err
	}
	req.Header.Set("X-ClickHouse-User", User)
	req.Header.Set("X-ClickHouse-Key", e.Password())
	resp, err := e.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, outputTail))
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", sql, strings.TrimSpace(string(b)))
	}
	return nil
}

// waitUnlocked returns when no engine holds the data any more.
func waitUnlocked(ctx context.Context, status string) error {
	ctx, cancel := context.WithTimeout(ctx, lockWait)
	defer cancel()
	t := time.NewTicker(pollEvery)
	defer t.Stop()
	for {
		held, err := isLocked(status)
		if err != nil {
			return fmt.Errorf("starting the embedded ClickHouse: %w", err)
		}
		if !held {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("starting the embedded ClickHouse: %s is %w: stop that one, or set TRUNKLINE_DATA_DIR", filepath.Dir(status), ErrInUse)
		case <-t.C:
		}
	}
}

func isLocked(status string) (bool, error) {
	f, err := os.OpenFile(status, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close() // lets the lock go
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// tail is the end of a file, on one line.
func tail(file string) string {
	b, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	if len(b) > outputTail {
		b = b[len(b)-outputTail:]
	}
	return strings.Join(strings.Fields(string(b)), " ")
}
