package webhooks

import (
	"bufio"
	"bytes"
	stdcmp "cmp"
	"compress/gzip"
	"context"
	"crypto/x509"
	"fmt"
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

func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = io.CopyN(z, zeros{}, 50<<20)
	_ = z.Close()
	respond := func(s string) func(net.Conn) {
		return func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, s)
		}
	}
	for _, c := range []struct {
		name      string
		serve     func(net.Conn)
		status    int
		delivered bool
		error     string
		body      int
		// timeout is for receivers that never end.
		timeout time.Duration
	}{
		{
			name: "hangs before it answers", error: "no complete answer within 300ms", timeout: 300 * time.Millisecond,
			serve: func(c net.Conn) { readRequest(c) },
		},
		{
			name: "drips its body", status: 200, error: "no complete answer within 2s", body: -1, timeout: 2 * time.Second,
			serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
				for {
					if _, err := c.Write([]byte("x")); err != nil {
						return
					}
					<-time.After(20 * time.Millisecond)
				}
			},
		},
		{
			name: "never ends its body", status: 200, delivered: true, body: MaxResponseBody,
			serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n")
				_, _ = io.Copy(c, zeros{})
			},
		},
		{
			name: "resets the connection", error: "the receiver closed the connection before it had answered",
			serve: func(c net.Conn) {
				readRequest(c)
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			},
		},
		{
			name: "closes within its body", status: 200, error: "the receiver closed the connection before it had answered", body: 3,
			serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc")
				_ = c.Close()
			},
		},
		{
			name: "sends headers without end", error: fmt.Sprintf("the answer's headers exceed %d bytes", MaxResponseHeader),
			serve: func(c net.Conn) {
				readRequest(c)
				_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
				for i := 0; ; i++ {
					if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 1000)); err != nil {
						return
					}
				}
			},
		},
		{
			name: "answers with a gzip bomb", status: 200, delivered: true, body: bomb.Len(),
			serve: respond(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", bomb.Len(), bomb.String())),
		},
		{
			name: "redirects", status: 302, error: "answered 302: redirects are not followed",
			serve: respond("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
		},
		{name: "is gone", status: 410, error: "answered 410", serve: respond("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n")},
		{
			name: "speaks no HTTP", error: `the request failed: malformed HTTP response "SSH-2.0-x"`,
			serve: respond("SSH-2.0-x\r\n"),
		},
		{name: "answers any 2xx", status: 299, delivered: true, serve: respond("HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n")},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			res := newSender(t).Attempt(t.Context(), Request{URL: raw(t, c.serve), Body: []byte(`{}`), Timeout: stdcmp.Or(c.timeout, time.Minute)})
			if res.StatusCode != c.status || res.Delivered() != c.delivered || res.Error != c.error {
				t.Errorf("status %d, delivered %v, error %q; want %d, %v, %q", res.StatusCode, res.Delivered(), res.Error, c.status, c.delivered, c.error)
			}
			if c.body >= 0 && len(res.Body) != c.body {
				t.Errorf("%d bytes of the body were kept, want %d", len(res.Body), c.body)
			}
		})
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestRetryAfterIsRead(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		header string
		want   time.Time
	}{
		{"120", now.Add(2 * time.Minute)},
		{" 0 ", now},
		{"-5", time.Time{}},
		{"Sun, 22 Nov 2026 12:00:30 GMT", now.Add(30 * time.Second)},
		{"soon", time.Time{}},
		{"", time.Time{}},
		{"99999999999999", now.Add(366 * 24 * time.Hour)},
	} {
		if got := retryAfter(c.header, now); !got.Equal(c.want) {
			t.Errorf("%q: %v, want %v", c.header, got, c.want)
		}
	}
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

func TestNameThatLeadsToAPrivateAddressIsRefusedWhenConnecting(t *testing.T) {
	t.Parallel()
	var hits atomic.Int32
	private := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hits.Add(1) }))
	defer private.Close()
	_, port, _ := net.SplitHostPort(private.Listener.Addr().String())
	s := newSender(t, func(c *SenderConfig) {
		c.Guard = NewGuard(nil, true)
		c.Resolver = resolver(t, netip.MustParseAddr("127.0.0.1"))
	})
	res := s.Attempt(t.Context(), Request{URL: "http://innocent.example:" + port, Timeout: 10 * time.Second})
	if want := "the address is not public: webhooks go to public addresses only"; res.Error != want {
		t.Errorf("error %q, want %q", res.Error, want)
	}
	if hits.Load() > 0 {
		t.Error("the private server was reached")
	}
}

// resolver answers every question for an IPv4 address with a.
func resolver(t *testing.T, a netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { _ = ours.Close() })
		go func() {
			var length [2]byte
			for {
				if _, err := io.ReadFull(theirs, length[:]); err != nil {
					return
				}
				q := make([]byte, int(length[0])<<8|int(length[1]))
				if _, err := io.ReadFull(theirs, q); err != nil {
					return
				}
				if _, err := theirs.Write(answer(q, a)); err != nil {
					return
				}
			}
		}()
		return ours, nil
	}}
}

// answer makes a DNS answer over TCP: one A record for an A question, none for
// another one.
func answer(q []byte, a netip.Addr) []byte {
	end := 12
	for q[end] != 0 {
		end += int(q[end]) + 1
	}
	question := q[12 : end+5]
	isA := question[len(question)-3] == 1
	m := append([]byte{q[0], q[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if isA {
		m[7] = 1
		ip := a.As4()
		m = append(m, 0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4)
		m = append(m, ip[:]...)
	}
	return append([]byte{byte(len(m) >> 8), byte(len(m))}, m...)
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
