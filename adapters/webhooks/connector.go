package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// Connector makes the attempts of a dialect whose deliveries need more than one
// POST: a CRM, a file store. It is planned, ordered, retried, held and logged
// as webhooks are.
type Connector interface {
	// Deliver does what a delivery asks for, from the beginning or from where an
	// earlier attempt came to: doing it twice leaves one effect. It returns soon
	// after ctx ends. Body of the result says what was done, step by step, without
	// credentials; a StatusCode of 2xx and no Error is success, 429 asks for less.
	Deliver(ctx context.Context, e delivery.Endpoint, d delivery.Delivery) Result
}

// attempt makes one attempt: a request, or what a connector does. Here is where the
// words of others come in: a reason may quote a receiver, and goes from here into
// rows, health and facts.
func (e *Engine) attempt(ctx context.Context, d delivery.Delivery, ep delivery.Endpoint, dialect Dialect, timeout time.Duration, turn int) (Request, Result) {
	req := e.request(d, ep, dialect, timeout, turn)
	res := e.ask(ctx, req, d, ep, dialect, timeout)
	res.Error = delivery.Plain(res.Error)
	return req, res
}

func (e *Engine) ask(ctx context.Context, req Request, d delivery.Delivery, ep delivery.Endpoint, dialect Dialect, timeout time.Duration) Result {
	c, ok := e.cfg.Connectors[dialect.Name()]
	if !ok {
		return e.cfg.Attempter.Attempt(ctx, req)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	start := e.cfg.Clock()
	res := c.Deliver(ctx, ep, d)
	res.StartedAt, res.Duration = start, max(0, e.cfg.Clock().Sub(start)) // it may be set meanwhile
	return res
}

// asked is what a connector is asked for. It stands in the log as the request, so
// that it can be sent again; no headers are sent with it.
func asked(d delivery.Delivery, ep delivery.Endpoint, timeout time.Duration) Request {
	return Request{URL: ep.URL, Headers: []delivery.Header{}, Body: d.Body, Org: d.Org, EntityID: d.EntityID, Timeout: timeout}
}
