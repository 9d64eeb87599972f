package settings

import (
	"context"
	"fmt"
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
	asks := false
	err = s.change(ctx, c, func(d *draft) error {
		if e, err = d.endpoint(id); err != nil || e.Enabled {
			return err
		}
		e.UpdatedAt = d.at
		if asks = e.Handshake; asks {
			if err := s.ask(d, &e, true); err != nil {
				return err
			}
			d.putEndpoint(e, tenant.Updated, "to be enabled once the receiver consents")
			return nil
		}
		e.Enabled, e.DisabledReason, e.EnabledAt = true, "", d.at
		d.putEndpoint(e, tenant.Enabled, in.Backlog)
		return nil
	})
	if err != nil {
		return e, err
	}
	return s.answer(ctx, c, e, asks)
}

// Disable disables a webhook: what it is owed from now on is held.
func (s *Service) Disable(ctx context.Context, c commands.Caller, id string, in Disabling) (e delivery.Endpoint, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var f faults
		f.text("/reason", in.Reason, 1000)
		if err := f.err(); err != nil {
			return err
		}
		if e, err = d.endpoint(id); err != nil || !e.Enabled && !e.Consent.Enable {
			return err
		}
		e.Enabled, e.Consent.Enable, e.DisabledReason, e.UpdatedAt = false, false, in.Reason, d.at
		d.putEndpoint(e, tenant.Disabled, in.Reason)
		return nil
	})
	return e, err
}

// DisableByHub disables a webhook on the hub's own account, with a reason in
// words. One that Zapier subscribed is deleted when the reason is that Zapier
// answered 410: its Zap is off. Doing it again, or to one that is gone, is
// harmless. countsFrom is the CountsFrom that the decision was made with: one that
// somebody enabled since, or gave another receiver, stays as it is.
func (s *Service) DisableByHub(ctx context.Context, id, reason string, countsFrom time.Time) error {
	e, ok := s.cfg.View.Snapshot().EndpointByID(id)
	if !ok || !e.Enabled {
		return nil
	}
	return s.change(ctx, hub(tenant.Org{ID: e.Org}), func(d *draft) error {
		e, ok := d.now.EndpointByID(id)
		if !ok || !e.Enabled || !e.CountsFrom().Equal(countsFrom) {
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
