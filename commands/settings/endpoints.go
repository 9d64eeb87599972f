package settings

import (
	"context"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// The words of an endpoint's settings.
const (
	orderingEntity = "entity"
	orderingNone   = "none"
	idsHub         = "hub"
	idsSource      = "source"

	dialnote         = "dialnote"
	symbo            = "symbo"
	providerZapier   = "zapier"
	providerCustom   = "custom"
	backlogOfEnable  = "deliver"
	backlogDiscarded = "drop"
)

// EndpointSettings are what POST and PATCH of a webhook take: in a PATCH absent
// keeps and null gives the default.
type EndpointSettings struct {
	Name         event.Opt[string]            `json:"name"`
	URL          event.Opt[string]            `json:"url"`
	Dialect      event.Opt[string]            `json:"dialect"`
	Events       event.Opt[[]string]          `json:"events"`
	Provider     event.Opt[string]            `json:"provider"`
	ListID       event.Opt[string]            `json:"list_id"`
	Number       event.Opt[string]            `json:"number"`
	Filter       event.Opt[map[string]string] `json:"filter"`
	Enabled      event.Opt[bool]              `json:"enabled"`
	Ordering     event.Opt[string]            `json:"ordering"`
	MaxInFlight  event.Opt[int]               `json:"max_in_flight"`
	RatePerSec   event.Opt[float64]           `json:"rate_per_sec"`
	Headers      event.Opt[map[string]string] `json:"headers"`
	StartFrom    event.Opt[time.Time]         `json:"start_from"`
	SignStandard event.Opt[bool]              `json:"sign_standard"`
	SignEd25519  event.Opt[bool]              `json:"sign_ed25519"`
	Handshake    event.Opt[bool]              `json:"handshake"`
	IDs          event.Opt[string]            `json:"ids"`
}

// EndpointPatch is the body of PATCH /v1/webhooks/{id}. It knows a secret only
// to say how it is changed.
type EndpointPatch struct {
	EndpointSettings
	Secret event.Opt[string] `json:"secret"`
}

func (in EndpointSettings) onto(e *delivery.Endpoint) {
	set(&e.Name, in.Name, "")
	set(&e.URL, in.URL, "")
	set(&e.Dialect, in.Dialect, "")
	set(&e.Events, in.Events, nil)
	set(&e.Provider, in.Provider, "")
	set(&e.ListID, in.ListID, "")
	set(&e.Number, in.Number, "")
	set(&e.Filter, in.Filter, nil)
	set(&e.Enabled, in.Enabled, true)
	set(&e.Ordering, in.Ordering, orderingEntity)
	set(&e.MaxInFlight, in.MaxInFlight, 0)
	set(&e.RatePerSec, in.RatePerSec, 0)
	set(&e.Headers, in.Headers, nil)
	set(&e.StartFrom, in.StartFrom, time.Time{})
	set(&e.SignStandard, in.SignStandard, true)
	set(&e.SignEd25519, in.SignEd25519, false)
	set(&e.Handshake, in.Handshake, false)
	set(&e.IDs, in.IDs, idsHub)
	e.StartFrom = event.Time(e.StartFrom)
}

// CreateEndpoint makes a webhook with a secret of its own, or the org's for
// Symbo. One with a handshake is disabled until its receiver has consented.
func (s *Service) CreateEndpoint(ctx context.Context, c commands.Caller, in EndpointSettings) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		e, err = s.newEndpoint(d, in)
		return err
	})
	if err != nil {
		return e, err
	}
	return s.answer(ctx, c, e, true)
}

func (s *Service) newEndpoint(d *draft, in EndpointSettings) (delivery.Endpoint, error) {
	e := delivery.Endpoint{
		Org: d.caller.Org.ID, Enabled: true, Ordering: orderingEntity, SignStandard: true, IDs: idsHub, CreatedAt: d.at, UpdatedAt: d.at,
	}
	in.onto(&e)
	e.CatchesUp = !e.StartFrom.IsZero() && e.StartFrom.Before(d.at)
	err := s.checkEndpoint(d, &e, true)
	if err != nil {
		return e, err
	}
	return s.create(d, e)
}

// create gives a new endpoint its id and its secret and puts it, or finds the
// one that the first sending of this request made.
func (s *Service) create(d *draft, e delivery.Endpoint) (_ delivery.Endpoint, err error) {
	if e.ID, err = d.id("endpoint"); err != nil {
		return e, err
	}
	if known, ok := d.now.EndpointByID(e.ID); ok {
		if known.Org == e.Org && d.repeated(known.CreatedAt) {
			return known, nil
		}
		if e.ID, err = d.freshID("endpoint"); err != nil {
			return e, err
		}
	}
	if signs(e) {
		if e.Secrets, err = d.secretsFor(e); err != nil {
			return e, err
		}
	}
	if err := d.signingKeyFor(&e); err != nil {
		return e, err
	}
	if e.Handshake {
		if err := s.ask(d, &e, e.Enabled); err != nil {
			return e, err
		}
	}
	d.putEndpoint(e, tenant.Created, "")
	return e, nil
}

// PutNumberEndpoint makes the one webhook that a number of ours has in a
// dialect, or changes the one that it has.
func (s *Service) PutNumberEndpoint(ctx context.Context, c commands.Caller, in EndpointSettings) (e delivery.Endpoint, made bool, err error) {
	var f faults
	number := s.number(&f, "/number", in.Number.Value)
	if err := f.err(); err != nil {
		return e, false, err
	}
	has := func(o delivery.Endpoint) bool { return o.Dialect == in.Dialect.Value && o.Number == number }
	all := s.cfg.View.Snapshot().Endpoints(c.Org.ID)
	if i := slices.IndexFunc(all, has); i >= 0 {
		in.Name = event.Opt[string]{} // somebody may have given it a better one
		e, err = s.ChangeEndpoint(ctx, c, all[i].ID, EndpointPatch{EndpointSettings: in})
		return e, false, err
	}
	err = s.change(ctx, c, func(d *draft) error {
		// Between the two looks somebody may have made it.
		if slices.ContainsFunc(d.now.Endpoints(c.Org.ID), has) {
			return &Conflict{Reason: "a webhook of this number was made at the same moment; send the request again"}
		}
		e, err = s.newEndpoint(d, in)
		return err
	})
	if err != nil {
		return e, true, err
	}
	e, err = s.answer(ctx, c, e, true)
	return e, true, err
}

// switched is what a change of an endpoint is in a fact: being enabled or
// disabled is told as such.
func switched(before, after *delivery.Endpoint, at time.Time) tenant.Action {
	redirected(*before, after, at)
	switch {
	case after.Enabled && !before.Enabled:
		after.DisabledReason, after.EnabledAt = "", at
		return tenant.Enabled
	case !after.Enabled && before.Enabled:
		return tenant.Disabled
	}
	return tenant.Updated
}

// redirected notes that an endpoint has another receiver, if it has.
func redirected(before delivery.Endpoint, after *delivery.Endpoint, at time.Time) {
	if !before.SameReceiver(*after) {
		after.ReceiverAt = at
	}
}

// ChangeEndpoint changes a webhook. Enabling it this way delivers its backlog.
func (s *Service) ChangeEndpoint(ctx context.Context, c commands.Caller, id string, in EndpointPatch) (e delivery.Endpoint, err error) {
	asks := false
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.webhook(id); err != nil {
			return err
		}
		if err := secretByPatch(e, in.Secret); err != nil {
			return err
		}
		before := e
		in.onto(&e)
		var f faults
		if e.Dialect != before.Dialect {
			f.add("/dialect", "the dialect of a webhook stays %s: its secret and its deliveries are of that system; make another webhook", before.Dialect)
			return f.err()
		}
		if e.ID == listEndpointID(e.ListID) != (before.ID == listEndpointID(before.ListID)) {
			f.add("/list_id", "this webhook is the webhook_url of its list")
			return f.err()
		}
		if err := s.checkEndpoint(d, &e, e.URL != before.URL); err != nil {
			return err
		}
		if err := d.signingKeyFor(&e); err != nil {
			return err
		}
		if asks, err = s.reconsent(d, before, &e, in.Enabled.Set); err != nil {
			return err
		}
		action, reason := switched(&before, &e, d.at), ""
		if asks {
			reason = asked
		}
		e.UpdatedAt = d.at
		d.putEndpoint(e, action, reason)
		d.syncEndpointList(e)
		return nil
	})
	if err != nil {
		return e, err
	}
	return s.answer(ctx, c, e, asks)
}

// secretByPatch refuses a secret in a PATCH, in words.
func secretByPatch(e delivery.Endpoint, secret event.Opt[string]) error {
	if !secret.Set {
		return nil
	}
	if e.Dialect == dialnote {
		return fixedSecret()
	}
	var f faults
	f.add("/secret", "a secret cannot be chosen; POST /v1/webhooks/%s/rotate-secret makes a new one", e.ID)
	return f.err()
}

func fixedSecret() error {
	return &Conflict{Reason: "the secret of a webhook in dialect dialnote cannot be changed after it was made; to get another secret, delete the webhook and make a new one"}
}

// DeleteEndpoint deletes a webhook. What it is still owed is dropped.
func (s *Service) DeleteEndpoint(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		e, err := d.endpoint(id)
		if err != nil {
			return err
		}
		d.deleteEndpoint(e, "")
		if l, ok := d.now.List(e.Org, e.ListID); ok && e.ID == listEndpointID(l.ID) {
			l.WebhookURL, l.UpdatedAt = "", d.at
			d.putList(l, tenant.Updated)
		}
		return nil
	})
}

// syncEndpointList keeps a list's webhook_url what its endpoint's is.
func (d *draft) syncEndpointList(e delivery.Endpoint) {
	l, ok := d.now.List(e.Org, e.ListID)
	if !ok || e.ID != listEndpointID(l.ID) || l.WebhookURL == e.URL {
		return
	}
	l.WebhookURL, l.UpdatedAt = e.URL, d.at
	d.putList(l, tenant.Updated)
}

// webhook returns an endpoint of the caller's org that is no connector.
func (d *draft) webhook(id string) (delivery.Endpoint, error) {
	e, err := d.endpoint(id)
	if err == nil && e.Connector != "" {
		return e, missing(Endpoints, id)
	}
	return e, err
}

// endpoint returns a webhook or a connector of the caller's org.
func (d *draft) endpoint(id string) (delivery.Endpoint, error) {
	e, ok := d.now.Endpoint(d.caller.Org.ID, id)
	if !ok {
		return e, missing(Endpoints, id)
	}
	return e, nil
}
