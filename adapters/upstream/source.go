// Package upstream fetches recordings from where their sources keep them. It
// survives whatever a source does: hangs, drips, lies about the length, sends a
// log-in page or a terabyte, redirects to the metadata service. It keeps nothing.
// Its one invariant: what Fetch returns nil for is whole, and is audio.
package upstream

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"
	"time"

	"trunkline.dev/trunkline/adapters/internal/retryafter"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/recording"
)

// Guard decides where requests may go, as for webhooks.
type Guard interface {
	// CheckURL says in words, safe to show, why no request is ever sent to a URL.
	CheckURL(raw string) error
	// Control is for net.Dialer.Control: it sees the address that is connected to.
	Control(network, address string, c syscall.RawConn) error
	// Forbidden reports whether an error of a request is the guard's refusal.
	Forbidden(err error) bool
}

// The defaults of Config.
const (
	DefaultConnect    = 10 * time.Second
	DefaultHeader     = 30 * time.Second
	DefaultWindow     = 30 * time.Second
	DefaultWindowMin  = 16 << 10
	DefaultAttempt    = time.Hour
	maxRedirects      = 5
	maxHeaderBytes    = 32 << 10
	sniffBytes        = 512
	copyBuffer        = 64 << 10
	idlePerHost       = 2
	idleConnsLifetime = 30 * time.Second
)

// Config configures a Source.
type Config struct {
	// Guard is required.
	Guard Guard
	// Version is the hub's, for User-Agent.
	Version string
	// Connect bounds the connecting and the TLS handshake, Header the wait for the
	// answer's head.
	Connect, Header time.Duration
	// Window and WindowMin say what is too slow: in every Window at least WindowMin
	// bytes must come, so a source that hangs or drips costs a window, no more.
	Window    time.Duration
	WindowMin int64
	// Attempt bounds a whole request.
	Attempt time.Duration
	// MaxBytes bounds a recording; default recording.MaxBytes.
	MaxBytes int64
	// TLS is for tests; nil verifies by the system's roots.
	TLS *tls.Config
	// Clock reads Retry-After dates; default time.Now.
	Clock func() time.Time
}

// Source is a recordings.Fetcher over HTTP.
type Source struct {
	cfg    Config
	client *http.Client
}

var _ recordings.Fetcher = (*Source)(nil)

// New makes a source.
func New(cfg Config) (*Source, error) {
	if cfg.Guard == nil {
		return nil, errors.New("upstream: Guard is required")
	}
	def(&cfg.Connect, DefaultConnect)
	def(&cfg.Header, DefaultHeader)
	def(&cfg.Window, DefaultWindow)
	def(&cfg.WindowMin, DefaultWindowMin)
	def(&cfg.Attempt, DefaultAttempt)
	def(&cfg.MaxBytes, recording.MaxBytes)
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Version == "" {
		cfg.Version = "dev"
	}
	s := &Source{cfg: cfg}
	conf := &tls.Config{MinVersion: tls.VersionTLS12}
	if cfg.TLS != nil {
		conf = cfg.TLS
	}
	dialer := &net.Dialer{Timeout: cfg.Connect, Control: cfg.Guard.Control}
	s.client = &http.Client{
		CheckRedirect: s.redirect,
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: conf, TLSHandshakeTimeout: cfg.Connect, ForceAttemptHTTP2: true,
			ResponseHeaderTimeout: cfg.Header, MaxResponseHeaderBytes: maxHeaderBytes,
			// What is stored is what the source keeps, not what a proxy unpacked.
			DisableCompression: true, MaxIdleConnsPerHost: idlePerHost, IdleConnTimeout: idleConnsLifetime,
		},
	}
	return s, nil
}

func def[T ~int64](v *T, or T) {
	if *v <= 0 {
		*v = or
	}
}

// Close ends idle connections.
func (s *Source) Close() { s.client.CloseIdleConnections() }

// errRedirect marks a redirect that is not followed.
var errRedirect = errors.New("redirect refused")

// redirect lets a source lead to its own store, as long as each step may be gone.
func (s *Source) redirect(r *http.Request, via []*http.Request) error {
	if len(via) > maxRedirects {
		return fmt.Errorf("%w: more than %d", errRedirect, maxRedirects)
	}
	if err := s.cfg.Guard.CheckURL(r.URL.String()); err != nil {
		return fmt.Errorf("%w: it %w", errRedirect, err)
	}
	return nil
}

// Fetch implements recordings.Fetcher.
func (s *Source) Fetch(ctx context.Context, o recordings.Offer, open func(contentType string) (io.Writer, error)) error {
	if err := s.cfg.Guard.CheckURL(o.URL); err != nil {
		return &recordings.FetchError{Reason: "the recording's URL " + err.Error(), Final: true, Refused: true, Err: err}
	}
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Attempt)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, o.URL, nil)
	if err != nil {
		return &recordings.FetchError{Reason: "the recording's URL is not a URL", Final: true}
	}
	req.Header.Set("User-Agent", "Trunkline/"+s.cfg.Version)
	req.Header.Set("Accept", "audio/*, video/*;q=0.9, application/octet-stream;q=0.8, */*;q=0.1")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := s.client.Do(req)
	if err != nil {
		return s.unanswered(err)
	}
	defer resp.Body.Close()
	if err := s.refused(resp); err != nil {
		return err
	}
	body := newSteady(resp.Body, s.cfg.Window, s.cfg.WindowMin, cancel)
	defer body.stop()
	return s.receive(resp, body, o, open)
}

// receive reads the body of a good answer into what open gives.
func (s *Source) receive(resp *http.Response, body *steady, o recordings.Offer, open func(string) (io.Writer, error)) error {
	first := make([]byte, sniffBytes)
	n, err := io.ReadFull(body, first)
	first = first[:n]
	switch {
	case errors.Is(err, io.EOF):
		return &recordings.FetchError{Reason: "the source answered with an empty body"}
	case errors.Is(err, io.ErrUnexpectedEOF) && (resp.ContentLength < 0 || int64(n) == resp.ContentLength):
	case err != nil:
		return s.broken(body, err)
	}
	declared := resp.Header.Get("Content-Type")
	contentType, ok := recording.ContentType(declared, http.DetectContentType(first), o.Format, resp.Request.URL.Path)
	if !ok {
		return &recordings.FetchError{Reason: fmt.Sprintf("the source answered with no audio but %.100q", orSniffed(declared, first))}
	}
	to, err := open(contentType)
	if err != nil {
		return err
	}
	w := &noting{w: to}
	if _, err := w.Write(first); err != nil {
		return w.err
	}
	rest := io.LimitReader(body, s.cfg.MaxBytes-int64(n)+1)
	got, err := io.CopyBuffer(struct{ io.Writer }{w}, rest, make([]byte, copyBuffer))
	switch {
	case w.err != nil:
		return w.err
	case err != nil:
		return s.broken(body, err)
	case int64(n)+got > s.cfg.MaxBytes:
		return s.tooLarge()
	}
	return nil
}

func orSniffed(declared string, first []byte) string {
	if declared == "" {
		return http.DetectContentType(first)
	}
	return declared
}

func (s *Source) tooLarge() error {
	return &recordings.FetchError{Reason: fmt.Sprintf("the recording is larger than %d MiB", s.cfg.MaxBytes>>20), Final: true}
}

// refused reads the head of an answer; nil if the body is worth reading.
func (s *Source) refused(resp *http.Response) error {
	if resp.StatusCode != http.StatusOK {
		return &recordings.FetchError{
			Reason:     fmt.Sprintf("the source answered %d %s", resp.StatusCode, http.StatusText(resp.StatusCode)),
			Final:      resp.StatusCode == http.StatusGone,
			Away:       resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode >= http.StatusInternalServerError,
			RetryAfter: retryafter.Pause(resp.Header.Get("Retry-After"), s.cfg.Clock(), recording.MaxRetryAfter),
		}
	}
	if e := resp.Header.Get("Content-Encoding"); e != "" && !strings.EqualFold(e, "identity") {
		return &recordings.FetchError{Reason: fmt.Sprintf("the source answered in the encoding %.40q, which was not asked for", e)}
	}
	if resp.ContentLength > s.cfg.MaxBytes {
		return s.tooLarge()
	}
	return nil
}

// unanswered says in words why there was no answer. The library's error holds the
// URL, which may be a secret.
func (s *Source) unanswered(err error) error {
	cause := err
	if u, ok := errors.AsType[*url.Error](err); ok {
		cause = u.Err
	}
	f := &recordings.FetchError{Err: err}
	switch dns, isDNS := errors.AsType[*net.DNSError](err); {
	case s.cfg.Guard.Forbidden(err):
		// Final: what is forbidden today is so tomorrow.
		f.Reason, f.Final, f.Refused = "the recording's address may not be reached from here: it is not public", true, true
	case errors.Is(err, errRedirect):
		f.Reason = cause.Error()
	case isDNS:
		f.Reason, f.Away = fmt.Sprintf("the name %.100q was not found", dns.Name), true
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		f.Reason, f.Away = "the source did not answer in time", true
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Reason, f.Away = "the connection was refused", true
	default:
		f.Reason, f.Away = "no answer: "+short(cause), true
	}
	return f
}

// broken says why a body ended before its end.
func (s *Source) broken(body *steady, err error) error {
	f := &recordings.FetchError{Err: err}
	switch {
	case body.tooSlow():
		f.Reason, f.Away = fmt.Sprintf("the source sent less than %d bytes in %s", s.cfg.WindowMin, s.cfg.Window), true
	case errors.Is(err, io.ErrUnexpectedEOF):
		f.Reason = "the recording ended before the length that its source announced"
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		f.Reason = fmt.Sprintf("the recording took longer than %s", s.cfg.Attempt)
	default:
		f.Reason, f.Away = "the connection broke: "+short(err), true
	}
	return f
}

func isTimeout(err error) bool {
	t, ok := errors.AsType[net.Error](err)
	return ok && t.Timeout()
}

// short is an error that may quote what a source said, such as the names in its
// certificate.
func short(err error) string { return fmt.Sprintf("%.200s", delivery.Plain(err.Error())) }

// noting remembers the error of a writer, to tell it from the reader's.
type noting struct {
	w   io.Writer
	err error
}

func (n *noting) Write(b []byte) (int, error) {
	k, err := n.w.Write(b)
	if err != nil {
		n.err = err
	}
	return k, err
}
