package connectors

import (
	"context"
	"maps"
	"slices"
	"strings"

	"trunkline.dev/trunkline/domain/delivery"
)

// httpsKind posts to an HTTPS endpoint of the customer (seed 000, tab Custom):
// webhooks in a format of the customer's choice, dylr's if none is chosen, which
// must be answered with 2xx within ten seconds. It is sent as any webhook is.
type httpsKind struct{ set *Set }

type httpsConfig struct {
	URL string `json:"url"`
	// Format is the dialect that is sent; dylr by default.
	Format string `json:"format"`
}

// httpsHeader is the credential that is sent as Authorization.
const httpsHeader = "authorization"

func (httpsKind) name() string { return "https" }

// triggers are dylr's; another format has its own events.
func (httpsKind) triggers() triggers { return triggers{events: []string{callCompleted}, byDefault: 1} }

func (k httpsKind) prepare(f *faults, e *delivery.Endpoint) {
	c := read[httpsConfig](f, e)
	f.credentials(e, nil, []string{httpsHeader})
	f.noMapping(e)
	f.target(k.set, c.URL)
	e.URL, e.Headers = c.URL, nil
	if v := e.Credentials[httpsHeader]; v != "" {
		e.Headers = map[string]string{"Authorization": v}
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			f.add("/credentials/"+httpsHeader, "expected the value of a header: visible ASCII")
		}
	}
	if c.Format == "" {
		c.Format = dylr
	}
	format, ok := k.set.formats[c.Format]
	if !ok {
		f.add("/config/format", "expected one of %s", strings.Join(slices.Sorted(maps.Keys(k.set.formats)), ", "))
		return
	}
	e.Dialect, e.Provider = c.Format, ""
	if c.Format == dialnote {
		e.Provider = "custom"
	}
	if len(e.Events) == 0 && c.Format == dialnote {
		f.add("/events", "%s sends one event to a receiver: one of %s", c.Format, strings.Join(format.Events(), ", "))
	}
	if len(e.Events) == 0 {
		e.Events = format.Events()
	}
	f.events(e.Events, format.Events())
	if c.Format == dialnote && len(e.Events) > 1 {
		f.add("/events", "%s sends one event to a receiver", c.Format)
	}
}

// dialnote is the format that sends one event to a receiver (seed 001).
const dialnote = "dialnote"

func (k httpsKind) inspect(ctx context.Context, a *attempt) { a.reach(ctx, a.endpoint.URL) }
