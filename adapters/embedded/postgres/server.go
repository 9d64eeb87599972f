package postgres

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/embedded/internal/address"
	"trunkline.dev/trunkline/adapters/embedded/internal/secret"
	"trunkline.dev/trunkline/adapters/internal/supervise"
)

// ErrInUse is the error of a start on data that another hub's server has.
var ErrInUse = errors.New("in use by another hub")

// Server is the embedded Postgres. It is safe for concurrent use.
type Server struct {
	cfg    Config
	pgdata string
	sup    *supervise.Supervisor
	// rootCache is where root fetches binaries that must be in everybody's reach.
	rootCache string
	// installed is findBinaries; tests of a machine without Postgres replace it.
	installed func(ctx context.Context, explicit string, major int) (binaries, bool, error)

	// Set by Start before the first launch, and not changed while it runs.
	acct account
	bin  binaries

	mu       sync.Mutex
	addr     string // with the real port, once started
	password string
	lock     *os.File // held from Start to Stop
}

// New makes a server; nothing runs until Start.
func New(cfg Config) (*Server, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg, pgdata: filepath.Join(cfg.DataDir, "postgres"), addr: cfg.Addr, rootCache: "/var/cache/trunkline/postgres", installed: findBinaries}
	s.sup = supervise.New(supervise.Config{Name: "Postgres", Launch: s.launch, Patience: cfg.Patience, Logger: cfg.Logger})
	return s, nil
}

// Start makes the data directory if there is none, runs the server and returns
// when it lets the hub's role in. If it dies later, or freezes, it is restarted.
func (s *Server) Start(ctx context.Context) error {
	if s.sup.State() != supervise.Stopped {
		return errors.New("starting the embedded Postgres: already started")
	}
	err := s.prepareStart(ctx)
	if err == nil {
		err = s.sup.Start(ctx)
	}
	if err != nil {
		s.release()
		return fmt.Errorf("starting the embedded Postgres: %w", err)
	}
	return nil
}

// Stop ends the server by a fast shutdown: open transactions are rolled back. If
// ctx is done first it ends at once and recovers at its next start. Stop before
// Start and Stop twice are harmless.
func (s *Server) Stop(ctx context.Context) error {
	err := s.sup.Stop(ctx)
	s.release()
	return err
}

// Addr is the host:port the server listens on.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addr
}

// URL is how the hub's role reaches its database, password included.
func (s *Server) URL() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	u := url.URL{Scheme: "postgres", User: url.UserPassword(User, s.password), Host: address.Dialable(s.addr), Path: Database, RawQuery: "sslmode=disable"}
	return u.String()
}

// State is "running", "restarting" or "stopped".
func (s *Server) State() string { return string(s.sup.State()) }

// Err is why the server is restarting, or that it does not answer; nil while it
// does, or is stopped.
func (s *Server) Err() error { return s.sup.Err() }

// prepareStart brings everything about to where a launch only has to start the
// server: account, binaries, data, password, port.
func (s *Server) prepareStart(ctx context.Context) (err error) {
	if err := os.MkdirAll(s.cfg.DataDir, 0o755); err != nil {
		return err
	}
	if s.acct, err = chooseAccount(s.pgdata); err != nil {
		return err
	}
	// Before an orphan is looked for: the server of a hub that runs is none.
	if err := s.claim(); err != nil {
		return err
	}
	if err := endOrphan(ctx, s.pgdata); err != nil {
		return err
	}
	if err := s.pickPort(); err != nil {
		return err
	}
	major, err := majorOf(s.pgdata)
	if err != nil {
		return err
	}
	if s.bin, err = s.chooseBinaries(ctx, major); err != nil {
		return err
	}
	return s.prepareData(ctx, major)
}

// claim keeps a second hub off the same data: it would take the first one's
// server for an orphan and end it. The kernel lets go of the lock when a hub is
// killed.
func (s *Server) claim() error {
	// Readable by all, so that data that changes hands can still be locked.
	f, err := os.OpenFile(s.pgdata+".lock", os.O_CREATE|os.O_RDONLY, 0o644)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err != nil {
		f.Close()
	}
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("%s is %w: stop that one, or set TRUNKLINE_DATA_DIR", s.pgdata, ErrInUse)
	}
	if err != nil {
		return fmt.Errorf("locking %s.lock: %w", s.pgdata, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lock = f
	return nil
}

// release lets the next hub have the data. It may be called without a claim.
func (s *Server) release() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lock != nil {
		s.lock.Close()
		s.lock = nil
	}
}

func (s *Server) chooseBinaries(ctx context.Context, major int) (binaries, error) {
	b, ok, err := s.installed(ctx, s.cfg.BinDir, major)
	if err == nil && !ok {
		b, err = fetchBinaries(ctx, s.cacheDir())
	}
	if err != nil {
		return binaries{}, err
	}
	if major != 0 && b.major != major {
		return binaries{}, fmt.Errorf("%s was made by Postgres %d, and only version %d is here: install version %d, or move the directory away and have it rebuilt from the log", s.pgdata, major, b.major, major)
	}
	if dir := s.acct.blockedBy(b.path("postgres")); dir != "" {
		return binaries{}, fmt.Errorf("the programs in %s cannot be run as uid %d, which cannot enter %s", b.dir, s.acct.uid, dir)
	}
	return b, nil
}

// cacheDir is the configured one unless the server's account cannot enter it: a
// capability opens it to the server's files, but not to its own programs, whose
// permission it asks for in a way that capabilities do not count in.
func (s *Server) cacheDir() string {
	if s.acct.blockedBy(filepath.Join(s.cfg.CacheDir, "bin")) != "" {
		return s.rootCache
	}
	return s.cfg.CacheDir
}

// prepareData makes the data directory, or gives the role a new password when
// its file was lost.
func (s *Server) prepareData(ctx context.Context, major int) error {
	file := filepath.Join(s.cfg.DataDir, "postgres.password")
	_, statErr := os.Stat(file)
	password, err := secret.LoadOrCreate(file)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.password = password
	s.mu.Unlock()
	if major == 0 {
		return s.create(ctx, password)
	}
	if statErr != nil {
		return s.setPassword(ctx, password)
	}
	return nil
}

// pickPort finds out whether the port is free before the server does: it would
// only log it.
func (s *Server) pickPort() error {
	l, err := net.Listen("tcp", s.cfg.Addr)
	if errors.Is(err, syscall.EADDRINUSE) {
		return fmt.Errorf("%s is taken: set TRUNKLINE_POSTGRES_ADDR to another address, or TRUNKLINE_POSTGRES_URL to a Postgres of yours", s.cfg.Addr)
	}
	if err != nil {
		return fmt.Errorf("TRUNKLINE_POSTGRES_ADDR: %w", err)
	}
	defer l.Close()
	host, _, err := net.SplitHostPort(s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("TRUNKLINE_POSTGRES_ADDR: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.addr = net.JoinHostPort(host, strconv.Itoa(l.Addr().(*net.TCPAddr).Port))
	return nil
}
