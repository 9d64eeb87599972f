package settings

import (
	"encoding/base64"
	"errors"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Receiver checks an endpoint that belongs to something else than the settings,
// such as a replay, and stores nothing. It has a secret of its own unless one is
// given, and gets all events of its dialect unless some are named.
func (s *Service) Receiver(c commands.Caller, in EndpointSettings, secret string) (delivery.Endpoint, error) {
	d := &draft{now: s.cfg.View.Snapshot(), caller: c, at: event.Time(s.cfg.Clock()), random: s.cfg.Random}
	e := delivery.Endpoint{
		Org: c.Org.ID, Name: "receiver", Enabled: true, Ordering: orderingEntity, SignStandard: true, IDs: idsHub, CreatedAt: d.at, UpdatedAt: d.at,
	}
	in.Name = event.Some(e.Name)
	in.onto(&e)
	if known, ok := s.cfg.Dialects.Events(e.Dialect); ok && len(e.Events) == 0 {
		e.Events = known
	}
	check := e
	if e.Dialect == dialnote {
		check.Events = check.Events[:min(1, len(check.Events))] // what sends all of them is not a webhook of that system
	}
	err := s.checkEndpoint(d, &check, true)
	var f faults
	var invalid *commands.Invalid
	if errors.As(err, &invalid) {
		f.list, err = invalid.Errors, nil
	}
	if err != nil {
		return e, err
	}
	f.secret("/secret", secret)
	if err := f.err(); err != nil {
		return e, err
	}
	e.Provider = check.Provider
	if secret == "" {
		if secret, err = d.secret(); err != nil {
			return e, err
		}
	}
	e.Secrets = []delivery.Secret{{Value: secret}}
	return e, nil
}

// secret refuses a secret that no receiver could verify with; none is fine.
func (f *faults) secret(pointer, secret string) {
	if secret == "" {
		return
	}
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(secret, secretPrefix))
	if !strings.HasPrefix(secret, secretPrefix) || err != nil || len(key) < 24 || len(key) > 64 {
		f.add(pointer, "expected %s and the base64 of 24 to 64 bytes", secretPrefix)
	}
}

// secretPrefix begins every signing secret (Standard Webhooks).
const secretPrefix = "whsec_"
