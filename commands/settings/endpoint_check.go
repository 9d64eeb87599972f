package settings

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Bounds of a webhook's settings.
const (
	maxInFlight    = 1000
	maxRatePerSec  = 100_000
	maxHeaders     = 50
	maxHeaderName  = 128
	maxHeaderValue = 4096
	maxFilters     = 20
	maxEvents      = 100
)

// checkEndpoint completes an endpoint and says everything that is wrong with it.
func (s *Service) checkEndpoint(d *draft, e *delivery.Endpoint, newURL bool) error {
	var f faults
	f.name("/name", e.Name)
	if newURL {
		f.url("/url", e.URL, s.cfg.Guard)
	}
	if known, ok := s.cfg.Dialects.Events(e.Dialect); ok {
		s.checkEvents(&f, e, known)
	} else {
		f.add("/dialect", "expected one of %s", strings.Join(s.cfg.Dialects.Names(), ", "))
	}
	checkProvider(&f, e)
	if e.Number != "" {
		e.Number = s.number(&f, "/number", e.Number)
	}
	if !e.SignStandard && s.cfg.Dialects.SignedByStandard(e.Dialect) {
		f.add("/sign_standard", "the headers of Standard Webhooks are what %s signs with", e.Dialect)
	}
	oneOf(&f, "/ordering", e.Ordering, orderingEntity, orderingNone)
	oneOf(&f, "/ids", e.IDs, idsHub, idsSource)
	if e.SignEd25519 && !e.SignStandard {
		f.add("/sign_ed25519", "its signatures stand in webhook-signature; sign_standard must be true")
	}
	if e.Handshake && s.cfg.Receivers == nil {
		f.add("/handshake", "this process cannot ask receivers for their consent")
	}
	s.checkLane(&f, d, e)
	checkHeaders(&f, e.Headers)
	return f.err()
}

// checkLane checks what webhooks and connectors have in common: whose events
// they get, and how fast.
func (s *Service) checkLane(f *faults, d *draft, e *delivery.Endpoint) {
	if _, ok := d.now.List(e.Org, e.ListID); e.ListID != "" && !ok {
		f.add("/list_id", "there is no such list")
	}
	if !event.Writable(e.StartFrom) {
		f.add("/start_from", "expected a time in the years 0 to 9999 of UTC")
	}
	if e.MaxInFlight < 0 || e.MaxInFlight > maxInFlight {
		f.add("/max_in_flight", "expected 1 to %d, or 0 for the default", maxInFlight)
	}
	if e.RatePerSec < 0 || e.RatePerSec > maxRatePerSec {
		f.add("/rate_per_sec", "expected up to %d, or 0 for no limit", maxRatePerSec)
	}
	if len(e.Filter) > maxFilters {
		f.add("/filter", "at most %d conditions", maxFilters)
	}
	for _, k := range slices.Sorted(maps.Keys(e.Filter)) {
		f.text("/filter/"+escape(k), k+e.Filter[k], maxHeaderValue)
	}
}

// number returns one of our own numbers as E.164.
func (s *Service) number(f *faults, pointer, number string) string {
	if s.cfg.Phones == nil {
		return number
	}
	e164, err := s.cfg.Phones.E164(number, defaultRegion)
	if err != nil {
		f.add(pointer, "%s", err)
	}
	return e164
}

func (s *Service) checkEvents(f *faults, e *delivery.Endpoint, known []string) {
	if len(e.Events) == 0 && len(known) == 1 {
		e.Events = slices.Clone(known)
	}
	switch {
	case len(e.Events) == 0:
		f.add("/events", "at least one is required; %s has %s", e.Dialect, strings.Join(known, ", "))
	case len(e.Events) > maxEvents:
		f.add("/events", "at most %d", maxEvents)
	case e.Dialect == dialnote && len(e.Events) != 1:
		f.add("/events", "a dialnote webhook sends one event: one of %s", strings.Join(known, ", "))
	}
	for i, name := range e.Events {
		if !s.cfg.Dialects.Subscribable(e.Dialect, name) {
			f.add(fmt.Sprintf("/events/%d", i), "%s has no event %.100q; it has %s", e.Dialect, name, strings.Join(known, ", "))
		}
		if slices.Contains(e.Events[:i], name) {
			f.add(fmt.Sprintf("/events/%d", i), "%.100q is listed twice", name)
		}
	}
}

func checkProvider(f *faults, e *delivery.Endpoint) {
	if e.Dialect != dialnote {
		if e.Provider != "" {
			f.add("/provider", "only webhooks in dialect dialnote have a provider")
		}
		return
	}
	if e.Provider == "" {
		e.Provider = providerOf(e.URL)
	}
	oneOf(f, "/provider", e.Provider, providerZapier, providerCustom)
}

// zapierHost is where Zapier's own URLs lead, which work without a word about
// the provider (seed 001).
const zapierHost = "hooks.zapier.com"

func providerOf(rawURL string) string {
	if u, err := url.Parse(rawURL); err == nil && strings.EqualFold(u.Hostname(), zapierHost) {
		return providerZapier
	}
	return providerCustom
}

func oneOf(f *faults, pointer, got string, want ...string) {
	if !slices.Contains(want, got) {
		f.add(pointer, "expected %s", strings.Join(want, " or "))
	}
}

func checkHeaders(f *faults, headers map[string]string) {
	if len(headers) > maxHeaders {
		f.add("/headers", "at most %d headers", maxHeaders)
	}
	seen := make(map[string]bool, len(headers))
	for _, name := range slices.Sorted(maps.Keys(headers)) {
		at, value, lower := "/headers/"+escape(name), headers[name], strings.ToLower(name)
		switch {
		case !isToken(name) || len(name) > maxHeaderName:
			f.add(at, "this is not the name of an HTTP header")
		case reserved(lower):
			f.add(at, "%s is reserved: the hub sets it, or HTTP does", name)
		case seen[lower]:
			f.add(at, "%s is given twice; case does not tell headers apart", name)
		case len(value) > maxHeaderValue:
			f.add(at, "a value has at most %d bytes", maxHeaderValue)
		case !isFieldValue(value):
			f.add(at, "the value holds characters that HTTP does not allow there")
		}
		seen[lower] = true
	}
}

// reserved reports whether a header is the hub's, a dialect's or HTTP's own.
// authorization is not: receivers ask for it.
func reserved(lower string) bool {
	for _, prefix := range []string{"webhook-", "trunkline-", "x-webhook-", "x-dialnote-", "proxy-", "sec-"} {
		if strings.HasPrefix(lower, prefix) {
			return true
		}
	}
	switch lower {
	case "x-hmac-signature", "content-type", "content-length", "content-encoding", "host", "user-agent",
		"connection", "keep-alive", "transfer-encoding", "te", "trailer", "upgrade", "expect", "accept-encoding", "traceparent":
		return true
	}
	return false
}

// isToken is RFC 9110's token.
func isToken(s string) bool {
	if s == "" {
		return false
	}
	for _, c := range []byte(s) {
		alnum := c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z'
		if !alnum && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return true
}

// isFieldValue is RFC 9110's field-value in visible ASCII, spaces inside.
func isFieldValue(s string) bool {
	if strings.TrimSpace(s) != s {
		return false
	}
	for _, c := range []byte(s) {
		if (c < ' ' && c != '\t') || c > '~' {
			return false
		}
	}
	return true
}

// escape makes a key a reference token of a JSON Pointer (RFC 6901).
func escape(key string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
