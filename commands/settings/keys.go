package settings

import (
	"context"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/tenant"
)

// NewKey is the body of POST /v1/api-keys.
type NewKey struct {
	Name   string         `json:"name"`
	Scopes []tenant.Scope `json:"scopes"`
	// ExpiresAt ends the key; absent is never.
	ExpiresAt *time.Time `json:"expires_at"`
}

// CreateKey makes an API key. The key itself is returned here and nowhere else.
func (s *Service) CreateKey(ctx context.Context, c commands.Caller, in NewKey) (key tenant.Key, plain string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var f faults
		f.name("/name", in.Name)
		if len(in.Scopes) == 0 {
			f.add("/scopes", "at least one of admin, write, read is required")
		}
		for i, scope := range in.Scopes {
			if !slices.Contains([]tenant.Scope{tenant.ScopeAdmin, tenant.ScopeWrite, tenant.ScopeRead}, scope) {
				f.add(fmt.Sprintf("/scopes/%d", i), "expected admin, write or read; the key of a list is made with its list")
			}
		}
		var end time.Time
		if in.ExpiresAt != nil {
			if end = in.ExpiresAt.UTC().Truncate(time.Microsecond); !end.After(d.at) {
				f.add("/expires_at", "expected a time in the future")
			}
		}
		if err := f.err(); err != nil {
			return err
		}
		scopes := slices.Compact(slices.Sorted(slices.Values(in.Scopes)))
		key, plain, err = d.newKey(tenant.Key{Org: c.Org.ID, Name: in.Name, Scopes: scopes, ExpiresAt: end})
		return err
	})
	return key, plain, err
}

// DeleteKey ends an API key at once. One that the hub is started with is refused: it
// would be back after the next start, and whoever ended it would not know.
func (s *Service) DeleteKey(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		k, ok := d.now.Key(c.Org.ID, id)
		if !ok {
			return missing(Keys, id)
		}
		org, _ := d.now.Org(c.Org.ID)
		if s.ofTheStart(org, k) {
			return &Conflict{Reason: "the hub is started with this key and would make it again: start it with another TRUNKLINE_ADMIN_KEY, or without its file admin.key, which ends this one"}
		}
		others := slices.ContainsFunc(d.now.Keys(c.Org.ID), func(o tenant.Key) bool {
			return o.ID != k.ID && slices.Contains(o.Scopes, tenant.ScopeAdmin) && (o.ExpiresAt.IsZero() || o.ExpiresAt.After(d.at))
		})
		if slices.Contains(k.Scopes, tenant.ScopeAdmin) && !others {
			return &Conflict{Reason: "this is the last admin key of the org; without it nobody could make another. Make that one first."}
		}
		d.deleteKey(k, "")
		if k.Hash == tenant.HashKey(org.ZapierKey) {
			org.ZapierKey = ""
			d.out.Orgs = append(d.out.Orgs, org)
		}
		return nil
	})
}

// ZapierKey shows the key that Zapier uses, and makes it when there is none.
// That somebody saw it is a fact.
func (s *Service) ZapierKey(ctx context.Context, c commands.Caller) (plain string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		org, ok := d.now.Org(c.Org.ID)
		if !ok {
			return missing("org", c.Org.ID)
		}
		key, known := d.now.KeyByHash(tenant.HashKey(org.ZapierKey))
		if org.ZapierKey == "" || !known {
			id, err := d.freshID("key")
			if err != nil {
				return err
			}
			if org.ZapierKey, err = d.apiKey(); err != nil {
				return err
			}
			key = tenant.Key{
				ID: id, Org: org.ID, Name: "Zapier", Scopes: []tenant.Scope{tenant.ScopeZapier},
				Hash: tenant.HashKey(org.ZapierKey), Prefix: tenant.ShownPrefix(org.ZapierKey), CreatedAt: d.at,
			}
			d.out.Orgs = append(d.out.Orgs, org)
			d.putKey(key, tenant.Created, "")
		}
		plain = org.ZapierKey
		d.fact(org.ID, key.ID, tenant.KeyChanged{Change: d.said(tenant.SecretRead, key.ID, "")})
		return nil
	})
	return plain, err
}

// newKey adds a key to the draft: everything but id, secret and times is given.
// A repeated request gets a new secret for the key that it made: the answer
// with the former one never arrived.
func (d *draft) newKey(k tenant.Key) (tenant.Key, string, error) {
	id, err := d.id("key")
	if err != nil {
		return k, "", err
	}
	plain, err := d.apiKey()
	if err != nil {
		return k, "", err
	}
	action := tenant.Created
	k.CreatedAt = d.at
	if known, ok := d.now.Key(k.Org, id); ok {
		if !d.repeated(known.CreatedAt) {
			if id, err = d.freshID("key"); err != nil {
				return k, "", err
			}
		} else {
			action, k.CreatedAt = tenant.SecretRotated, known.CreatedAt
		}
	}
	k.ID, k.Hash, k.Prefix = id, tenant.HashKey(plain), tenant.ShownPrefix(plain)
	d.putKey(k, action, "")
	return k, plain, nil
}
