package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"trunkline.dev/trunkline/adapters/embedded/internal/secret"
	"trunkline.dev/trunkline/adapters/internal/supervise"
)

// ErrInUse is the error of a start on data that another hub's engine has.
var ErrInUse = errors.New("in use by another hub")

// Engine is the embedded ClickHouse. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	dir    string
	sup    *supervise.Supervisor
	client *http.Client

	mu                   sync.Mutex
	httpAddr, nativeAddr string // with the real ports, once started
	password, biPassword string
}

// New makes an engine; nothing runs until Start.
func New(cfg Config) (*Engine, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	e := &Engine{cfg: cfg, dir: filepath.Join(cfg.DataDir, "clickhouse"), httpAddr: cfg.HTTPAddr, nativeAddr: cfg.NativeAddr, client: newClient()}
	e.sup = supervise.New(supervise.Config{Name: "ClickHouse", Launch: e.launch, Patience: cfg.Patience, Logger: cfg.Logger})
	return e, nil
}

// Start runs the engine and returns when it answers and has its database. If it
// dies later, or freezes, it is restarted.
func (e *Engine) Start(ctx context.Context) error {
	if e.sup.State() != supervise.Stopped {
		return errors.New("starting the embedded ClickHouse: already started")
	}
	if err := os.MkdirAll(e.dir, 0o700); err != nil {
		return fmt.Errorf("starting the embedded ClickHouse: %w", err)
	}
	if err := e.loadPasswords(); err != nil {
		return fmt.Errorf("starting the embedded ClickHouse: %w", err)
	}
	// A hub that was killed a moment ago leaves a child that is still closing
	// its tables; it also still has the ports.
	if err := waitUnlocked(ctx, filesIn(e.dir).status); err != nil {
		return err
	}
	if err := e.pickPorts(); err != nil {
		return err
	}
	if landlockVersion() == 0 {
		e.cfg.Logger.Warn("this kernel has no Landlock: whoever can log in to the embedded ClickHouse can read the files that the hub can read", slog.String("user", BIUser))
	}
	return e.sup.Start(ctx)
}

// Stop ends the engine cleanly; what still runs when ctx is done is killed, which
// loses nothing that was acknowledged. It takes 5 s while a client's pooled
// connection is open: close those first. Stop before Start and Stop twice are
// harmless.
func (e *Engine) Stop(ctx context.Context) error { return e.sup.Stop(ctx) }

// HTTPAddr is the host:port of ClickHouse's HTTP interface.
func (e *Engine) HTTPAddr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.httpAddr
}

// NativeAddr is the host:port of ClickHouse's native protocol.
func (e *Engine) NativeAddr() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.nativeAddr
}

// Password is the hub user's password, once started.
func (e *Engine) Password() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.password
}

// State is "running", "restarting" or "stopped".
func (e *Engine) State() string { return string(e.sup.State()) }

// Err is why the engine is restarting, or that it does not answer; nil while it
// does, or is stopped.
func (e *Engine) Err() error { return e.sup.Err() }

func (e *Engine) loadPasswords() (err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range []struct {
		to         *string
		configured string
		file       string
	}{
		{&e.password, e.cfg.Password, "clickhouse.password"},
		{&e.biPassword, e.cfg.BIPassword, "clickhouse-bi.password"},
	} {
		if *p.to = p.configured; p.configured != "" {
			continue
		}
		if *p.to, err = secret.LoadOrCreate(filepath.Join(e.cfg.DataDir, p.file)); err != nil {
			return err
		}
	}
	return nil
}

// pickPorts finds out whether the ports are free, before the engine does: it
// would only log it. It holds both at once, so that two zeros differ.
func (e *Engine) pickPorts() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range []struct {
		addr    *string
		want    string
		setting string
	}{
		{&e.httpAddr, e.cfg.HTTPAddr, "TRUNKLINE_CLICKHOUSE_ADDR"},
		{&e.nativeAddr, e.cfg.NativeAddr, "TRUNKLINE_CLICKHOUSE_NATIVE_ADDR"},
	} {
		l, err := net.Listen("tcp", p.want)
		if errors.Is(err, syscall.EADDRINUSE) {
			return fmt.Errorf("the embedded ClickHouse cannot listen on %s, the port is taken: set %s to another, or TRUNKLINE_CLICKHOUSE_URL to a ClickHouse of yours", p.want, p.setting)
		}
		if err != nil {
			return fmt.Errorf("starting the embedded ClickHouse (%s): %w", p.setting, err)
		}
		defer l.Close()
		host, _, err := net.SplitHostPort(p.want)
		if err != nil {
			return fmt.Errorf("starting the embedded ClickHouse (%s): %w", p.setting, err)
		}
		*p.addr = net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	}
	return nil
}

// settings is what this generation's configuration files say.
func (e *Engine) settings() (settings, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	host, httpPort, err := splitAddr(e.httpAddr)
	if err != nil {
		return settings{}, err
	}
	_, nativePort, err := splitAddr(e.nativeAddr)
	if err != nil {
		return settings{}, err
	}
	if host == "" {
		host = "0.0.0.0"
	}
	return settings{
		Dir: e.dir, Host: host, HTTPPort: httpPort, NativePort: nativePort,
		MaxMemory: e.cfg.MaxMemory, BIMemory: e.cfg.MaxMemory / 2,
		BISeconds: int(e.cfg.BIQueryTime / time.Second), BIQueries: biQueries,
		Password: e.password, BIPassword: e.biPassword,
		Grants: append(append([]string(nil), hubGrants...), e.cfg.ExtraGrants...),
	}, nil
}

func splitAddr(addr string) (host string, port int, err error) {
	host, p, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("reading an address: %w", err)
	}
	port, err = strconv.Atoi(p)
	if err != nil {
		return "", 0, fmt.Errorf("reading the port of %s: %w", addr, err)
	}
	return host, port, nil
}
