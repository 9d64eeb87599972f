package delivery

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// HeaderAllowedRate is where a receiver says how much it takes.
const HeaderAllowedRate = "WebHook-Allowed-Rate"

// Consent is what a receiver said when it was asked whether it wants webhooks
// from this hub (CloudEvents HTTP webhook 1.0.2, section 4). It is about one
// URL: an endpoint that gets another one asks again.
type Consent struct {
	// State is "waiting" or "granted"; empty for an endpoint that needs none.
	State ConsentState `json:"state,omitempty"`
	// URL is whom it was asked of, Origin on whose behalf.
	URL    string `json:"url,omitempty"`
	Origin string `json:"origin,omitempty"`
	// RatePerMin is the rate that was granted; 0 is no bound.
	RatePerMin int64     `json:"rate_per_min,omitempty"`
	AskedAt    time.Time `json:"asked_at,omitzero"`
	GrantedAt  time.Time `json:"granted_at,omitzero"`
	// Detail says in words what a receiver answered that has not consented.
	Detail string `json:"detail,omitempty"`
	// Enable says that the endpoint is to be enabled once consent is there.
	Enable bool `json:"enable,omitempty"`
	// Token is the secret of the callback URL, by which a receiver may consent
	// later.
	Token string `json:"-"`
}

// ConsentState is how far the question has come.
type ConsentState string

// The states. A receiver that refused is waited for like one that is silent:
// it may consent later, by the callback or when it is asked again.
const (
	ConsentWaiting ConsentState = "waiting"
	ConsentGranted ConsentState = "granted"
)

// Consented reports whether the receiver agreed to what is sent, or need not.
func (e Endpoint) Consented() bool {
	return !e.Handshake || e.Consent.State == ConsentGranted && e.Consent.URL == e.URL
}

// AwaitsConsent reports whether the question is open.
func (e Endpoint) AwaitsConsent() bool {
	return e.Handshake && e.Consent.State == ConsentWaiting
}

// Rate is how many requests a second may be started: the owner's bound or the
// receiver's, whichever is lower; 0 is no bound.
func (e Endpoint) Rate() float64 {
	granted := float64(e.Consent.RatePerMin) / 60
	switch {
	case !e.Handshake || granted == 0:
		return e.RatePerSec
	case e.RatePerSec == 0:
		return granted
	}
	return min(granted, e.RatePerSec)
}

// SameOrigin compares two DNS names as DNS does.
func SameOrigin(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

// AllowedRate reads a granted rate: requests a minute, or * for no bound, which
// is 0.
func AllowedRate(text string) (int64, error) {
	text = strings.TrimSpace(text)
	if text == "*" {
		return 0, nil
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 || text[0] == '+' {
		return 0, fmt.Errorf("%s is %.100q; expected a whole number of requests a minute, or *", HeaderAllowedRate, text)
	}
	return n, nil
}
