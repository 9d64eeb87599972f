package httpapi

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"trunkline.dev/trunkline/adapters/internal/repeated"
)

// The deadlines of a connection. net/http has none by default, and one slow
// client per connection would be enough to hold them all.
const (
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 15 * time.Second
	writeTimeout      = 30 * time.Second
	idleTimeout       = 60 * time.Second
	maxHeaderBytes    = 32 << 10
	// handleTimeout leaves a handler time to say that it took too long.
	handleTimeout = writeTimeout - 5*time.Second
	// maxBody is the largest body of an ordinary request.
	maxBody = 1 << 20
)

// Server serves the API.
type Server struct {
	cfg      Config
	handler  http.Handler
	limits   *limiter
	warnings repeated.Words
	document []byte
	// readying joins those who ask whether the hub is ready.
	readying singleflight.Group

	mu       sync.Mutex
	http     *http.Server
	listener net.Listener
	served   chan struct{}
	// draining is closed when Stop begins; it ends the streams.
	draining chan struct{}
	drain    func()
}

// New makes a server. It does not listen yet.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	s := &Server{cfg: cfg.withDefaults()}
	s.limits = newLimiter(s.cfg.LeadsPerMinute, time.Minute)
	s.draining = make(chan struct{})
	s.drain = sync.OnceFunc(func() { close(s.draining) })
	doc, err := jsonOf(s.cfg.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("reading the API description: %w", err)
	}
	s.document = doc
	s.handler = s.build()
	return s, nil
}

// Handler is the whole API, for tests and for serving it elsewhere.
func (s *Server) Handler() http.Handler { return s.handler }

// Start listens and serves until Stop. Starting twice does nothing.
func (s *Server) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.http != nil {
		return nil
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", s.cfg.Addr)
	if err != nil {
		return fmt.Errorf("listening on %s: %w", s.cfg.Addr, err)
	}
	s.listener = l
	s.served = make(chan struct{})
	s.http = s.connections()
	go func(srv *http.Server, done chan struct{}) {
		defer close(done)
		if err := srv.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.cfg.Logger.Error("serving the API ended", slog.Any("err", err))
		}
	}(s.http, s.served)
	return nil
}

// connections serves the API on connections, each with its deadlines.
func (s *Server) connections() *http.Server {
	return &http.Server{
		Handler:           s.handler,
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		WriteTimeout:      writeTimeout,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeaderBytes,
	}
}

// Addr is where the server listens, "" before Start.
func (s *Server) Addr() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listener == nil {
		return ""
	}
	return s.listener.Addr().String()
}

// Stop takes no new requests, ends streams, and waits for the requests under
// way until ctx ends; then it cuts them. Stopping before Start and stopping
// twice do nothing.
func (s *Server) Stop(ctx context.Context) error {
	s.mu.Lock()
	srv, served := s.http, s.served
	s.mu.Unlock()
	s.drain()
	if srv == nil {
		return nil
	}
	err := srv.Shutdown(ctx)
	if err != nil {
		_ = srv.Close()
		err = fmt.Errorf("draining the API: %w", err)
	}
	<-served
	return err
}
