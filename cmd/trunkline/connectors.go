package main

import (
	"context"
	"errors"

	"trunkline.dev/trunkline/adapters/connectors"
	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/postgres/steps"
	"trunkline.dev/trunkline/adapters/webhooks"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/delivery"
)

// startConnectors makes the connectors and their memory. It comes before the
// settings, which ask them what is right.
func (a *app) startConnectors(ctx context.Context) error {
	memory, err := steps.New(steps.Config{Pool: a.pool, Logger: a.log})
	if err != nil {
		return err
	}
	a.guard = webhooks.NewGuard(a.cfg.WebhooksAllowCIDRs, a.cfg.WebhooksAllowHTTP)
	var formats []connectors.Format
	for _, d := range dialects.All() {
		formats = append(formats, d)
	}
	a.connectors, err = connectors.New(connectors.Config{
		Control: a.guard.Control, CheckURL: a.guard.CheckURL, Steps: memory, Recordings: library{a}, Formats: formats, Version: version,
	})
	if err != nil {
		return err
	}
	a.onStop("connectors", func(context.Context) error { a.connectors.Close(); return nil })
	if !a.cfg.has("webhooks") {
		return nil
	}
	if err := memory.Start(ctx); err != nil {
		return err
	}
	a.onStop("steps of connectors", memory.Stop)
	return nil
}

// library opens the hub's copies of recordings for connectors, which are made
// before it.
type library struct{ app *app }

// Open opens a recording of an org.
func (l library) Open(ctx context.Context, org, recordingID string) (connectors.Audio, error) {
	audio, err := l.app.recordings.Open(ctx, org, recordingID)
	switch {
	case errors.Is(err, recordings.ErrDeleted):
		return connectors.Audio{}, connectors.ErrDeleted
	case errors.Is(err, recordings.ErrNotStored), errors.Is(err, recordings.ErrUnknown):
		return connectors.Audio{}, connectors.ErrNotStored
	case err != nil:
		return connectors.Audio{}, err
	}
	return connectors.Audio{ReadCloser: audio, Size: audio.Size, ContentType: audio.ContentType, SHA256: audio.SHA256}, nil
}

// formats are what the delivery engine can render: the dialects, and the
// connectors that render something of their own.
func (a *app) formats() (all []webhooks.Dialect, work map[string]webhooks.Connector) {
	for _, d := range dialects.All() {
		all = append(all, d)
	}
	work = make(map[string]webhooks.Connector)
	for _, r := range a.connectors.Rendered() {
		all = append(all, r)
		if r.Works() {
			work[r.Name()] = worker{set: a.connectors, links: a.reviving(nil)}
		}
	}
	return all, work
}

// worker makes the attempts of connectors.
type worker struct {
	set   *connectors.Set
	links reviving
}

// Deliver does what a delivery asks for. The links that it leaves in the other
// system live as long as those of a webhook that is sent now.
func (w worker) Deliver(ctx context.Context, e delivery.Endpoint, d delivery.Delivery) webhooks.Result {
	w.links.reviveIn(ctx, d.Org, d.EntityID, d.Body)
	o := w.set.Deliver(ctx, e, d)
	return webhooks.Result{StatusCode: o.StatusCode, Body: o.Steps, Error: o.Error, RetryAfter: o.RetryAfter}
}

// checker tries connectors for the API.
type checker struct{ set *connectors.Set }

var (
	_ httpapi.Checker     = checker{}
	_ settings.Connectors = (*connectors.Set)(nil)
)

// Check tries whether a connector can do its work.
func (c checker) Check(ctx context.Context, e delivery.Endpoint) httpapi.ConnectorCheck {
	r := c.set.Check(ctx, e)
	out := httpapi.ConnectorCheck{OK: r.OK, Steps: make([]httpapi.ConnectorCheckStep, len(r.Steps))}
	for i, s := range r.Steps {
		out.Steps[i] = httpapi.ConnectorCheckStep(s)
	}
	return out
}
