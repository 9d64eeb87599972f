package settings

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// Enabling is the body of POST /v1/webhooks/{id}/enable.
type Enabling struct {
	// Backlog says what becomes of what was held: "deliver" (default) or "drop".
	Backlog string `json:"backlog"`
}

// Disabling is the body of POST /v1/webhooks/{id}/disable.
type Disabling struct {
	Reason string `json:"reason"`
}

// Enable enables a webhook. With "drop" what is held at this moment is given up
// first, so a crash between the two leaves it disabled.
func (s *Service) Enable(ctx context.Context, c commands.Caller, id string, in Enabling) (e delivery.Endpoint, err error) {
	switch in.Backlog {
	case "", backlogOfEnable:
	case backlogDiscarded:
		known, ok := s.cfg.View.Snapshot().Endpoint(c.Org.ID, id)
		if !ok {
			return e, missing(Endpoints, id)
		}
		if s.cfg.Backlog != nil {
			if err := s.cfg.Backlog.Drop(ctx, known, "dropped when the webhook was enabled, by "+c.Actor); err != nil {
				return e, fmt.Errorf("dropping the backlog of %s: %w: %w", id, ErrUnavailable, err)
			}
		}
	default:
		var f faults
		oneOf(&f, "/backlog", in.Backlog, backlogOfEnable, backlogDiscarded)
		return e, f.err()
	}
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.endpoint(id); err != nil || e.Enabled {
			return err
		}
		e.Enabled, e.DisabledReason, e.UpdatedAt, e.EnabledAt = true, "", d.at, d.at
		d.putEndpoint(e, tenant.Enabled, in.Backlog)
		return nil
	})
	return e, err
}

// Disable disables a webhook: what it is owed from now on is held.
func (s *Service) Disable(ctx context.Context, c commands.Caller, id string, in Disabling) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var f faults
		f.text("/reason", in.Reason, 1000)
		if err := f.err(); err != nil {
			return err
		}
		if e, err = d.endpoint(id); err != nil || !e.Enabled {
			return err
		}
		e.Enabled, e.DisabledReason, e.UpdatedAt = false, in.Reason, d.at
		d.putEndpoint(e, tenant.Disabled, in.Reason)
		return nil
	})
	return e, err
}

// DisableByHub disables a webhook on the hub's own account, with a reason in
// words. One that Zapier subscribed is deleted when the reason is that Zapier
// answered 410: its Zap is off. Doing it again, or to one that is gone, is
// harmless.
func (s *Service) DisableByHub(ctx context.Context, id, reason string) error {
	e, ok := s.cfg.View.Snapshot().EndpointByID(id)
	if !ok || !e.Enabled {
		return nil
	}
	return s.change(ctx, hub(tenant.Org{ID: e.Org}), func(d *draft) error {
		e, ok := d.now.EndpointByID(id)
		if !ok || !e.Enabled {
			return nil
		}
		if e.RESTHook && reason == delivery.ReasonGone {
			d.deleteEndpoint(e, reason)
			return nil
		}
		e.Enabled, e.DisabledReason, e.UpdatedAt = false, reason, d.at
		d.putEndpoint(e, tenant.Disabled, reason)
		return nil
	})
}

// Secret shows the current secret of a webhook. That somebody saw it is a fact.
func (s *Service) Secret(ctx context.Context, c commands.Caller, id string) (secret string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		e, err := d.endpoint(id)
		if err != nil {
			return err
		}
		secret = Current(e)
		d.fact(e.Org, e.ID, delivery.EndpointChanged{Change: d.said(tenant.SecretRead, e.ID, "")})
		return nil
	})
	return secret, err
}

// Current is the newest secret of an endpoint, "" if it has none.
func Current(e delivery.Endpoint) string {
	if len(e.Secrets) == 0 {
		return ""
	}
	return e.Secrets[0].Value
}

// RotateSecret gives a webhook a new secret; the former one signs too until the
// overlap ends. The secret of a Symbo webhook is the account's: all of the
// org's Symbo webhooks get the new one.
func (s *Service) RotateSecret(ctx context.Context, c commands.Caller, id string, in Rotation) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.endpoint(id); err != nil {
			return err
		}
		if e.Dialect == dialnote {
			return fixedSecret()
		}
		var f faults
		overlap := f.overlap(in.OverlapSec)
		if err := f.err(); err != nil {
			return err
		}
		secret, err := d.secret()
		if err != nil {
			return err
		}
		all := []delivery.Endpoint{e}
		if isSymbo(e) {
			all = d.symboEndpoints()
			if err := d.setSymboSecret(secret); err != nil {
				return err
			}
		}
		for _, o := range all {
			o.Secrets, o.UpdatedAt = rotate(o.Secrets, secret, d.at, d.at.Add(overlap)), d.at
			d.putEndpoint(o, tenant.SecretRotated, "")
			if o.ID == id {
				e = o
			}
		}
		return nil
	})
	return e, err
}

// rotate puts a new secret first and keeps those that are still valid: the
// former one until an end, older ones until theirs.
func rotate(old []delivery.Secret, secret string, now, end time.Time) []delivery.Secret {
	secrets := []delivery.Secret{{Value: secret}}
	for i, o := range old {
		if i == 0 {
			o.ExpiresAt = end
		}
		if o.ExpiresAt.After(now) {
			secrets = append(secrets, o)
		}
	}
	return secrets
}

// secretsFor returns the secrets of a new endpoint.
func (d *draft) secretsFor(e delivery.Endpoint) ([]delivery.Secret, error) {
	if isSymbo(e) {
		if others := d.symboEndpoints(); len(others) > 0 {
			return slices.Clone(others[0].Secrets), nil
		}
		if org, ok := d.now.Org(e.Org); ok && org.SymboSecret != "" {
			return []delivery.Secret{{Value: org.SymboSecret}}, nil
		}
	}
	secret, err := d.secret()
	if err == nil && isSymbo(e) {
		err = d.setSymboSecret(secret)
	}
	return []delivery.Secret{{Value: secret}}, err
}

func (d *draft) symboEndpoints() []delivery.Endpoint {
	all := slices.Clone(d.now.Endpoints(d.caller.Org.ID))
	return slices.DeleteFunc(all, func(e delivery.Endpoint) bool { return !isSymbo(e) })
}

// isSymbo reports whether an endpoint signs with the account's secret: whichever
// version it speaks, Symbo's webhooks are set up at the account level.
func isSymbo(e delivery.Endpoint) bool {
	system, _, _ := strings.Cut(e.Dialect, "/")
	return system == symbo
}

func (d *draft) setSymboSecret(secret string) error {
	org, ok := d.now.Org(d.caller.Org.ID)
	if !ok {
		return missing("org", d.caller.Org.ID)
	}
	org.SymboSecret = secret
	d.out.Orgs = append(d.out.Orgs, org)
	return nil
}
