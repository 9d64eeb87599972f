package connectors

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"

	"golang.org/x/oauth2"

	"trunkline.dev/trunkline/domain/delivery"
)

// maxTokens bounds the cache; one over it begins anew.
const maxTokens = 10_000

// tokens are the access tokens of this process, by the credentials that they
// were got with. Of several attempts that need one, one asks for it.
type tokens struct {
	now func() time.Time

	mu   sync.Mutex
	have map[[32]byte]*token
}

type token struct {
	mu  sync.Mutex
	got *oauth2.Token
}

func newTokens(now func() time.Time) *tokens {
	return &tokens{now: now, have: make(map[[32]byte]*token)}
}

func (t *tokens) entry(e delivery.Endpoint) *token {
	h := sha256.New()
	_, _ = fmt.Fprintf(h, "%s\n%s\n%s\n%s\n%v", e.Org, e.ID, e.Connector, e.Config, e.Credentials) // maps print sorted
	key := [32]byte(h.Sum(nil))
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.have[key]; k != nil {
		return k
	}
	if len(t.have) >= maxTokens {
		clear(t.have)
	}
	k := &token{}
	t.have[key] = k
	return k
}

// source gets access tokens for an attempt.
type source struct {
	a     *attempt
	entry *token
	// ask asks for a new one.
	ask func(ctx context.Context) (*oauth2.Token, error)
}

func (a *attempt) source(ask func(ctx context.Context) (*oauth2.Token, error)) *source {
	return &source{a: a, entry: a.set.tokens.entry(a.endpoint), ask: ask}
}

// early is how long before its end a token is renewed.
const early = 30 * time.Second

// token returns a valid token, but not `not`: that one was refused.
func (s *source) token(ctx context.Context, not *oauth2.Token) (*oauth2.Token, error) {
	s.entry.mu.Lock()
	defer s.entry.mu.Unlock()
	t := s.entry.got
	if t != nil && t != not && (t.Expiry.IsZero() || t.Expiry.Add(-early).After(s.a.set.cfg.Clock())) {
		s.a.tape.hide(t.AccessToken)
		return t, nil
	}
	// What is said to get a token is not shown, only that it was. The context is
	// set by the transport: x/oauth2/jwt makes its request without one.
	client := s.a.client()
	client.Transport = concealed{ctx: context.WithValue(ctx, concealing{}, true), next: s.a.tape}
	t, err := s.ask(context.WithValue(ctx, oauth2.HTTPClient, client))
	if err != nil {
		return nil, err
	}
	s.a.tape.hide(t.AccessToken)
	s.entry.got = t
	return t, nil
}

// concealed is a transport for requests whose bodies are not written down.
type concealed struct {
	ctx  context.Context //nolint:containedctx // of the attempt whose requests these are
	next http.RoundTripper
}

func (c concealed) RoundTrip(r *http.Request) (*http.Response, error) {
	return c.next.RoundTrip(r.WithContext(c.ctx))
}

// signed is a transport that signs requests with a token. One that is refused
// with 401 is renewed once, and the request sent again if it can be: an upload
// cannot, its caller begins it again.
type signed struct {
	source *source
	next   http.RoundTripper
}

func (g signed) RoundTrip(r *http.Request) (*http.Response, error) {
	t, err := g.source.token(r.Context(), nil)
	if err != nil {
		if r.Body != nil {
			_ = r.Body.Close()
		}
		return nil, err
	}
	resp, err := g.next.RoundTrip(withToken(r, t))
	if err != nil || resp.StatusCode != http.StatusUnauthorized {
		return resp, err
	}
	again := withToken(r, t)
	if r.Body != nil && r.Body != http.NoBody {
		if r.GetBody == nil {
			g.source.refuse(t)
			return resp, nil
		}
		if again.Body, err = r.GetBody(); err != nil {
			return resp, nil //nolint:nilerr // the answer stands
		}
	}
	if t, err = g.source.token(r.Context(), t); err != nil {
		_ = resp.Body.Close()
		return nil, err
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, readCap))
	_ = resp.Body.Close()
	again.Header.Set("Authorization", "Bearer "+t.AccessToken)
	return g.next.RoundTrip(again)
}

// refuse forgets a token.
func (s *source) refuse(t *oauth2.Token) {
	s.entry.mu.Lock()
	defer s.entry.mu.Unlock()
	if s.entry.got == t {
		s.entry.got = nil
	}
}

func withToken(r *http.Request, t *oauth2.Token) *http.Request {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+t.AccessToken)
	return r
}

// refusedToken says why no token was given.
func refusedToken(err error, what string) error {
	re, ok := errors.AsType[*oauth2.RetrieveError](err)
	if !ok {
		return err
	}
	status := 0
	if re.Response != nil {
		status = re.Response.StatusCode
	}
	said := strings.TrimSpace(re.ErrorCode + " " + re.ErrorDescription)
	if said == "" {
		said = clip(strings.ToValidUTF8(string(re.Body), "\uFFFD"), 200)
	}
	return failure(status, "%s gave no access token: %s", what, said)
}
