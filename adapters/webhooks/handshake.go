package webhooks

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// The headers of the CloudEvents abuse protection, in the case of the
// specification.
const (
	HeaderRequestOrigin   = "WebHook-Request-Origin"
	HeaderRequestRate     = "WebHook-Request-Rate"
	HeaderRequestCallback = "WebHook-Request-Callback"
	HeaderAllowedOrigin   = "WebHook-Allowed-Origin"
	HeaderAllowedRate     = delivery.HeaderAllowedRate
)

// handshakeTimeout is the deadline of a validation request: somebody waits for
// the answer of the API.
const handshakeTimeout = 10 * time.Second

// Handshake asks receivers whether they want webhooks from this hub
// (CloudEvents HTTP webhook 1.0.2, section 4). It is safe for concurrent use.
type Handshake struct {
	// Attempter makes the request, with the guard and the limits of deliveries.
	Attempter Attempter
	// Version is the hub's, for User-Agent.
	Version string
}

// Ask makes one validation request and returns the granted rate, in requests a
// minute, 0 for no bound. An error is no consent, and says why in words.
func (h Handshake) Ask(ctx context.Context, ep delivery.Endpoint, callback string) (ratePerMin int64, err error) {
	headers := []delivery.Header{
		{Name: "User-Agent", Value: "Trunkline/" + h.Version},
		{Name: HeaderRequestOrigin, Value: ep.Consent.Origin},
	}
	var wanted int64
	if ep.RatePerSec > 0 {
		wanted = max(1, int64(math.Ceil(ep.RatePerSec*60)))
		headers = append(headers, delivery.Header{Name: HeaderRequestRate, Value: strconv.FormatInt(wanted, 10)})
	}
	if callback != "" {
		headers = append(headers, delivery.Header{Name: HeaderRequestCallback, Value: callback})
	}
	res := h.Attempter.Attempt(ctx, Request{
		Method: http.MethodOptions, URL: ep.URL, Headers: withOwn(headers, ep.Headers), Timeout: handshakeTimeout,
	})
	return consent(res, ep.Consent.Origin, wanted)
}

// consent reads the answer to a validation request. The two headers are what
// grants; a status alone never is. The answer has to be a success besides: a
// redirect or an error that carries them comes from something in between.
func consent(res Result, origin string, wanted int64) (ratePerMin int64, err error) {
	if !res.Delivered() {
		return 0, errors.New(delivery.Plain(res.Error))
	}
	allowed := values(res.Headers, HeaderAllowedOrigin)
	switch {
	case len(allowed) == 0:
		return 0, fmt.Errorf("answered %d without %s", res.StatusCode, HeaderAllowedOrigin)
	case len(allowed) > 1:
		return 0, fmt.Errorf("%s came %d times; expected one name", HeaderAllowedOrigin, len(allowed))
	case allowed[0] != "*" && !delivery.SameOrigin(allowed[0], origin):
		return 0, fmt.Errorf("%s is %.100q; expected %s or *", HeaderAllowedOrigin, allowed[0], origin)
	}
	rates := values(res.Headers, HeaderAllowedRate)
	switch len(rates) {
	case 0:
		// It must be sent when a rate was asked for; many receivers forget it. What
		// was asked for was not refused.
		return wanted, nil
	case 1:
		return delivery.AllowedRate(rates[0])
	}
	return 0, fmt.Errorf("%s came %d times; expected one number", HeaderAllowedRate, len(rates))
}

// values are those of a header, its lines apart.
func values(all []delivery.Header, name string) []string {
	var out []string
	for _, h := range all {
		if strings.EqualFold(h.Name, name) {
			out = append(out, strings.TrimSpace(h.Value))
		}
	}
	return out
}

// Origin is the name that a hub sends on behalf of: the host of its public URL.
func Origin(publicURL string) string {
	u, err := url.Parse(publicURL)
	if err != nil {
		return ""
	}
	return strings.ToLower(u.Hostname())
}
