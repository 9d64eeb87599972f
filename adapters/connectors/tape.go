package connectors

import (
	"bytes"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Bounds of what is kept of an attempt, so that it fits into the delivery log.
const (
	tapeBody  = 2 << 10
	tapeTotal = 40 << 10
	tapeSteps = 64
)

// tape writes down what an attempt does: its steps and, as it is the transport
// of all its clients, each request with its answer. Headers are not kept, and
// what is a credential is struck out.
type tape struct {
	next http.RoundTripper
	now  func() time.Time

	mu      sync.Mutex
	steps   []step
	secrets []string
	room    int
	// last is the status of the newest answer.
	last int
}

// step is one thing that an attempt did.
type step struct {
	Name string `json:"step"`
	// Result says in words what came of it; Error why it failed.
	Result string `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
	// Hint says what would help.
	Hint     string      `json:"hint,omitempty"`
	Requests []*exchange `json:"requests,omitempty"`
}

// exchange is one request and its answer.
type exchange struct {
	Method       string  `json:"method"`
	URL          string  `json:"url"`
	RequestBody  string  `json:"request_body,omitempty"`
	Status       int     `json:"status,omitempty"`
	ResponseBody string  `json:"response_body,omitempty"`
	DurationMS   float64 `json:"duration_ms"`
	Error        string  `json:"error,omitempty"`

	sent      *counter
	got       *kept
	sentType  string
	concealed bool
}

func newTape(next http.RoundTripper, now func() time.Time) *tape {
	return &tape{next: next, now: now, room: tapeTotal}
}

// hide strikes texts out of everything that is shown.
func (t *tape) hide(secrets ...string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, s := range secrets {
		if len(s) >= 6 {
			t.secrets = append(t.secrets, s, url.QueryEscape(s), url.PathEscape(s))
		}
	}
}

// step begins a step.
func (t *tape) step(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.steps) < tapeSteps {
		t.steps = append(t.steps, step{Name: fmt.Sprintf(format, args...)})
	}
}

// done says what came of the step.
func (t *tape) done(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current().Result = fmt.Sprintf(format, args...)
}

// failed says why the step failed.
func (t *tape) failed(err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.current()
	s.Error, s.Hint = words(err), hintOf(err)
}

func (t *tape) current() *step {
	if len(t.steps) == 0 {
		t.steps = append(t.steps, step{Name: "begin"})
	}
	return &t.steps[len(t.steps)-1]
}

type concealing struct{}

// listening marks requests for a recording, whose answer is as long as that is.
type listening struct{}

// RoundTrip sends a request and writes it down.
func (t *tape) RoundTrip(r *http.Request) (*http.Response, error) {
	x := &exchange{Method: r.Method, URL: r.URL.String(), sentType: mediaType(r.Header), concealed: r.Context().Value(concealing{}) != nil}
	if r.Body != nil && r.Body != http.NoBody {
		x.sent = &counter{ReadCloser: r.Body, keep: textual(x.sentType) && !x.concealed}
		r = r.Clone(r.Context())
		r.Body = x.sent
	}
	t.mu.Lock()
	if s := t.current(); len(s.Requests) < tapeSteps {
		s.Requests = append(s.Requests, x)
	}
	t.mu.Unlock()
	start := t.now()
	resp, err := t.next.RoundTrip(r)
	t.mu.Lock()
	defer t.mu.Unlock()
	x.DurationMS = float64(t.now().Sub(start).Microseconds()) / 1000
	if err != nil {
		x.Error = words(err)
		return nil, err
	}
	x.Status, t.last = resp.StatusCode, resp.StatusCode
	x.got = &kept{ReadCloser: resp.Body, keep: textual(mediaType(resp.Header)) && !x.concealed}
	resp.Body = x.got
	if r.Context().Value(listening{}) == nil {
		resp.Body = &bounded{x.got, maxAnswer}
	}
	return resp, nil
}

// transcript is what was done, as JSON.
func (t *tape) transcript() []byte {
	t.mu.Lock()
	defer t.mu.Unlock()
	clean := strings.NewReplacer(t.struck()...)
	steps := make([]step, len(t.steps))
	for i, s := range t.steps {
		s.Result, s.Error = delivery.Plain(clean.Replace(s.Result)), delivery.Plain(clean.Replace(s.Error))
		requests := s.Requests
		s.Requests = nil
		for _, x := range requests {
			y := exchange{Method: x.Method, URL: clip(clean.Replace(x.URL), 500), Status: x.Status, DurationMS: x.DurationMS, Error: delivery.Plain(clean.Replace(x.Error))}
			if x.sent != nil {
				y.RequestBody = t.show(clean, x.sent.text(), x.sent.keep, x.sent.size(), x.sentType)
			}
			if x.got != nil {
				y.ResponseBody = t.show(clean, x.got.text(), x.got.keep, x.got.size(), "")
			}
			s.Requests = append(s.Requests, &y)
		}
		steps[i] = s
	}
	out, err := event.Marshal(map[string]any{"steps": steps})
	if err != nil {
		return nil
	}
	return out
}

func (t *tape) struck() []string {
	pairs := make([]string, 0, 2*len(t.secrets))
	for _, s := range t.secrets {
		pairs = append(pairs, s, "•••")
	}
	return pairs
}

// show is what is shown of a body; each takes from the room that is left.
func (t *tape) show(clean *strings.Replacer, body string, keep bool, size int64, kind string) string {
	switch {
	case size == 0:
		return ""
	case !keep:
		return strings.TrimSpace(fmt.Sprintf("(%d bytes %s)", size, kind))
	}
	// Struck out before it is cut: half a credential is still one.
	s := clip(clean.Replace(strings.ToValidUTF8(body, "\uFFFD")), tapeBody)
	if len(s) > t.room {
		return fmt.Sprintf("(%d bytes)", size)
	}
	t.room -= len(s)
	return s
}

func mediaType(h http.Header) string {
	m, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return ""
	}
	return m
}

func textual(media string) bool {
	return strings.HasSuffix(media, "json") || strings.HasSuffix(media, "xml") || strings.HasPrefix(media, "text/") || media == "application/x-www-form-urlencoded"
}

// readCap is how much of a body is looked at.
const readCap = 2 * tapeBody

// counter counts the bytes of a request's body.
type counter struct {
	io.ReadCloser
	keep bool
	mu   sync.Mutex
	n    int64
	b    bytes.Buffer
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += int64(n)
	if c.keep {
		c.b.Write(p[:min(n, readCap-min(c.b.Len(), readCap))])
	}
	return n, err
}

func (c *counter) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.b.String()
}

func (c *counter) size() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// bounded reads at most so much of an answer's body: clients of other systems hold in
// memory whatever comes.
type bounded struct {
	io.ReadCloser
	left int
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left == 0 {
		if n, err := b.ReadCloser.Read(make([]byte, 1)); n == 0 {
			return 0, err
		}
		return 0, failure(0, "the answer is longer than %d MiB", maxAnswer>>20)
	}
	n, err := b.ReadCloser.Read(p[:min(len(p), b.left)])
	b.left -= n
	return n, err
}

// kept is the same for an answer's body.
type kept = counter

// answer is the beginning of the newest answer's body.
func (t *tape) answer() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	requests := t.current().Requests
	if len(requests) == 0 || requests[len(requests)-1].got == nil {
		return ""
	}
	return requests[len(requests)-1].got.text()
}
