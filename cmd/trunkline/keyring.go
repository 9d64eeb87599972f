package main

import (
	"context"
	"errors"

	"trunkline.dev/trunkline/adapters/httpapi"
	"trunkline.dev/trunkline/adapters/kms"
	"trunkline.dev/trunkline/adapters/postgres/control"
)

// noKMS is the entry of TRUNKLINE_SECRETS_KMS that stands for no service: the
// way back from one.
const noKMS = "file"

// openKeyring opens what the secrets at rest are sealed with. A key management
// service that is away is waited for; one that refuses stops the start.
func (a *app) openKeyring(ctx context.Context) error {
	cfg := control.KeyringConfig{Pool: a.pool, Path: a.cfg.file("secrets.key"), AdminKey: a.adminKey, Log: a.log}
	for _, uri := range a.cfg.SecretsKMS {
		if uri == noKMS {
			cfg.KMS = append(cfg.KMS, nil)
			continue
		}
		key, err := kms.Open(ctx, uri)
		if err != nil {
			return err
		}
		cfg.KMS = append(cfg.KMS, key)
	}
	return a.untilKMS(ctx, func(ctx context.Context) (err error) {
		a.keyring, err = control.JoinKeyring(ctx, cfg)
		return err
	})
}

// untilKMS tries until the key management service is there.
func (a *app) untilKMS(ctx context.Context, try func(context.Context) error) error {
	wontMend := func(err error) bool { return !errors.Is(err, control.ErrKMS) || errors.Is(err, kms.ErrRefused) }
	return a.untilUp(ctx, "the key management service", wontMend, try)
}

// keyringOf is the store's keyring as the API sees it.
type keyringOf struct{ store *control.Store }

var _ httpapi.Keyring = keyringOf{}

// State returns the keyring as it is now.
func (k keyringOf) State(ctx context.Context) (httpapi.KeyringState, error) {
	s, err := k.store.KeyringState(ctx)
	return keyringState(s), err
}

// Rotate gives it a new primary key.
func (k keyringOf) Rotate(ctx context.Context, actor string) (httpapi.KeyringState, error) {
	s, err := k.store.RotateKeyring(ctx, actor)
	return keyringState(s), err
}

func keyringState(s control.KeyringState) httpapi.KeyringState {
	out := httpapi.KeyringState{SealedBy: s.SealedBy, RotatedAt: s.RotatedAt, RetiresAt: s.RetiresAt}
	for _, k := range s.Keys {
		out.Keys = append(out.Keys, k.ID)
	}
	return out
}
