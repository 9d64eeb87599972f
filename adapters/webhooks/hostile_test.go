package webhooks

import (
	"bytes"
	stdcmp "cmp"
	"compress/gzip"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// respond answers a request with exactly this.
func respond(answer string) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, answer)
	}
}

// repeating sends a piece of an answer again and again.
func repeating(begin, piece string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, begin)
		for {
			if _, err := io.WriteString(c, piece); err != nil {
				return
			}
			<-time.After(pause)
		}
	}
}

// forever repeats a piece as fast as it is taken.
func forever(begin, piece string) func(net.Conn) { return repeating(begin, piece, 0) }

// dripping repeats a piece with pauses that keep every idle timeout away.
func dripping(begin, piece string) func(net.Conn) {
	return repeating(begin, piece, 20*time.Millisecond)
}

// anEnd closes the connection after an answer.
func anEnd(answer string) func(net.Conn) {
	return func(c net.Conn) {
		respond(answer)(c)
		_ = c.Close()
	}
}

func bomb(bytesOut int64) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = io.CopyN(z, zeros{}, bytesOut)
	_ = z.Close()
	return b.String()
}

// What a broken answer is called.
const (
	closedEarly = "the receiver closed the connection before it had answered"
	tooMuch     = "the answer's headers exceed 32768 bytes"
	malformed   = "the request failed: malformed"
)

// hostile is one way to treat a sender badly, and what must come of it.
type hostile struct {
	name  string
	serve func(net.Conn)
	// status and delivered are what the attempt says; error is how its words begin.
	status    int
	delivered bool
	error     string
	// body is how many bytes are kept; -1: any number.
	body int
	// timeout is for receivers that never end; they must not get longer.
	timeout time.Duration
	// sends is how much is posted.
	sends int
}

func hostiles() []hostile {
	zipped := bomb(50 << 20)
	return []hostile{
		// Time: one deadline for the whole attempt, whatever keeps moving.
		{name: "hangs before it answers", serve: respond(""), error: "no complete answer within 300ms", timeout: 300 * time.Millisecond},
		{
			name: "drips its body", serve: dripping("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n", "x"),
			status: 200, error: "no complete answer within 500ms", body: -1, timeout: 500 * time.Millisecond,
		},
		{
			name: "drips its headers", serve: dripping("HTTP/1.1 200 OK\r\nX-Slow: ", "x"),
			error: "no complete answer within 500ms", timeout: 500 * time.Millisecond,
		},
		{
			name: "drips headers, each a line", serve: dripping("HTTP/1.1 200 OK\r\n", "X-A: b\r\n"),
			error: "no complete answer within 500ms", timeout: 500 * time.Millisecond,
		},
		{
			name: "drips chunks", serve: dripping("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "1\r\nx\r\n"),
			status: 200, error: "no complete answer within 500ms", body: -1, timeout: 500 * time.Millisecond,
		},
		{
			name: "drips informational answers", serve: dripping("", "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"),
			error: "no complete answer within 500ms", timeout: 500 * time.Millisecond,
		},
		{
			name: "reads nothing of a large request", serve: func(c net.Conn) { <-time.After(time.Minute); _ = c.Close() },
			error: "no complete answer within 500ms", timeout: 500 * time.Millisecond, sends: 32 << 20,
		},

		// Size: what is kept is capped, and the rest not read.
		{name: "never ends its body", serve: forever("HTTP/1.1 200 OK\r\n\r\n", strings.Repeat("x", 4096)), status: 200, delivered: true, body: MaxResponseBody},
		{
			name: "never ends its chunks", serve: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", "400\r\n"+strings.Repeat("x", 1024)+"\r\n"),
			status: 200, delivered: true, body: MaxResponseBody,
		},
		{name: "announces an enormous body", serve: forever("HTTP/1.1 200 OK\r\nContent-Length: 9223372036854775807\r\n\r\n", "xxxxxxxx"), status: 200, delivered: true, body: MaxResponseBody},
		{
			name: "answers with a gzip bomb", status: 200, delivered: true, body: len(zipped),
			serve: respond(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s", len(zipped), zipped)),
		},
		{
			name: "names an encoding that it does not use", serve: respond("HTTP/1.1 200 OK\r\nContent-Encoding: gzip, br, deflate\r\nContent-Length: 3\r\n\r\nabc"),
			status: 200, delivered: true, body: 3,
		},
		{name: "sends headers without end", serve: forever("HTTP/1.1 200 OK\r\n", "X-H: "+strings.Repeat("y", 1000)+"\r\n"), error: tooMuch},
		{name: "sends one header without end", serve: forever("HTTP/1.1 200 OK\r\nX-H: ", strings.Repeat("y", 1000)), error: tooMuch},
		{name: "sends a status line without end", serve: forever("HTTP/1.1 200 ", strings.Repeat("O", 1000)), error: tooMuch},
		{name: "folds a header without end", serve: forever("HTTP/1.1 200 OK\r\nX-H: a\r\n", " b\r\n"), error: tooMuch},
		{name: "floods with informational answers", serve: forever("", "HTTP/1.1 103 Early Hints\r\nLink: </>\r\n\r\n"), error: tooMuch},
		{name: "floods with 100 Continue", serve: forever("", "HTTP/1.1 100 Continue\r\n\r\n"), error: tooMuch},
		{
			name: "sends a trailer without end", serve: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-T\r\n\r\n0\r\n", "X-T: "+strings.Repeat("y", 1000)+"\r\n"),
			status: 200, error: "the request failed: http: suspiciously long trailer after chunked body",
		},
		{
			name: "sends a chunk extension without end", serve: forever("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", "ext="+strings.Repeat("y", 1000)),
			status: 200, error: "the request failed: header line too long",
		},

		// Ends.
		{
			name: "resets the connection", error: closedEarly,
			serve: func(c net.Conn) {
				readRequest(c)
				_ = c.(*net.TCPConn).SetLinger(0)
				_ = c.Close()
			},
		},
		{name: "closes at once", serve: func(c net.Conn) { _ = c.Close() }, error: closedEarly},
		{name: "closes within its status line", serve: anEnd("HTTP/1.1 2"), error: malformed},
		{name: "closes within its headers", serve: anEnd("HTTP/1.1 200 OK\r\nX-A: b\r\n"), error: closedEarly},
		{name: "closes within its body", serve: anEnd("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc"), status: 200, error: closedEarly, body: 3},
		{name: "closes within a chunk", serve: anEnd("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n10\r\nabc"), status: 200, error: closedEarly, body: 3},
		{name: "forgets the last chunk", serve: anEnd("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"), status: 200, error: closedEarly, body: 3},

		// Lies and nonsense.
		{name: "sends more than it announced", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef"), status: 200, delivered: true, body: 3},
		{name: "sends a body with 204", serve: respond("HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\nabc"), status: 204, delivered: true},
		{name: "announces two lengths", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 5\r\n\r\nabcde"), error: "the request failed: http: message cannot contain multiple Content-Length headers"},
		{name: "announces a length below zero", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: -3\r\n\r\nabc"), error: "the request failed: "},
		{name: "announces a length in words", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: three\r\n\r\nabc"), error: "the request failed: "},
		{
			name: "chunks and announces a length", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
			status: 200, delivered: true, body: 3,
		},
		{name: "chunks with garbage", serve: respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n"), status: 200, error: "the request failed: invalid byte in chunk length"},
		{name: "chunks with a length below zero", serve: respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n"), status: 200, error: "the request failed: invalid byte in chunk length"},
		{name: "chunks with a length past all bounds", serve: respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc"), status: 200, error: "the request failed: http chunk length too large"},
		{name: "chunks of a wrong length", serve: respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n0\r\n\r\n"), status: 200, error: "the request failed: malformed chunked encoding", body: 1},
		{name: "names a transfer encoding that does not exist", serve: respond("HTTP/1.1 200 OK\r\nTransfer-Encoding: zip\r\n\r\nabc"), error: "the request failed: "},
		{name: "speaks no HTTP", serve: respond("SSH-2.0-x\r\n"), error: `the request failed: malformed HTTP response "SSH-2.0-x"`},
		{name: "speaks HTTP/2", serve: respond("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), error: malformed},
		{name: "answers in HTTP/1.0", serve: anEnd("HTTP/1.0 200 OK\r\n\r\nfine"), status: 200, delivered: true, body: 4},
		{name: "has a status of two digits", serve: respond("HTTP/1.1 20 OK\r\n\r\n"), error: malformed},
		{name: "has a status of four digits", serve: respond("HTTP/1.1 2000 OK\r\n\r\n"), error: malformed},
		{name: "has a status in words", serve: respond("HTTP/1.1 OK OK\r\n\r\n"), error: malformed},
		{name: "has a status below zero", serve: respond("HTTP/1.1 -20 OK\r\n\r\n"), error: malformed},
		{name: "has a header without a colon", serve: respond("HTTP/1.1 200 OK\r\nnonsense\r\n\r\n"), error: malformed},
		{name: "has a header without a name", serve: respond("HTTP/1.1 200 OK\r\n: x\r\n\r\n"), error: malformed},
		{name: "has a NUL in a header", serve: respond("HTTP/1.1 200 OK\r\nX-A: a\x00b\r\nContent-Length: 0\r\n\r\n"), error: "the request failed: "},
		{name: "has bytes that are no text in its body", serve: respond("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n\xff\xfe\x00\x80"), status: 200, delivered: true, body: 4},

		// Answers that ask for something.
		{name: "redirects", serve: respond("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), status: 302, error: "answered 302: redirects are not followed"},
		{name: "redirects for good, with its method", serve: respond("HTTP/1.1 308 Permanent Redirect\r\nLocation: /elsewhere\r\nContent-Length: 0\r\n\r\n"), status: 308, error: "answered 308: redirects are not followed"},
		{name: "redirects to what is no address", serve: respond("HTTP/1.1 302 Found\r\nLocation: http://[::1\r\nContent-Length: 0\r\n\r\n"), status: 302, error: "answered 302: redirects are not followed"},
		{name: "redirects to a file", serve: respond("HTTP/1.1 301 Moved\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"), status: 301, error: "answered 301: redirects are not followed"},
		{name: "refreshes", serve: respond("HTTP/1.1 200 OK\r\nRefresh: 0; url=http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"), status: 200, delivered: true},
		{name: "wants to speak something else", serve: respond("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"), status: 101, error: "answered 101"},
		{name: "wants a password", serve: respond("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=x\r\nContent-Length: 0\r\n\r\n"), status: 401, error: "answered 401"},
		{name: "wants a proxy's password", serve: respond("HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Negotiate\r\nContent-Length: 0\r\n\r\n"), status: 407, error: "answered 407"},
		{name: "wants to be asked again", serve: respond("HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"), status: 408, error: "answered 408"},
		{name: "is gone", serve: respond("HTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n"), status: 410, error: "answered 410"},
		{name: "answers any 2xx", serve: respond("HTTP/1.1 299 Fine\r\nContent-Length: 0\r\n\r\n"), status: 299, delivered: true},
	}
}

func TestHostileReceivers(t *testing.T) {
	t.Parallel()
	for _, c := range hostiles() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			body := bytes.Repeat([]byte("x"), max(2, c.sends))
			res := newSender(t).Attempt(t.Context(), Request{URL: raw(t, c.serve), Body: body, Timeout: stdcmp.Or(c.timeout, time.Minute)})
			words := res.Error == c.error || c.error != "" && strings.HasPrefix(res.Error, c.error)
			if res.StatusCode != c.status || res.Delivered() != c.delivered || !words {
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

// TestAnAnswerTooManyIsNobodysAnswer: what a receiver sends beside its answer
// must not be taken for the answer to the next request.
func TestAnAnswerTooManyIsNobodysAnswer(t *testing.T) {
	t.Parallel()
	url := raw(t, func(c net.Conn) {
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 299 Forged\r\nContent-Length: 0\r\n\r\n")
		readRequest(c)
		_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	})
	s := newSender(t)
	for i := range 20 {
		if res := attempt(t, s, url); res.StatusCode != 200 || string(res.Body) != "ok" {
			t.Fatalf("attempt %d: status %d, body %q, error %q", i, res.StatusCode, res.Body, res.Error)
		}
	}
}
