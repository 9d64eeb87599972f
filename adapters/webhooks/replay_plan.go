package webhooks

import (
	"context"
	"errors"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// errNoReceiver says that the endpoint of a replay is not there.
var errNoReceiver = errors.New("the webhook was deleted")

// receivers are the endpoints that a replay sends to.
func (e *Engine) receivers(r dispatch.Replay) ([]delivery.Endpoint, error) {
	switch {
	case r.Target != nil:
		return []delivery.Endpoint{*r.Target}, nil
	case r.EndpointID == dispatch.EveryEndpoint:
		return e.cfg.Directory.Endpoints(r.Org), nil
	}
	ep, ok := e.cfg.Directory.Endpoint(r.EndpointID)
	if !ok || ep.Org != r.Org {
		return nil, errNoReceiver
	}
	return []delivery.Endpoint{ep}, nil
}

// receiverID stands for a receiver of a replay's own where ids of deliveries are
// derived: two replays to one address send under the same ids.
func receiverID(e delivery.Endpoint) string {
	return event.DeriveID("receiver", e.Org, e.URL, e.Dialect)
}

// again plans what a replay of a scope sends of events of any partitions: what
// the endpoints would get today, under the ids of then. It returns a slice for
// each event. History that was loaded fires no webhooks, and so is not replayed.
func (p *planner) again(ctx context.Context, r dispatch.Replay, endpoints []delivery.Endpoint, events []event.Recorded) ([][]dispatch.Owed, error) {
	views, err := p.past(ctx, events)
	if err != nil {
		return nil, err
	}
	plan := make([][]dispatch.Owed, len(events))
	for i, v := range views {
		if v.Version == 0 || v.Event.Origin == event.OriginBackfill || r.ListID != "" && listOf(v) != r.ListID {
			continue
		}
		var data fields
		for _, e := range endpoints {
			if r.EndpointID == dispatch.EveryEndpoint && !since(e, v.Event) {
				continue
			}
			messages, err := p.render(v, e, &data)
			if err != nil {
				plan[i] = append(plan[i], ofReplay(r, e, p.unrenderable(v, e, err)))
				continue
			}
			for rank, m := range messages {
				o := p.frame(v, e)
				o.ID, o.Rank = delivery.ID(v.Event.ID, e.ID, m.Part), rank
				if r.Target != nil {
					o.ID = delivery.ID(v.Event.ID, receiverID(e), m.Part)
				}
				o.Name, o.Headers, o.Body = m.Name, m.Headers, m.Body
				plan[i] = append(plan[i], ofReplay(r, e, o))
			}
		}
	}
	return plan, nil
}

// ofReplay makes a delivery one of a replay, ordered among its own only.
func ofReplay(r dispatch.Replay, e delivery.Endpoint, o dispatch.Owed) dispatch.Owed {
	o.ReplayID = r.ID
	o.OrderKey = o.EntityKey()
	if e.Ordering == "none" {
		o.OrderKey = o.Key()
	}
	return o
}

// fromStart plans what an endpoint that catches up was owed.
func (p *planner) fromStart(ctx context.Context, e delivery.Endpoint, events []event.Recorded) ([][]dispatch.Owed, error) {
	views, err := p.past(ctx, events)
	if err != nil {
		return nil, err
	}
	plan := make([][]dispatch.Owed, len(events))
	for i, v := range views {
		if v.Version == 0 || v.Event.Origin == event.OriginBackfill {
			continue
		}
		if v.Version == 1 {
			p.previous.put("", v.Event.Subject, 1)
		}
		if plan[i], err = p.owed(ctx, v, []delivery.Endpoint{e}, since); err != nil {
			return nil, err
		}
	}
	return plan, nil
}
