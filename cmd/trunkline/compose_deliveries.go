package main

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/adapters/clickhouse"
	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// deliveryLog is the delivery log as the API reads it, which knows where the log
// of facts ends.
type deliveryLog struct {
	*clickhouse.Store
	ends projections.Ends
}

var _ httpapi.DeliveryLog = deliveryLog{}

// CatchUp waits until the delivery log has what was acknowledged before.
func (l deliveryLog) CatchUp(ctx context.Context, patience time.Duration) (int64, error) {
	return projections.CatchUp(ctx, patience, l.ends, l.Store, projections.DeliveryLogName, event.Deliveries)
}

// sentLog finds finished deliveries in the delivery log.
type sentLog struct{ store *clickhouse.Store }

var _ webhooks.Sent = sentLog{}

// Sent returns a delivery as it was last sent.
func (l sentLog) Sent(ctx context.Context, org, deliveryID string) (webhooks.SentDelivery, bool, error) {
	d, ok, err := l.store.Sent(ctx, org, deliveryID)
	return sentDelivery(d), ok, err
}

// Unsuccessful returns what ended exhausted or dropped.
func (l sentLog) Unsuccessful(ctx context.Context, e delivery.Endpoint, since, until time.Time, cursor string, limit int) ([]webhooks.SentDelivery, string, error) {
	page, next, err := l.store.Unsuccessful(ctx, e.Org, e.ID, since, until, cursor, limit)
	list := make([]webhooks.SentDelivery, len(page))
	for i, d := range page {
		list[i] = sentDelivery(d)
	}
	return list, next, err
}

// CountUnsuccessful counts it.
func (l sentLog) CountUnsuccessful(ctx context.Context, e delivery.Endpoint, since, until time.Time) (int64, error) {
	return l.store.CountUnsuccessful(ctx, e.Org, e.ID, since, until)
}

// Bodies returns what was last sent of deliveries.
func (l sentLog) Bodies(ctx context.Context, org string, from, until time.Time, deliveryIDs []string) (map[string][]byte, error) {
	return l.store.Bodies(ctx, org, from, until, deliveryIDs)
}

func sentDelivery(d projections.SentDelivery) webhooks.SentDelivery {
	return webhooks.SentDelivery{Ref: d.Ref, Headers: d.Headers, Body: d.Body}
}

// pastEvents finds the event of a delivery in its history.
type pastEvents struct{ reader *readmodel.Reader }

var _ webhooks.Renderer = pastEvents{}

// Event returns the event that a delivery is of.
func (p pastEvents) Event(ctx context.Context, ref delivery.Ref, org string) (event.Recorded, bool, error) {
	past, err := p.reader.Event(ctx, org, ref.Position.Topic, ref.EventID)
	if errors.Is(err, readmodel.ErrNotFound) {
		return event.Recorded{}, false, nil
	}
	return past.Recorded, err == nil, err
}

// deliverer sends webhooks on a person's demand.
type deliverer struct{ service *webhooks.Service }

var (
	_ httpapi.Deliverer = deliverer{}
	_ settings.Backlog  = deliverer{}
)

// Test sends a sample to an endpoint now.
func (d deliverer) Test(ctx context.Context, e delivery.Endpoint) (delivery.Attempted, error) {
	r, err := d.service.Test(ctx, e)
	if errors.Is(err, dialects.ErrSilent) {
		err = &settings.Conflict{Reason: "the webhook's event is \"disabled\", for which nothing is sent; choose an event first"}
	}
	return delivery.Attempted{
		Ref: delivery.Ref{DeliveryID: r.DeliveryID, WebhookID: e.ID, Dialect: e.Dialect}, StatusCode: r.StatusCode, DurationMS: r.DurationMS,
		RequestHeaders: r.Request.Headers, RequestBody: r.Request.Body, ResponseHeaders: r.Response.Headers, ResponseBody: r.Response.Body, Error: r.Error,
	}, err
}

// Resend owes a delivery to its endpoint once more.
func (d deliverer) Resend(ctx context.Context, e delivery.Endpoint, deliveryID string) error {
	err := d.service.Resend(ctx, e.Org, deliveryID)
	if errors.Is(err, webhooks.ErrUnknown) {
		return projections.ErrNotFound
	}
	return err
}

// Cancel gives up what is unfinished of a delivery.
func (d deliverer) Cancel(ctx context.Context, org, deliveryID, reason string) (dispatch.Verdict, error) {
	return d.service.Cancel(ctx, org, deliveryID, reason)
}

// Drop gives up what is held for an endpoint.
func (d deliverer) Drop(ctx context.Context, e delivery.Endpoint, reason string) error {
	return d.service.Drop(ctx, e, reason)
}

// backlog is the settings' way to the deliverer, which is made after them: the
// engine needs the settings to know its endpoints.
type backlog struct{ app *app }

// Drop gives up what is held for an endpoint.
func (b backlog) Drop(ctx context.Context, e delivery.Endpoint, reason string) error {
	return b.app.deliverer.Drop(ctx, e, reason)
}

// previewer makes webhooks without sending them.
type previewer struct {
	service *webhooks.Service
	reader  *readmodel.Reader
}

var _ httpapi.Previewer = previewer{}

// Preview returns what events of one entity would make for an endpoint.
func (p previewer) Preview(ctx context.Context, e delivery.Endpoint, events ...event.Recorded) ([]httpapi.Previewed, error) {
	made, err := p.service.Preview(ctx, e, events...)
	all := make([]httpapi.Previewed, len(made))
	for i, m := range made {
		all[i] = httpapi.Previewed(m)
	}
	return all, err
}

// Sample makes a made-up event for an endpoint.
func (p previewer) Sample(e delivery.Endpoint, name string) (httpapi.Previewed, error) {
	m, err := p.service.Sample(e, name)
	return httpapi.Previewed(m), err
}

// Event finds an event of an org, whatever it is about.
func (p previewer) Event(ctx context.Context, org, id string) (event.Recorded, error) {
	for _, topic := range event.PublicTopics() {
		past, err := p.reader.Event(ctx, org, topic, id)
		if !errors.Is(err, readmodel.ErrNotFound) {
			return past.Recorded, err
		}
	}
	return event.Recorded{}, projections.ErrNotFound
}

// profileOf is how a dialect, or a kind of connectors, sends.
func (a *app) profileOf(dialect string) delivery.Profile {
	if d, ok := dialects.Get(dialect); ok {
		return d.Profile()
	}
	for _, r := range a.connectors.Rendered() {
		if r.Name() == dialect {
			return r.Profile()
		}
	}
	return delivery.Profile{}
}
