package upstream_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/upstream"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/delivery"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var mp3 = append([]byte("ID3\x04\x00\x00\x00\x00\x00\x00"), bytes.Repeat([]byte{0xff, 0xfb, 0x90, 0x44}, 50_000)...)

func source(t *testing.T, change func(*upstream.Config)) *upstream.Source {
	t.Helper()
	cfg := upstream.Config{Guard: webhooks.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true), Version: "test"}
	if change != nil {
		change(&cfg)
	}
	s, err := upstream.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// taken is what a fetch gave.
type taken struct {
	bytes.Buffer
	contentType string
	opened      int
}

func (k *taken) open(contentType string) (io.Writer, error) {
	k.opened++
	k.contentType = contentType
	return k, nil
}

func serve(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func TestAudioIsFetchedWhole(t *testing.T) {
	t.Parallel()
	var asked http.Header
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		asked = r.Header
		w.Header().Set("Content-Type", "audio/mp3")
		_, _ = w.Write(mp3)
	})
	var got taken
	if err := source(t, nil).Fetch(t.Context(), recordings.Offer{URL: url + "/a.mp3?token=s3cret"}, got.open); err != nil {
		t.Fatal(err)
	}
	if sha256.Sum256(got.Bytes()) != sha256.Sum256(mp3) || got.opened != 1 {
		t.Errorf("%d bytes in %d openings, want the %d of the source in one", got.Len(), got.opened, len(mp3))
	}
	if got.contentType != "audio/mpeg" {
		t.Errorf("it is %s, want audio/mpeg", got.contentType)
	}
	if ua, enc := asked.Get("User-Agent"), asked.Get("Accept-Encoding"); ua != "Trunkline/test" || enc != "identity" {
		t.Errorf("asked as %q for the encoding %q", ua, enc)
	}
}

func TestShortAudioIsFetched(t *testing.T) {
	t.Parallel()
	for name, h := range map[string]http.HandlerFunc{
		"with a length": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "audio/wav")
			_, _ = io.WriteString(w, "RIFF")
		},
		"in chunks": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "audio/wav")
			_, _ = io.WriteString(w, "RI")
			w.(http.Flusher).Flush()
			_, _ = io.WriteString(w, "FF")
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got taken
			if err := source(t, nil).Fetch(t.Context(), recordings.Offer{URL: serve(t, h)}, got.open); err != nil {
				t.Fatal(err)
			}
			if got.String() != "RIFF" || got.contentType != "audio/wav" {
				t.Errorf("got %q of type %s", got.String(), got.contentType)
			}
		})
	}
}

func TestARedirectIsFollowedWhereItMayLead(t *testing.T) {
	t.Parallel()
	store := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "binary/octet-stream")
		_, _ = w.Write(mp3)
	})
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, store+"/x", http.StatusTemporaryRedirect)
	})
	var got taken
	if err := source(t, nil).Fetch(t.Context(), recordings.Offer{URL: url}, got.open); err != nil {
		t.Fatal(err)
	}
	if got.Len() != len(mp3) || got.contentType != "audio/mpeg" {
		t.Errorf("%d bytes of type %s", got.Len(), got.contentType)
	}
}

// raw is a server that says what it is told to and keeps the connection.
func raw(t *testing.T, say string, hangUp bool) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	over := make(chan struct{})
	ended := make(chan struct{})
	go func() {
		defer func() { ended <- struct{}{} }()
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		_, _ = c.Read(make([]byte, 4096))
		_, _ = io.WriteString(c, say)
		if !hangUp {
			<-over
		}
	}()
	t.Cleanup(func() {
		close(over)
		_ = l.Close()
		<-ended
	})
	return "http://" + l.Addr().String() + "/r.mp3"
}

func TestAHostileSourceIsAReason(t *testing.T) {
	t.Parallel()
	quick := func(c *upstream.Config) {
		c.Header, c.Window, c.WindowMin, c.MaxBytes = 100*time.Millisecond, 100*time.Millisecond, 1<<20, 1<<20
	}
	answer := func(status int, contentType, body string, header ...string) func(*testing.T) string {
		return func(t *testing.T) string {
			return serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", contentType)
				for i := 0; i+1 < len(header); i += 2 {
					w.Header().Set(header[i], header[i+1])
				}
				w.WriteHeader(status)
				_, _ = io.WriteString(w, body)
			}) + "/r.mp3"
		}
	}
	head := "HTTP/1.1 200 OK\r\nContent-Type: audio/mpeg\r\n"
	for name, c := range map[string]struct {
		url    func(*testing.T) string
		reason string
		final  bool
		away   bool
		after  time.Duration
	}{
		"hangs before the answer": {url: func(t *testing.T) string { return raw(t, "", false) }, reason: "did not answer in time", away: true},
		"hangs in the body": {
			url:    func(t *testing.T) string { return raw(t, head+"Content-Length: 5000\r\n\r\nID3", false) },
			reason: "sent less than 1048576 bytes in 100ms", away: true,
		},
		"drips": {url: func(t *testing.T) string {
			return serve(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Content-Type", "audio/mpeg")
				drip(w, r)
			})
		}, reason: "sent less than", away: true},
		"sends less than it announced": {
			url: func(t *testing.T) string {
				return raw(t, head+"Content-Length: 5000\r\n\r\n"+strings.Repeat("x", 900), true)
			},
			reason: "ended before the length",
		},
		"breaks off between chunks": {
			url: func(t *testing.T) string {
				return raw(t, head+"Transfer-Encoding: chunked\r\n\r\n3e8\r\n"+strings.Repeat("x", 1000)+"\r\n", true)
			},
			reason: "ended before the length",
		},
		"says nothing":                        {url: answer(200, "audio/mpeg", ""), reason: "empty body"},
		"has it not yet":                      {url: answer(404, "text/plain", "no", "Retry-After", "7"), reason: "404 Not Found", after: 7 * time.Second},
		"expired":                             {url: answer(403, "application/xml", "<Error/>"), reason: "403 Forbidden"},
		"gone":                                {url: answer(410, "text/plain", ""), reason: "410 Gone", final: true},
		"busy for days":                       {url: answer(503, "text/plain", "", "Retry-After", "Fri, 31 Dec 2199 23:59:59 GMT"), reason: "503", after: time.Hour, away: true},
		"too much asked":                      {url: answer(429, "text/plain", ""), reason: "429", away: true},
		"broken":                              {url: answer(500, "text/plain", ""), reason: "500", away: true},
		"no content":                          {url: answer(204, "audio/mpeg", ""), reason: "204 No Content"},
		"a log-in page":                       {url: answer(200, "text/html; charset=utf-8", "<html>Log in</html>"), reason: `no audio but "text/html`},
		"a log-in page that says it is audio": {url: answer(200, "audio/mpeg", "<!DOCTYPE html><html>"), reason: "no audio"},
		"an error in JSON":                    {url: answer(200, "application/json", `{"error":"expired"}`), reason: "application/json"},
		"packed":                              {url: answer(200, "audio/mpeg", "x", "Content-Encoding", "gzip"), reason: `the encoding "gzip"`},
		"huge, and says so": {
			url:    func(t *testing.T) string { return raw(t, head+"Content-Length: 99999999999\r\n\r\n", true) },
			reason: "larger than 1 MiB", final: true,
		},
		"huge, and says nothing": {url: func(t *testing.T) string {
			return serve(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "audio/mpeg")
				for range 100 {
					if _, err := w.Write(mp3); err != nil {
						return
					}
				}
			})
		}, reason: "larger than 1 MiB", final: true},
		"leads to the metadata service": {url: func(t *testing.T) string {
			return serve(t, func(w http.ResponseWriter, r *http.Request) {
				http.Redirect(w, r, "http://169.254.169.254/latest/meta-data", http.StatusFound)
			})
		}, reason: "redirect refused: it 169.254.169.254 is not a public address"},
		"leads in a circle": {url: func(t *testing.T) string {
			return serve(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
		}, reason: "redirect refused: more than 5"},
		"is not there":        {url: func(t *testing.T) string { return closedPort(t) }, reason: "connection was refused", away: true},
		"is private":          {url: func(*testing.T) string { return "http://10.1.2.3/r.mp3" }, reason: "10.1.2.3 is not a public address", final: true},
		"busy for two hours":  {url: answer(429, "text/plain", "", "Retry-After", "7200"), reason: "429", after: time.Hour, away: true},
		"busy for ever":       {url: answer(503, "text/plain", "", "Retry-After", "99999999999999999999"), reason: "503", after: time.Hour, away: true},
		"asks for a past one": {url: answer(503, "text/plain", "", "Retry-After", "-5"), reason: "503", away: true},
		"is no web server":    {url: func(t *testing.T) string { return raw(t, "220 smtp ready\r\n", true) }, reason: "no answer: ", away: true},
		"says what no text holds": {
			url:    func(t *testing.T) string { return raw(t, "HTTP/1.1 200 OK\r\nno\x00colon \xff\r\n\r\n", true) },
			reason: "no answer: ", away: true,
		},
		"says what no text holds, without end": {
			url: func(t *testing.T) string {
				return raw(t, "HTTP/1.1 200 OK\r\n"+strings.Repeat("\x00\xff", 4000)+"\r\n\r\n", true)
			},
			reason: "no answer: ", away: true,
		},
		"is no URL":      {url: func(*testing.T) string { return "ftp://a.example/r.mp3" }, reason: "must be an https URL", final: true},
		"has a password": {url: func(*testing.T) string { return "http://u:p@a.example/r.mp3" }, reason: "must not carry a user name", final: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got taken
			at := c.url(t)
			err := source(t, quick).Fetch(t.Context(), recordings.Offer{URL: at}, got.open)
			f, ok := errors.AsType[*recordings.FetchError](err)
			if !ok {
				t.Fatalf("got %v, want a FetchError", err)
			}
			if !strings.Contains(f.Reason, c.reason) || f.Final != c.final || f.Away != c.away || f.RetryAfter != c.after {
				t.Errorf("got %q, final %v, away %v, after %s; want %q, %v, %v, %s", f.Reason, f.Final, f.Away, f.RetryAfter, c.reason, c.final, c.away, c.after)
			}
			if f.Reason != delivery.Plain(f.Reason) {
				t.Errorf("%q is no plain text", f.Reason)
			}
			if strings.Contains(f.Reason, at) {
				t.Errorf("%q shows the URL", f.Reason)
			}
		})
	}
}

// drip sends a byte now and then until nobody listens.
func drip(w http.ResponseWriter, r *http.Request) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.WriteString(w, "x"); err != nil {
			return
		}
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
			return
		case <-tick.C:
		}
	}
}

func closedPort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = l.Close()
	return "http://" + l.Addr().String()
}

// A name that leads to a private address is found out when it is connected to.
func TestANameThatLeadsInsideIsRefused(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(mp3) })
	outside := webhooks.NewGuard(nil, true)
	s := source(t, func(c *upstream.Config) { c.Guard = named{outside} })
	err := s.Fetch(t.Context(), recordings.Offer{URL: url}, new(taken).open)
	f, ok := errors.AsType[*recordings.FetchError](err)
	if !ok || !f.Final || !f.Refused || !errors.Is(err, webhooks.ErrForbidden) {
		t.Errorf("got %v, want a final refusal", err)
	}
	err = source(t, func(c *upstream.Config) { c.Guard = outside }).Fetch(t.Context(), recordings.Offer{URL: "http://10.0.0.1/x.mp3"}, new(taken).open)
	if f, ok = errors.AsType[*recordings.FetchError](err); !ok || !f.Final || !f.Refused || f.Reason != "the recording's URL 10.0.0.1 is not a public address" {
		t.Errorf("a literal address: got %+v", f)
	}
}

// named is a guard for which the server's address looks like a name.
type named struct{ *webhooks.Guard }

func (named) CheckURL(string) error { return nil }

func TestOurOwnTroubleIsNotTheSources(t *testing.T) {
	t.Parallel()
	url := serve(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(mp3) })
	full := errors.New("disk full")
	for name, open := range map[string]func(string) (io.Writer, error){
		"cannot be opened":  func(string) (io.Writer, error) { return nil, full },
		"cannot be written": func(string) (io.Writer, error) { return broken{full}, nil },
	} {
		err := source(t, nil).Fetch(t.Context(), recordings.Offer{URL: url}, open)
		if _, ok := errors.AsType[*recordings.FetchError](err); ok || !errors.Is(err, full) {
			t.Errorf("a store that %s: got %v", name, err)
		}
	}
}

type broken struct{ err error }

func (b broken) Write([]byte) (int, error) { return 0, b.err }

func TestAStopEndsAFetch(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		_, _ = w.Write(mp3[:2000])
		w.(http.Flusher).Flush()
		cancel()
		<-r.Context().Done()
	})
	err := source(t, nil).Fetch(ctx, recordings.Offer{URL: url}, new(taken).open)
	if !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want that it was cancelled", err)
	}
}

func TestAConfigNeedsAGuard(t *testing.T) {
	t.Parallel()
	if _, err := upstream.New(upstream.Config{}); err == nil {
		t.Error("a source without a guard was made")
	}
}

// BenchmarkFetch shows that the memory of a fetch does not grow with it.
func BenchmarkFetch(b *testing.B) {
	const size = 64 << 20
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "audio/mpeg")
		w.Header().Set("Content-Length", fmt.Sprint(size))
		for range size / len(mp3) {
			_, _ = w.Write(mp3)
		}
		_, _ = w.Write(mp3[:size%len(mp3)])
	}))
	defer s.Close()
	f, err := upstream.New(upstream.Config{Guard: webhooks.NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true)})
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	b.SetBytes(size)
	b.ReportAllocs()
	for b.Loop() {
		if err := f.Fetch(b.Context(), recordings.Offer{URL: s.URL}, func(string) (io.Writer, error) { return io.Discard, nil }); err != nil {
			b.Fatal(err)
		}
	}
}
