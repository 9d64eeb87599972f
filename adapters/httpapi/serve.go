package httpapi

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// build puts the routes behind what all of them share.
func (s *Server) build() http.Handler {
	routes := s.routes()
	if s.cfg.ProbesOnly {
		routes = s.probes()
	}
	mux := http.NewServeMux()
	for _, rt := range routes {
		mux.Handle(rt.method+" "+rt.pattern, s.serve(rt))
	}
	unmatched := http.NewServeMux()
	unmatched.Handle("/", s.serve(route{flags: public, handle: func(_ http.ResponseWriter, r *http.Request, _ Principal) error {
		return s.noRoute(mux, r)
	}}))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, pattern := mux.Handler(r); pattern == "" {
			unmatched.ServeHTTP(w, r)
			return
		}
		mux.ServeHTTP(w, r)
	})
}

// noRoute tells a wrong method from a wrong path; the mux's own answers are
// plain text.
func (s *Server) noRoute(mux *http.ServeMux, r *http.Request) error {
	var allowed []string
	for _, m := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		try := &http.Request{Method: m, URL: r.URL, Host: r.Host}
		if _, pattern := mux.Handler(try); pattern != "" {
			allowed = append(allowed, m)
		}
	}
	if len(allowed) == 0 && s.cfg.ProbesOnly {
		return problem(http.StatusNotFound, "no-route", "this process serves /healthz, /readyz and /metrics; the API is served by those with the role api (TRUNKLINE_ROLES)")
	}
	if len(allowed) == 0 {
		return problem(http.StatusNotFound, "no-route", "there is nothing at %s", r.URL.Path)
	}
	return problem(http.StatusMethodNotAllowed, "method", "%s is not allowed here", r.Method).with("Allow", strings.Join(allowed, ", "))
}

// serve wraps a route: request id, panic, log, body limit, key, limits,
// position, idempotency, and the mapping of its error.
func (s *Server) serve(rt route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		id := requestID(r)
		tw := &tracked{ResponseWriter: w, paced: rt.is(streams)}
		tw.Header().Set("X-Request-Id", id)
		tw.Header().Set("X-Content-Type-Options", "nosniff")
		log := s.cfg.Logger.With(slog.String("request_id", id), slog.String("method", r.Method), slog.String("route", rt.pattern))
		defer func() {
			if v := recover(); v != nil {
				if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
					panic(v)
				}
				log.Error("a handler panicked", slog.Any("panic", v), slog.String("stack", string(debug.Stack())))
				if tw.status == 0 {
					p := problemOf(errPanic)
					p.Instance = id
					writeProblem(tw, p)
				}
			}
			log.Debug("request", slog.Int("status", tw.status), slog.Any("bytes", tw.size), slog.Float64("seconds", time.Since(began).Seconds()))
		}()
		err := s.answer(rt, tw, r, id)
		if err == nil {
			return
		}
		p := *problemOf(err)
		p.Instance = id
		// A client that has gone is nothing for an operator.
		left := errors.Is(err, context.Canceled) && r.Context().Err() != nil
		if p.Status >= http.StatusInternalServerError && !left {
			log.Error("answering a request", slog.Int("status", p.Status), slog.Any("err", cmp.Or(p.cause, err)))
		}
		if tw.status == 0 {
			writeProblem(tw, &p)
		}
	})
}

var errPanic = errors.New("a handler panicked")

func (s *Server) answer(rt route, w http.ResponseWriter, r *http.Request, id string) error {
	p, err := s.authenticate(rt, r)
	if err != nil {
		return err
	}
	if rt.is(streams) && !rt.is(anyBody) {
		if err := unhurried(w, r); err != nil {
			return err
		}
	}
	ctx, cancel := s.lifetime(rt, r)
	defer cancel()
	r = r.WithContext(ctx)
	p.RequestID = id
	// Stores refuse such text; nothing is named by it.
	if !rt.is(newID) && (!utf8.ValidString(r.URL.Path) || strings.ContainsRune(r.URL.Path, 0)) {
		return problem(http.StatusNotFound, "not-found", "the path holds bytes that no id has")
	}
	if rt.is(limited) {
		if err := s.limit(w, p); err != nil {
			return err
		}
	}
	if !rt.is(anyBody) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		if rt.is(public) {
			break // nobody without a key makes us wait
		}
		if err := s.awaitPosition(r); err != nil {
			return err
		}
	case http.MethodPost, http.MethodPatch:
		if !rt.is(anyBody) && !rt.is(public) {
			return s.once(rt, w, r, p)
		}
	}
	return rt.handle(w, r, p)
}

// unhurried lifts the deadline for reading from a request whose answer takes as long
// as it takes: net/http would end its context then. The body is read before, because
// one that does not arrive would hold the connection, and Stop, for ever.
func unhurried(w http.ResponseWriter, r *http.Request) error {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	body, err := readBody(r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	// An error means a writer without deadlines, as in tests: none to lift then.
	_ = http.NewResponseController(w).SetReadDeadline(time.Time{})
	return nil
}

// lifetime gives a request its deadline. A write goes on when its client has
// gone: half of it may be in the log already.
func (s *Server) lifetime(rt route, r *http.Request) (context.Context, context.CancelFunc) {
	if rt.is(streams) {
		ctx, cancel := context.WithCancel(r.Context())
		done := make(chan struct{})
		go func() {
			defer close(done)
			select {
			case <-s.draining:
				cancel()
			case <-ctx.Done():
			}
		}()
		return ctx, func() { cancel(); <-done }
	}
	ctx := r.Context()
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		ctx = context.WithoutCancel(ctx)
	}
	return context.WithTimeout(ctx, handleTimeout)
}

// requestID takes the caller's id where it is a sane one.
func requestID(r *http.Request) string {
	if id := r.Header.Get("X-Request-Id"); token(id, 128) {
		return id
	}
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails (crypto/rand)
	return hex.EncodeToString(b[:])
}

// token reports whether s is 1 to max visible ASCII characters.
func token(s string, max int) bool {
	if s == "" || len(s) > max {
		return false
	}
	for i := range len(s) {
		if s[i] <= ' ' || s[i] > '~' {
			return false
		}
	}
	return true
}

// packed are the codings of a body that clients use; others name a character set there.
var packed = []string{"gzip", "x-gzip", "deflate", "compress", "br", "zstd"}

// readBody reads the whole body, which MaxBytesReader bounds.
func readBody(r *http.Request) ([]byte, error) {
	if coding := strings.ToLower(strings.TrimSpace(r.Header.Get("Content-Encoding"))); slices.Contains(packed, coding) {
		return nil, problem(http.StatusBadRequest, "body", "Content-Encoding %s is not read: send the body as it is", coding)
	}
	var b bytes.Buffer
	if n := r.ContentLength; n > 0 && n <= maxBody {
		b.Grow(int(n) + bytes.MinRead)
	}
	if _, err := b.ReadFrom(r.Body); err != nil {
		return nil, bodyError(err)
	}
	return b.Bytes(), nil
}

// tracked remembers what was answered.
type tracked struct {
	http.ResponseWriter
	// paced gives each part of an answer a deadline of its own, for answers that may
	// take longer than that of all others.
	paced  bool
	status int
	size   int64
}

func (t *tracked) WriteHeader(status int) {
	if t.status == 0 {
		t.status = status
	}
	t.pace()
	t.ResponseWriter.WriteHeader(status)
}

func (t *tracked) pace() {
	if t.paced {
		_ = http.NewResponseController(t.ResponseWriter).SetWriteDeadline(time.Now().Add(writeTimeout)) // not there in tests
	}
}

func (t *tracked) Write(b []byte) (int, error) {
	if t.status == 0 {
		t.status = http.StatusOK
	}
	t.pace()
	n, err := t.ResponseWriter.Write(b)
	t.size += int64(n)
	return n, err
}

// Unwrap lets http.ResponseController reach the connection.
func (t *tracked) Unwrap() http.ResponseWriter { return t.ResponseWriter }

// Flush sends what was written so far, for streams.
func (t *tracked) Flush() { _ = http.NewResponseController(t.ResponseWriter).Flush() }
