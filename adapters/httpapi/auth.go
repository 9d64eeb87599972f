package httpapi

import (
	"crypto/sha256"
	"net/http"
	"regexp"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Principal is who sent a request. It is empty on public routes.
type Principal struct {
	Key tenant.Key
	Org tenant.Org
	// List is set for a list's key.
	List *tenant.List
	// RequestID is the id of this request, in answers and logs.
	RequestID string
	// Once names what a request with an Idempotency-Key does, "" for others.
	Once string
}

// authenticate finds the key of a request and checks that it may.
func (s *Server) authenticate(rt route, r *http.Request) (Principal, error) {
	if rt.is(public) {
		return Principal{}, nil
	}
	if rt.is(listKey) {
		return s.byListKey(r)
	}
	if rt.is(zapierKey) {
		return s.byZapierKey(r)
	}
	if rt.is(rawKey) {
		return s.byRawKey(rt, r)
	}
	scheme, key, ok := strings.Cut(r.Header.Get("Authorization"), " ")
	if !ok || !strings.EqualFold(scheme, "Bearer") {
		return Principal{}, unauthorized("an API key is expected: Authorization: Bearer <key>").with("WWW-Authenticate", `Bearer realm="trunkline"`)
	}
	p, ok := s.lookUp(strings.TrimSpace(key))
	if !ok {
		return Principal{}, unauthorized("the API key is not known").with("WWW-Authenticate", `Bearer realm="trunkline", error="invalid_token"`)
	}
	return p.allowed(rt)
}

// allowed is the principal, if its key may take the route.
func (p Principal) allowed(rt route) (Principal, error) {
	if !p.Key.May(rt.scope) {
		return Principal{}, problem(http.StatusForbidden, "forbidden", "the key lacks the scope %q", rt.scope)
	}
	return p, nil
}

// byRawKey takes Allo's form of a key, and that of the rest of this API.
func (s *Server) byRawKey(rt route, r *http.Request) (Principal, error) {
	key := strings.TrimSpace(r.Header.Get("Authorization"))
	if scheme, rest, ok := strings.Cut(key, " "); ok && strings.EqualFold(scheme, "Bearer") {
		key = strings.TrimSpace(rest)
	}
	if key == "" {
		return Principal{}, unauthorized("an API key is expected: Authorization: <key>").with("WWW-Authenticate", `ApiKey realm="trunkline"`)
	}
	p, ok := s.lookUp(key)
	if !ok {
		return Principal{}, unauthorized("the API key is not known").with("WWW-Authenticate", `ApiKey realm="trunkline"`)
	}
	return p.allowed(rt)
}

func (s *Server) byListKey(r *http.Request) (Principal, error) {
	key := r.Header.Get("X-API-Key")
	if key == "" {
		return Principal{}, unauthorized("the key of a list is expected in X-API-Key").with("WWW-Authenticate", `ApiKey realm="trunkline"`)
	}
	p, ok := s.lookUp(key)
	if !ok || p.List == nil || !p.Key.May(tenant.ScopeLeads) {
		return Principal{}, unauthorized("the API key is not the key of a list").with("WWW-Authenticate", `ApiKey realm="trunkline"`)
	}
	return p, nil
}

// zapierHeader is where Zapier sends its key (seed 001).
const zapierHeader = "X-DIALNOTE-API-KEY"

func (s *Server) byZapierKey(r *http.Request) (Principal, error) {
	challenge := func(detail string) *Problem {
		return unauthorized(detail).with("WWW-Authenticate", `ApiKey realm="trunkline"`)
	}
	key := r.Header.Get(zapierHeader)
	if key == "" {
		return Principal{}, challenge("the key that GET /v1/zapier-key shows is expected in " + zapierHeader)
	}
	p, ok := s.lookUp(key)
	if !ok || !p.Key.May(tenant.ScopeZapier) {
		return Principal{}, challenge("the key is not the one that GET /v1/zapier-key shows")
	}
	return p, nil
}

func unauthorized(detail string) *Problem {
	return problem(http.StatusUnauthorized, "unauthorized", "%s", detail)
}

func (s *Server) lookUp(key string) (Principal, bool) {
	return s.byHash(sha256.Sum256([]byte(key)))
}

// still reports whether the key of a request that goes on may have the scope as it
// is now.
func (s *Server) still(p Principal, scope tenant.Scope) bool {
	now, ok := s.byHash(p.Key.Hash)
	return ok && now.Key.May(scope)
}

func (s *Server) byHash(hash [32]byte) (Principal, bool) {
	k, org, list, ok := s.cfg.Keys.Key(hash)
	if !ok || (!k.ExpiresAt.IsZero() && !s.cfg.Clock().Before(k.ExpiresAt)) {
		return Principal{}, false
	}
	return Principal{Key: k, Org: org, List: list}, true
}

// defaultRegion reads national numbers where no list says otherwise.
const defaultRegion = "US"

// caller is the principal as the commands know it.
func (s *Server) caller(r *http.Request, p Principal) commands.Caller {
	c := commands.Caller{
		Org: p.Org, Actor: "key/" + p.Key.ID, Source: "api", Region: defaultRegion,
		IdempotencyKey: p.Once,
		// The path, not the pattern: the same key on another call is another fact.
		Route:         r.Method + " " + r.URL.Path,
		CorrelationID: p.RequestID, TraceParent: traceParent(r), Origin: event.OriginLive,
	}
	if p.List != nil && p.List.DefaultRegion != "" {
		c.Region = p.List.DefaultRegion
	}
	return c
}

// traceContext is the form of a W3C traceparent; anything else is dropped, as
// the specification demands.
var traceContext = regexp.MustCompile(`^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

func traceParent(r *http.Request) string {
	if v := r.Header.Get("traceparent"); traceContext.MatchString(v) {
		return v
	}
	return ""
}

// regionOf returns the region of a list, the default for one that is not known.
func (s *Server) regionOf(org, listID string) string {
	if listID == "" || s.cfg.Lists == nil {
		return defaultRegion
	}
	if l, ok := s.cfg.Lists.List(org, listID); ok && l.DefaultRegion != "" {
		return l.DefaultRegion
	}
	return defaultRegion
}
