package httpapi_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/event"
)

// pipes is a listener in memory: its deadlines pass in the time of a bubble.
type pipes chan net.Conn

func (p pipes) Accept() (net.Conn, error) {
	if c, ok := <-p; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (p pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func (p pipes) Close() error {
	close(p)
	return nil
}

// calling gives a test the client's side of a connection to an API, which waits an
// hour for anything. It must be called in a bubble.
func calling(t *testing.T, a *api) net.Conn {
	t.Helper()
	srv, l := httpapi.ConnectionsOf(a.server), make(pipes)
	served := make(chan struct{})
	go func() {
		defer close(served)
		if err := srv.Serve(l); err == nil {
			t.Error("serving ended without a reason")
		}
	}()
	theirs, ours := net.Pipe()
	l <- ours
	t.Cleanup(func() {
		_ = theirs.Close()
		_ = srv.Close()
		<-served
	})
	if err := theirs.SetDeadline(time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	return theirs
}

// slow is an API with what streams, made in a bubble. It knows no call.
func slow(t *testing.T) *api {
	t.Helper()
	return newReading(t, func(cfg *httpapi.Config) {
		shelf := strangers{}
		library, err := recordings.New(recordings.Config{
			Jobs: shelf, Catalogue: shelf, Blobs: shelf, Fetcher: shelf, Lists: shelf, Calls: shelf, Keys: shelf, Known: shelf,
			Log: memory.NewLog(1), Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		cfg.Recordings, cfg.Feed = library, silence{}
	})
}

// silence is a feed in which nothing happens.
type silence struct{}

func (silence) Read(ctx context.Context, _, after string, _ []string, _ int) ([]event.Recorded, string, error) {
	return nil, after, ctx.Err()
}

func (silence) End(ctx context.Context) (string, error) { return "", ctx.Err() }

func (silence) Follow(ctx context.Context, _, _ string, _ []string, _ func(event.Recorded, string) error) error {
	<-ctx.Done()
	return ctx.Err()
}

// strangers are a tape of no call that is known.
type strangers struct{ tape }

func (strangers) MustKnowCall(context.Context, commands.Caller, string) error {
	return fmt.Errorf("the call is %w", commands.ErrNotFound)
}

// Whoever announced a body and did not send it held a connection for ever, without a
// key too, and with it the end of the hub.
func TestABodyThatNeverComesHoldsNoConnection(t *testing.T) {
	t.Parallel()
	const admin = "Authorization: Bearer " + adminKey + "\r\n"
	for name, tc := range map[string]struct {
		request, status string
	}{
		"an upload without a key":         {"PUT /v1/calls/c-1/recording HTTP/1.1\r\n", "401"},
		"an upload that is refused":       {"PUT /v1/calls/c-1/recording HTTP/1.1\r\nContent-Type: audio/mpeg\r\n" + admin, "404"},
		"a stream without a key":          {"GET /v1/events/stream HTTP/1.1\r\n", "401"},
		"a stream":                        {"GET /v1/events/stream HTTP/1.1\r\n" + admin, "408"},
		"a link":                          {"GET /recordings/rec-1 HTTP/1.1\r\n", "408"},
		"a verification":                  {"POST /v1/recordings/rec-1/verify HTTP/1.1\r\n" + admin, "408"},
		"a verification with its own key": {"POST /v1/recordings/rec-1/verify HTTP/1.1\r\nIdempotency-Key: k\r\n" + admin, "408"},
		"leads without a key":             {"POST /v1/leads HTTP/1.1\r\n", "401"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn := calling(t, slow(t))
				if _, err := io.WriteString(conn, tc.request+"Host: hub\r\nContent-Length: 1000\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(conn)
				if err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 "+tc.status) {
					t.Errorf("answered %q (%v), want %s and the end of the connection", got, err, tc.status)
				}
			})
		})
	}
}

// Nor may somebody who does not read the answer.
func TestAnAnswerThatNobodyReadsHoldsNoConnection(t *testing.T) {
	t.Parallel()
	for name, request := range map[string]string{
		"a link":       "GET /recordings/rec-1 HTTP/1.1\r\n",
		"without key":  "GET /v1/events/stream HTTP/1.1\r\n",
		"a stream":     "GET /v1/events/stream HTTP/1.1\r\nAuthorization: Bearer " + adminKey + "\r\n",
		"a mere probe": "GET /healthz HTTP/1.1\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				conn := calling(t, slow(t))
				if _, err := io.WriteString(conn, request+"Host: hub\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				<-time.After(31 * time.Second)
				if got, err := io.ReadAll(conn); err != nil || len(got) > 0 {
					t.Errorf("after half a minute it could still be read: %q (%v)", got, err)
				}
			})
		})
	}
}

// What is read goes on past the deadlines of ordinary requests.
func TestAStreamGoesOnPastTheDeadlinesOfRequests(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		conn := calling(t, slow(t))
		if _, err := io.WriteString(conn, "GET /v1/events/stream HTTP/1.1\r\nHost: hub\r\nAuthorization: Bearer "+adminKey+"\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		beats := 0
		for lines := bufio.NewScanner(resp.Body); beats < 8 && lines.Scan(); {
			if lines.Text() == ": heartbeat" {
				beats++
			}
		}
		if lasted := time.Since(began); beats != 8 || lasted != 2*time.Minute {
			t.Errorf("%d heartbeats in %s", beats, lasted)
		}
	})
}
