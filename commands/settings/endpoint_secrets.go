package settings

import (
	"context"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// Secret shows the current secret of a webhook. That somebody saw it is a fact.
func (s *Service) Secret(ctx context.Context, c commands.Caller, id string) (secret string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		e, err := d.endpoint(id)
		if err != nil {
			return err
		}
		if !signs(e) {
			return unsigned(e)
		}
		secret = Current(e)
		d.fact(e.Org, e.ID, delivery.EndpointChanged{Change: d.said(tenant.SecretRead, e.ID, "")})
		return nil
	})
	return secret, err
}

// signs reports whether an endpoint is sent signed webhooks. Connectors that
// write to another system sign in there instead.
func signs(e delivery.Endpoint) bool { return e.Connector == "" || e.Connector != e.Dialect }

func unsigned(e delivery.Endpoint) error {
	return &Conflict{Reason: "a connector of kind " + e.Connector + " signs in with its credentials; there is no secret that it signs with"}
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
		switch {
		case e.Dialect == dialnote:
			return fixedSecret()
		case !signs(e):
			return unsigned(e)
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
			before := o
			o.Secrets, o.UpdatedAt = rotate(o.Secrets, secret, d.at, d.at.Add(overlap)), d.at
			redirected(before, &o, d.at)
			d.putEndpoint(o, tenant.SecretRotated, "")
			if o.ID == id {
				e = o
			}
		}
		return nil
	})
	return e, err
}

// rotate puts a new secret first and keeps those that are still valid, until
// an end at the latest: nobody who gives no overlap means to keep older ones.
func rotate(old []delivery.Secret, secret string, now, end time.Time) []delivery.Secret {
	secrets := []delivery.Secret{{Value: secret}}
	for _, o := range old {
		if o.ExpiresAt = earlier(o.ExpiresAt, end); o.ExpiresAt.After(now) {
			secrets = append(secrets, o)
		}
	}
	return secrets
}

// earlier is the first of two ends; zero is none.
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || b.Before(a) {
		return b
	}
	return a
}

// RotateSigningKey gives a webhook a new key pair; the former one signs too,
// and stays in the JWKS, until the overlap ends.
func (s *Service) RotateSigningKey(ctx context.Context, c commands.Caller, id string, in Rotation) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.endpoint(id); err != nil {
			return err
		}
		if !e.SignEd25519 {
			return &Conflict{Reason: "this webhook has no key pair; PATCH it with sign_ed25519: true first"}
		}
		var f faults
		overlap := f.overlap(in.OverlapSec)
		if err := f.err(); err != nil {
			return err
		}
		key, err := d.signingKey()
		if err != nil {
			return err
		}
		before := e
		keys := []delivery.SigningKey{key}
		for _, k := range e.SigningKeys {
			if k.ExpiresAt = earlier(k.ExpiresAt, d.at.Add(overlap)); k.ExpiresAt.After(d.at) {
				keys = append(keys, k)
			}
		}
		e.SigningKeys, e.UpdatedAt = keys, d.at
		redirected(before, &e, d.at)
		d.putEndpoint(e, tenant.SigningKeyRotated, "")
		return nil
	})
	return e, err
}

// signingKeyFor gives a webhook that signs by Ed25519 its key pair.
func (d *draft) signingKeyFor(e *delivery.Endpoint) error {
	if !e.SignEd25519 || len(e.SigningKeys) > 0 {
		return nil
	}
	key, err := d.signingKey()
	if err == nil {
		e.SigningKeys = []delivery.SigningKey{key}
	}
	return err
}

func (d *draft) signingKey() (delivery.SigningKey, error) {
	seed, err := d.bytes(32)
	if err != nil {
		return delivery.SigningKey{}, err
	}
	return delivery.NewSigningKey([32]byte(seed), d.at), nil
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
