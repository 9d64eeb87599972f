package httpapi

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
)

// once runs a POST or a PATCH at most once per Idempotency-Key: the same key and
// request get the first answer again. A list's key has Idempotency-Keys of its own.
func (s *Server) once(rt route, w http.ResponseWriter, r *http.Request, p Principal) error {
	key := r.Header.Get("Idempotency-Key")
	if key == "" {
		return rt.handle(w, r, p)
	}
	if !token(key, 255) {
		return problem(http.StatusBadRequest, "idempotency-key", "an Idempotency-Key is 1 to 255 visible ASCII characters")
	}
	body, err := readBody(r)
	if err != nil {
		return err
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	if p.List != nil {
		key = p.List.ID + " " + key
	}
	same := fingerprint(r, body)
	p.Once = onceID(key, same, s.cfg.Clock())
	if s.cfg.Idempotency == nil {
		return rt.handle(w, r, p)
	}
	where := r.Method + " " + r.URL.Path
	first, stored, err := s.begin(r, p, key, where, same)
	switch {
	case errors.Is(err, commands.ErrInProgress):
		return problem(http.StatusConflict, "in-progress", "%s", err).with("Retry-After", "1")
	case errors.Is(err, commands.ErrMismatch):
		return problem(http.StatusUnprocessableEntity, "idempotency-mismatch", "%s", err)
	case err != nil:
		// Event ids derive from the key too, so the log stays exact without it.
		s.warn("idempotency store is away", err)
		return rt.handle(w, r, p)
	case stored != nil:
		replay(w, stored)
		return nil
	}
	p.Once = onceID(key, same, first)
	return s.keep(rt, w, r, p, key, where)
}

// onceID names what a request does, for as long as its key is kept: a key may be used
// again once it was forgotten, and what is done then is something else. When the store
// is away that is told by the day, so an answer that was lost then, and is asked for
// again past midnight (UTC), may be given to a second fact.
func onceID(key string, fingerprint [32]byte, first time.Time) string {
	const day = 24 * 60 * 60
	return fmt.Sprintf("%s %x %d", key, fingerprint, first.Unix()/day)
}

func (s *Server) begin(r *http.Request, p Principal, key, where string, fingerprint [32]byte) (time.Time, *commands.StoredResponse, error) {
	ctx, cancel := context.WithTimeout(r.Context(), s.cfg.StoreWait)
	defer cancel()
	return s.cfg.Idempotency.Begin(ctx, p.Org.ID, key, where, fingerprint)
}

// keep runs the handler and stores its answer.
func (s *Server) keep(rt route, w http.ResponseWriter, r *http.Request, p Principal, key, where string) error {
	cw := &captured{ResponseWriter: w}
	finished := false
	// A panic must give the reservation up as well.
	defer func() {
		if !finished {
			s.settle(r, func(ctx context.Context) error { return s.cfg.Idempotency.Abandon(ctx, p.Org.ID, key, where) })
		}
	}()
	if err := rt.handle(cw, r, p); err != nil {
		pr := *problemOf(err)
		pr.Instance = p.RequestID
		if !final(r.Method, pr.Status, cw.Header()) {
			return err
		}
		writeProblem(cw, &pr)
	}
	if !final(r.Method, cw.status, cw.Header()) {
		return nil
	}
	finished = true
	s.settle(r, func(ctx context.Context) error {
		return s.cfg.Idempotency.Finish(ctx, p.Org.ID, key, where, commands.StoredResponse{Status: cw.status, Header: kept(cw.Header()), Body: cw.body.Bytes()})
	})
	return nil
}

// settle runs the last step of a reservation, even past the request's deadline.
func (s *Server) settle(r *http.Request, step func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), s.cfg.StoreWait)
	defer cancel()
	if err := step(ctx); err != nil {
		s.warn("settling an idempotency key", err)
	}
}

// final reports whether the same request is answered the same again. What is refused
// as things stand (not there, in another state) is not, once they have changed; unless
// the request left a fact in the log, which has its verdict. Of a POST the first answer
// counts, whatever it was: CONTRACT says so.
func final(method string, status int, h http.Header) bool {
	switch status {
	case 0, http.StatusUnauthorized, http.StatusRequestTimeout, http.StatusTooManyRequests:
		return false
	case http.StatusNotFound, http.StatusConflict:
		return method == http.MethodPost || h.Get(positionHeader) != ""
	}
	return status < http.StatusInternalServerError
}

// fingerprint is equal for equal requests. Of the headers only those count that
// carry facts: CloudEvents in binary mode.
func fingerprint(r *http.Request, body []byte) [32]byte {
	h := sha256.New()
	_, _ = io.WriteString(h, r.Method+" "+r.URL.RequestURI()+"\n")
	var names []string
	for k := range r.Header {
		if l := strings.ToLower(k); l == "content-type" || strings.HasPrefix(l, "ce-") {
			names = append(names, k)
		}
	}
	slices.Sort(names)
	for _, k := range names {
		_, _ = io.WriteString(h, k+": "+strings.Join(r.Header[k], ",")+"\n")
	}
	_, _ = h.Write(body)
	return [32]byte(h.Sum(nil))
}

// kept are the headers that belong to the answer itself.
func kept(h http.Header) http.Header {
	out := make(http.Header)
	for _, k := range []string{"Content-Type", "Location", positionHeader} {
		if v := h.Values(k); len(v) > 0 {
			out[k] = slices.Clone(v)
		}
	}
	return out
}

func replay(w http.ResponseWriter, r *commands.StoredResponse) {
	for k, vs := range r.Header {
		w.Header()[k] = vs
	}
	w.Header().Set("Idempotency-Replayed", "true")
	w.WriteHeader(r.Status)
	_, _ = w.Write(r.Body)
}

// captured keeps a copy of what was answered. Answers of POSTs are small.
type captured struct {
	http.ResponseWriter
	status int
	body   bytes.Buffer
}

func (c *captured) WriteHeader(status int) {
	if c.status == 0 {
		c.status = status
	}
	c.ResponseWriter.WriteHeader(status)
}

func (c *captured) Write(b []byte) (int, error) {
	if c.status == 0 {
		c.status = http.StatusOK
	}
	c.body.Write(b)
	return c.ResponseWriter.Write(b)
}

// Unwrap lets http.ResponseController reach the connection.
func (c *captured) Unwrap() http.ResponseWriter { return c.ResponseWriter }
