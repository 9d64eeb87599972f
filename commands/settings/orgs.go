package settings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// hub is on whose behalf the hub changes settings by itself.
func hub(org tenant.Org) commands.Caller {
	return commands.Caller{Org: org, Actor: hubActor, Source: "hub"}
}

// hubActor is who does what no person asked for.
const hubActor = "hub"

// Bootstrap makes the first org, with adminKey as its admin key, when there is
// none yet. Later a different adminKey takes the place of the one that the hub was
// started with before, beside the keys that people made: that is how an operator
// who lost all keys gets in again, and how one that became known is put out of use.
// It reports whether it made the org.
func (s *Service) Bootstrap(ctx context.Context, adminKey string) (created bool, err error) {
	if adminKey == "" {
		return false, errors.New("an admin key is required")
	}
	hash := tenant.HashKey(adminKey)
	s.startedWith.Store(&hash)
	err = s.change(ctx, hub(tenant.Org{}), func(d *draft) error {
		created = false
		org, ok := d.now.FirstOrg()
		if !ok {
			created = true
			secret, err := d.bytes(32)
			if err != nil {
				return err
			}
			id, err := d.freshID("org")
			if err != nil {
				return err
			}
			org = tenant.Org{ID: id, Name: "default", First: true, Secret: secret, CreatedAt: d.at}
			d.putOrg(org, tenant.Created)
		}
		if err := d.validAdminKey(org, adminKey); err != nil {
			return err
		}
		d.endFormerAdminKeys(org, adminKey)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("preparing the first org: %w", err)
	}
	return created, nil
}

// validAdminKey makes a key an admin key of an org without an end.
func (d *draft) validAdminKey(org tenant.Org, plain string) error {
	k, ok := d.now.KeyByHash(tenant.HashKey(plain))
	switch {
	case ok && k.Org != org.ID:
		return errors.New("the admin key is a key of another org")
	case ok && k.May(tenant.ScopeAdmin) && k.ExpiresAt.IsZero():
		return nil
	case !ok:
		k = tenant.Key{ID: startKeyID(org, tenant.HashKey(plain)), Org: org.ID, Name: "admin", Hash: tenant.HashKey(plain), Prefix: tenant.ShownPrefix(plain), CreatedAt: d.at}
	}
	k.Scopes, k.ListID, k.ExpiresAt = []tenant.Scope{tenant.ScopeAdmin}, "", time.Time{}
	d.putKey(k, tenant.Created, "the admin key of the hub's settings")
	return nil
}

// startKeyID is the id of a key that the hub was started with, by which it is told
// from those that people made. The org's secret keeps a weak key from being guessed
// by it.
func startKeyID(org tenant.Org, hash [32]byte) string {
	return event.DeriveID("setting", "admin key", string(org.Secret), string(hash[:]))
}

// ofTheStart reports whether a hub was started with a key, which makes it again at
// its next start.
func (s *Service) ofTheStart(org tenant.Org, k tenant.Key) bool {
	with := s.startedWith.Load()
	return k.ID == startKeyID(org, k.Hash) || with != nil && *with == k.Hash
}

// endFormerAdminKeys ends the keys that the hub was started with before.
func (d *draft) endFormerAdminKeys(org tenant.Org, plain string) {
	for _, k := range d.now.Keys(org.ID) {
		if k.ID == startKeyID(org, k.Hash) && k.Hash != tenant.HashKey(plain) {
			d.deleteKey(k, "the hub was started with another admin key")
		}
	}
}

// NewOrg is the body of POST /v1/orgs.
type NewOrg struct {
	Name string `json:"name"`
}

// CreateOrg makes an org and its admin key. Only the first org may.
func (s *Service) CreateOrg(ctx context.Context, c commands.Caller, in NewOrg) (org tenant.Org, key string, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		if !c.Org.First {
			return fmt.Errorf("%w: only the hub's first org makes others", ErrForbidden)
		}
		var f faults
		f.name("/name", in.Name)
		if err := f.err(); err != nil {
			return err
		}
		id, err := d.id("org")
		if err != nil {
			return err
		}
		var known bool
		if org, known = d.now.Org(id); !known {
			secret, err := d.bytes(32)
			if err != nil {
				return err
			}
			org = tenant.Org{ID: id, Name: in.Name, Secret: secret, CreatedAt: d.at}
			d.putOrg(org, tenant.Created)
		}
		_, key, err = d.newKey(tenant.Key{Org: org.ID, Name: "admin", Scopes: []tenant.Scope{tenant.ScopeAdmin}})
		return err
	})
	return org, key, err
}
