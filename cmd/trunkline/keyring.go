package main

import (
	"context"
	"errors"

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
