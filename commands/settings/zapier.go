package settings

import (
	"context"
	"slices"
	"strings"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/tenant"
)

// ZapierSubscription is the body of POST /hooks/zapier.
type ZapierSubscription struct {
	TargetURL string `json:"target_url"`
	Event     string `json:"event"`
}

// Subscribe makes a webhook for a Zap that was switched on: in dialect dialnote,
// with the provider zapier. A subscription that exists is returned as it is, so
// that Zapier may ask again.
func (s *Service) Subscribe(ctx context.Context, c commands.Caller, in ZapierSubscription) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		for _, known := range d.now.Endpoints(c.Org.ID) {
			if known.RESTHook && known.URL == in.TargetURL && slices.Equal(known.Events, []string{in.Event}) {
				e = known
				return nil
			}
		}
		var f faults
		f.url("/target_url", in.TargetURL, s.cfg.Guard)
		known, _ := s.cfg.Dialects.Events(dialnote)
		known = slices.DeleteFunc(slices.Clone(known), func(name string) bool { return name == delivery.EventDisabled })
		oneOf(&f, "/event", in.Event, known...)
		if err := f.err(); err != nil {
			return err
		}
		e = delivery.Endpoint{
			Org: c.Org.ID, Name: "Zapier: " + strings.ReplaceAll(in.Event, "_", " "), URL: in.TargetURL, Dialect: dialnote,
			Events: []string{in.Event}, Provider: providerZapier, RESTHook: true, Enabled: true, Ordering: orderingEntity,
			SignStandard: true, IDs: idsHub, CreatedAt: d.at, UpdatedAt: d.at,
		}
		if e.ID, err = d.freshID("endpoint"); err != nil {
			return err
		}
		if e.Secrets, err = d.secretsFor(e); err != nil {
			return err
		}
		d.putEndpoint(e, tenant.Created, "")
		return nil
	})
	return e, err
}

// Unsubscribe deletes the webhook of a Zap that was switched off. Zapier's key
// reaches no other webhook.
func (s *Service) Unsubscribe(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		e, err := d.endpoint(id)
		if err != nil {
			return err
		}
		if !e.RESTHook {
			return missing(Endpoints, id)
		}
		d.deleteEndpoint(e, "")
		return nil
	})
}
