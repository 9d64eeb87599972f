package crm

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"syscall"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// ErrNobody says that a CRM knows nobody of a number.
var ErrNobody = errors.New("nobody has this number")

// Busy says that a CRM asked to be left alone for a while.
type Busy struct {
	Status int
	// RetryAfter is the header, as it came.
	RetryAfter string
}

func (e *Busy) Error() string {
	return fmt.Sprintf("answered %d, Retry-After: %.40q", e.Status, e.RetryAfter)
}

// Limits of what is taken from a CRM.
const (
	maxAnswer       = 64 << 10
	maxAnswerHeader = 32 << 10
)

// ClientConfig configures a Client.
type ClientConfig struct {
	// Control judges the address that is connected to, as net.Dialer.Control. It
	// is what keeps requests on behalf of customers out of our own network.
	Control func(network, address string, c syscall.RawConn) error
	// CheckURL says in words why no request may go to a URL.
	CheckURL func(url string) error
	// Sign signs a look-up with a query at a URL.
	Sign func(c tenant.Connection, query, url string) delivery.Header
	// UserAgent names us.
	UserAgent string
	// Roots verifies CRMs; nil is the system's.
	Roots *x509.CertPool
}

// Client makes look-ups. It follows no redirect and uses no proxy of the
// environment. It is safe for concurrent use.
type Client struct {
	cfg  ClientConfig
	http *http.Client
}

// NewClient makes a client.
func NewClient(cfg ClientConfig) (*Client, error) {
	if cfg.Control == nil || cfg.CheckURL == nil || cfg.Sign == nil {
		return nil, errors.New("crm: Control, CheckURL and Sign are needed")
	}
	dialer := &net.Dialer{Timeout: patience, Control: cfg.Control}
	return &Client{cfg: cfg, http: &http.Client{
		Transport: &http.Transport{
			DialContext: dialer.DialContext, TLSClientConfig: &tls.Config{RootCAs: cfg.Roots, MinVersion: tls.VersionTLS12},
			TLSHandshakeTimeout: patience, MaxIdleConnsPerHost: maxPerConnection, IdleConnTimeout: time.Minute,
			MaxResponseHeaderBytes: maxAnswerHeader, DisableCompression: true, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, nil
}

// Close ends idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Ask asks a connection's CRM who has a number. ErrNobody is its 404, a *Busy its 429
// or 503; every other answer but 200 is an error that says what came.
func (c *Client) Ask(ctx context.Context, conn tenant.Connection, number string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	where, err := at(conn.Lookup.URL, number)
	if err != nil {
		return nil, err
	}
	if err := c.cfg.CheckURL(where.String()); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, where.String(), nil)
	if err != nil {
		return nil, err
	}
	sign := c.cfg.Sign(conn, where.RawQuery, where.String())
	req.Header[sign.Name] = []string{sign.Value}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, withoutURL(err)
	}
	defer func() { _ = resp.Body.Close() }()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound:
		return nil, ErrNobody
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		return nil, &Busy{Status: resp.StatusCode, RetryAfter: resp.Header.Get("Retry-After")}
	default:
		return nil, fmt.Errorf("answered %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return nil, fmt.Errorf("reading the answer: %w", err)
	}
	if len(body) > maxAnswer {
		return nil, fmt.Errorf("the answer is longer than %d bytes", maxAnswer)
	}
	return body, nil
}

// at is a CRM's URL with the number in its query.
func at(base, number string) (*url.URL, error) {
	u, err := url.Parse(base)
	if err != nil {
		return nil, errors.New("the look-up URL cannot be read")
	}
	if u.RawQuery != "" {
		u.RawQuery += "&"
	}
	u.RawQuery += "number=" + url.QueryEscape(number)
	u.Fragment = ""
	return u, nil
}

// withoutURL takes the URL out of an error: it may hold the customer's token,
// and the number.
func withoutURL(err error) error {
	if e, ok := errors.AsType[*url.Error](err); ok {
		return e.Err
	}
	return err
}
