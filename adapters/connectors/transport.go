package connectors

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// newTransport returns the way out. It uses no proxy of the environment, and
// HTTP/1.1, so that an upload that stands still holds up nothing else.
func newTransport(cfg Config) *http.Transport {
	dialer := &net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second, Control: cfg.Control}
	return &http.Transport{
		Proxy:                  nil,
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:    10 * time.Second,
		ResponseHeaderTimeout:  time.Minute, // from the end of the request
		ExpectContinueTimeout:  time.Second,
		MaxIdleConnsPerHost:    16,
		IdleConnTimeout:        60 * time.Second,
		MaxResponseHeaderBytes: 64 << 10,
		DisableCompression:     true,
		TLSNextProto:           map[string]func(string, *tls.Conn) http.RoundTripper{},
	}
}

// outward sends requests if the guard allows their URL. Addresses are judged by
// the dialer; other systems also name URLs to go to, and those are judged here.
type outward struct {
	check func(url string) error
	agent string
	next  http.RoundTripper
}

func (o outward) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := o.check(r.URL.String()); err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, fmt.Errorf("%s: %w", r.URL.Host, errForbidden{err})
	}
	r = r.Clone(r.Context())
	r.Header.Set("User-Agent", o.agent)
	return o.next.RoundTrip(r)
}

// errForbidden is the guard's refusal of a URL.
type errForbidden struct{ error }

// stay makes a client answer with a redirect instead of following it.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// errTooFar ends a chain of redirects.
var errTooFar = errors.New("more than 5 redirects")

// follow lets a client follow a few redirects; each passes the guard.
func follow(_ *http.Request, via []*http.Request) error {
	if len(via) > 5 {
		return errTooFar
	}
	return nil
}

// client is how an attempt speaks to another system: by way of its tape and the
// guard.
func (a *attempt) client() *http.Client {
	return &http.Client{Transport: a.tape, CheckRedirect: stay}
}

func (s *Set) outward() http.RoundTripper {
	return outward{check: s.cfg.CheckURL, agent: "Trunkline/" + s.cfg.Version, next: s.base}
}
