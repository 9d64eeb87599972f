package webhooks

import (
	"bufio"
	"crypto/x509"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/delivery"
)

func newSender(t *testing.T, change ...func(*SenderConfig)) *Sender {
	t.Helper()
	cfg := SenderConfig{Guard: NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true)}
	for _, f := range change {
		f(&cfg)
	}
	s, err := NewSender(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// attempt sends a small request. The deadline is far, so that a slow machine
// does not meet it.
func attempt(t *testing.T, s *Sender, url string) Result {
	t.Helper()
	return s.Attempt(t.Context(), Request{URL: url, Body: []byte(`{}`), Timeout: time.Minute})
}

// raw serves connections by hand: what a receiver does wrong, net/http cannot.
func raw(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go serve(c)
		}
	}()
	return "http://" + l.Addr().String() + "/hook"
}

// readRequest reads one request as it stands on the wire.
func readRequest(c net.Conn) string {
	var head strings.Builder
	r := bufio.NewReader(c)
	for {
		line, err := r.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String()
		}
	}
}

func TestHeaderNamesKeepTheirCaseOnTheWire(t *testing.T) {
	t.Parallel()
	got := make(chan string, 1)
	url := raw(t, func(c net.Conn) {
		got <- readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 204 No Content\r\n\r\n")
	})
	res := newSender(t).Attempt(t.Context(), Request{
		URL: url, Body: []byte(`{"a":1}`), Timeout: 5 * time.Second,
		Headers: []delivery.Header{
			{Name: "Content-Type", Value: "application/json"},
			{Name: "User-Agent", Value: "Trunkline/1.2.3"},
			{Name: "webhook-id", Value: "abc"},
			{Name: "X-DialNote-Signature", Value: "sha256=00"},
			{Name: "x-lower-own", Value: "1"},
		},
	})
	if !res.Delivered() {
		t.Fatal(res.Error)
	}
	head := <-got
	host := strings.TrimSuffix(strings.TrimPrefix(url, "http://"), "/hook")
	want := strings.Join([]string{
		"POST /hook HTTP/1.1", "Host: " + host, "User-Agent: Trunkline/1.2.3", "Content-Length: 7", "Content-Type: application/json",
		"X-DialNote-Signature: sha256=00", "webhook-id: abc", "x-lower-own: 1", "", "",
	}, "\r\n")
	if diff := cmp.Diff(want, head); diff != "" {
		t.Error(diff)
	}
}

func TestRetryAfterIsRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	url := raw(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 429 Too Many Requests\r\nRetry-After: 7\r\nContent-Length: 0\r\n\r\n")
	})
	res := newSender(t, func(c *SenderConfig) { c.Clock = func() time.Time { return now } }).
		Attempt(t.Context(), Request{URL: url, Timeout: 5 * time.Second})
	if want := now.Add(7 * time.Second); !res.RetryAfter.Equal(want) || res.StatusCode != 429 {
		t.Errorf("status %d, retry after %v, want %v", res.StatusCode, res.RetryAfter, want)
	}
}

func TestCertificateIsVerified(t *testing.T) {
	t.Parallel()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // it reports the handshakes that are meant to fail
	srv.StartTLS()
	defer srv.Close()
	if res := attempt(t, newSender(t), srv.URL); !strings.HasPrefix(res.Error, "the certificate is not valid") {
		t.Errorf("an unknown authority: %q", res.Error)
	}
	roots := x509.NewCertPool()
	roots.AddCert(srv.Certificate())
	s := newSender(t, func(c *SenderConfig) { c.Roots = roots })
	if res := attempt(t, s, srv.URL); !res.Delivered() {
		t.Errorf("a known authority: %q", res.Error)
	}
	if res := attempt(t, s, strings.Replace(srv.URL, "https", "http", 1)); res.Delivered() {
		t.Error("plain HTTP to a TLS port was delivered")
	}
}

func TestProxyOfTheEnvironmentIsNotUsed(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer srv.Close()
	if res := attempt(t, newSender(t), srv.URL); !res.Delivered() {
		t.Error(res.Error)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var opened atomic.Int32
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") }))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		if s == http.StateNew {
			opened.Add(1)
		}
	}
	srv.Start()
	defer srv.Close()
	s := newSender(t)
	for range 50 {
		if res := s.Attempt(t.Context(), Request{URL: srv.URL, Body: []byte(`{}`), Timeout: 5 * time.Second}); !res.Delivered() {
			t.Fatal(res.Error)
		}
	}
	if n := opened.Load(); n != 1 {
		t.Errorf("%d connections for 50 requests, want 1", n)
	}
}

func TestOwnHeadersMayNotTakeAReservedName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"Webhook-Id", "TRUNKLINE-Replay", "content-length", "Host", "X-Hmac-Signature", "bad name", "", "X:"} {
		if CheckHeader(name, "v") == nil {
			t.Errorf("%q is accepted", name)
		}
	}
	if CheckHeader("X-Own", "a\r\nb") == nil {
		t.Error("a header value with a line break is accepted")
	}
	for _, name := range []string{"Authorization", "X-Own", "x-tenant"} {
		if err := CheckHeader(name, "v"); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
