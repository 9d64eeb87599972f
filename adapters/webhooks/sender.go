package webhooks

import (
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"syscall"
	"time"

	"trunkline.dev/trunkline/adapters/internal/retryafter"
	"trunkline.dev/trunkline/domain/delivery"
)

// Request is one attempt, ready to be sent.
type Request struct {
	// Method is POST unless set.
	Method string
	URL    string
	// Headers are sent as they are, their names in this case.
	Headers []delivery.Header
	Body    []byte
	// Org and EntityID say what it tells of; empty where it tells of nothing.
	Org, EntityID string
	// Timeout is the deadline of the whole attempt: name look-up, connection,
	// TLS, request, answer and its body.
	Timeout time.Duration
}

// Result is how an attempt went.
type Result struct {
	StartedAt time.Time
	Duration  time.Duration
	// StatusCode is 0 when there was no answer.
	StatusCode int
	Headers    []delivery.Header
	// Body is what was kept of the answer's body.
	Body []byte
	// Error says in words why the attempt failed; empty on success. It may quote the
	// receiver (see delivery.Plain).
	Error string
	// RetryAfter is the time before which the receiver wants no other request;
	// zero if it did not say.
	RetryAfter time.Time
}

// Delivered reports whether the receiver took it: any 2xx, its answer read.
func (r Result) Delivered() bool {
	return r.Error == "" && r.StatusCode >= 200 && r.StatusCode < 300
}

// Attempter makes one attempt. It never returns later than the request's
// timeout by more than a scheduling delay, whatever the receiver does.
type Attempter interface {
	Attempt(ctx context.Context, r Request) Result
}

// Limits of what is taken from a receiver.
const (
	// MaxResponseBody is how much of an answer's body is kept. The rest is not
	// read: the connection is closed instead.
	MaxResponseBody = 64 << 10
	// MaxResponseHeader bounds an answer's headers in bytes.
	MaxResponseHeader = 32 << 10
)

// SenderConfig configures a Sender.
type SenderConfig struct {
	// Guard decides where requests may go. Required.
	Guard *Guard
	// IdlePerHost is how many idle connections to a host are kept. Many endpoints
	// may live on one host, so it should be what may be under way in all: a
	// connection that finds no room is closed and costs a new one. Default 1024.
	IdlePerHost int
	// Roots verifies receivers; nil is the system's.
	Roots *x509.CertPool
	// Resolver looks names up; nil is Go's.
	Resolver *net.Resolver
	// Clock is time.Now unless set.
	Clock func() time.Time
}

// Sender makes single HTTP attempts. It speaks HTTP/1.1, where header names
// keep their case, follows no redirect, uses no proxy of the environment and
// does not unpack compressed answers. It is safe for concurrent use.
type Sender struct {
	// transport makes single round trips. An http.Client would copy every request
	// for redirects that are never followed.
	transport *http.Transport
	clock     func() time.Time
}

// NewSender returns a Sender.
func NewSender(cfg SenderConfig) (*Sender, error) {
	if cfg.Guard == nil {
		return nil, errors.New("webhooks: a sender needs a guard")
	}
	if cfg.IdlePerHost <= 0 {
		cfg.IdlePerHost = DefaultMaxSockets
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Resolver: cfg.Resolver, Control: cfg.Guard.Control}
	transport := &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		DisableCompression:     true,
		MaxIdleConns:           4096,
		MaxIdleConnsPerHost:    cfg.IdlePerHost,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: MaxResponseHeader,
		// A map without h2 keeps the client at HTTP/1.1.
		TLSNextProto: map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
	return &Sender{clock: cfg.Clock, transport: transport}, nil
}

// Close ends idle connections.
func (s *Sender) Close() { s.transport.CloseIdleConnections() }

// Attempt implements Attempter.
func (s *Sender) Attempt(ctx context.Context, r Request) Result {
	start := s.clock()
	res := Result{StartedAt: start}
	ctx, cancel := context.WithTimeout(ctx, r.Timeout)
	defer cancel()
	err := s.do(ctx, r, &res)
	res.Duration = max(0, s.clock().Sub(start)) // the clock may be set meanwhile
	switch {
	case err != nil:
		res.Error = words(ctx, err, r.Timeout)
	case res.StatusCode >= 300 && res.StatusCode < 400:
		res.Error = fmt.Sprintf("answered %d: redirects are not followed", res.StatusCode)
	case !res.Delivered():
		res.Error = fmt.Sprintf("answered %d", res.StatusCode)
	}
	return res
}

func (s *Sender) do(ctx context.Context, r Request, res *Result) error {
	req, err := http.NewRequestWithContext(ctx, cmp.Or(r.Method, http.MethodPost), r.URL, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	h := headersOf(r)
	// net/http takes a present but empty key as "may be repeated" and sends
	// nothing of it. A kept-alive connection that the receiver closed meanwhile
	// is then replaced, instead of costing the delivery an attempt.
	h["X-Idempotency-Key"] = nil
	req.Header = h
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	res.StatusCode = resp.StatusCode
	res.Headers = flatten(resp.Header)
	res.RetryAfter = retryafter.At(resp.Header.Get("Retry-After"), s.clock())
	if resp.StatusCode == http.StatusSwitchingProtocols {
		// What follows is the bare connection, which no deadline ends.
		return nil
	}
	if res.Body, err = bodyOf(resp); err != nil {
		return fmt.Errorf("reading the answer: %w", err)
	}
	return nil
}

// headersOf are the headers of a request; the values stand in one array.
func headersOf(r Request) http.Header {
	h := make(http.Header, len(r.Headers)+1)
	values := make([]string, len(r.Headers))
	for i, kv := range r.Headers {
		values[i] = kv.Value
		if others, ok := h[kv.Name]; ok {
			h[kv.Name] = append(others, kv.Value)
			continue
		}
		h[kv.Name] = values[i : i+1 : i+1]
	}
	return h
}

// shortAnswer is up to where room for an answer is made because it says that it
// will come; for more there is room as it comes.
const shortAnswer = 4 << 10

// bodyOf reads what is kept of an answer's body.
func bodyOf(resp *http.Response) ([]byte, error) {
	if resp.ContentLength < 0 || resp.ContentLength > shortAnswer {
		return io.ReadAll(io.LimitReader(resp.Body, MaxResponseBody))
	}
	body := make([]byte, resp.ContentLength)
	n, err := io.ReadFull(resp.Body, body)
	return body[:n], err
}

func flatten(h http.Header) []delivery.Header {
	if len(h) == 0 {
		return nil
	}
	out := make([]delivery.Header, 0, len(h))
	for name, values := range h {
		for _, v := range values {
			out = append(out, delivery.Header{Name: name, Value: strings.ToValidUTF8(v, "\uFFFD")})
		}
	}
	slices.SortStableFunc(out, func(a, b delivery.Header) int { return strings.Compare(a.Name, b.Name) })
	return out
}

// closedIdle reports whether the receiver closed a connection before anything was
// asked over it, for which net/http has an error without a name.
func closedIdle(err error) bool {
	return strings.HasSuffix(err.Error(), "http: server closed idle connection")
}

// words says what went wrong so that the owner of the endpoint can act on it.
func words(ctx context.Context, err error, timeout time.Duration) string {
	var (
		dns    *net.DNSError
		cert   *tls.CertificateVerificationError
		record tls.RecordHeaderError
	)
	switch {
	case forbidden(err):
		return "the address is not public: webhooks go to public addresses only"
	case errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil:
		return fmt.Sprintf("no complete answer within %s", timeout)
	case errors.Is(err, context.Canceled):
		return "interrupted: the hub stopped"
	case errors.As(err, &dns):
		return "the host name cannot be resolved"
	case errors.As(err, &cert):
		return "the certificate is not valid: " + cert.Err.Error()
	case errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return "the receiver does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), closedIdle(err):
		return "the receiver closed the connection before it had answered"
	case strings.Contains(err.Error(), "server response headers exceeded"):
		return fmt.Sprintf("the answer's headers exceed %d bytes", MaxResponseHeader)
	}
	var timed net.Error
	if errors.As(err, &timed) && timed.Timeout() {
		return "timed out while connecting"
	}
	return "the request failed: " + innermost(err)
}

// innermost leaves out the URL, which may carry the customer's token.
func innermost(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}
