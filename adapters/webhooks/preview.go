package webhooks

import (
	"context"
	"fmt"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Previewed is a webhook that was made and not sent.
type Previewed struct {
	delivery.Message
	// Event is what it is about, Version its number within its entity.
	Event   event.Recorded
	Version int64
	// ContentType is the Content-Type of its request.
	ContentType string
}

// Preview makes what events of one entity would make for an endpoint, in their
// order, and owes nothing to anybody. The endpoint need not exist; whether it is
// enabled does not matter. It waits until the read models have the events.
func (s *Service) Preview(ctx context.Context, ep delivery.Endpoint, events ...event.Recorded) ([]Previewed, error) {
	d := s.engine.dialects[ep.Dialect]
	if d == nil {
		return nil, fmt.Errorf("previewing: no dialect %q", ep.Dialect)
	}
	if len(events) == 0 {
		return nil, nil
	}
	p := s.engine.planner
	views, err := p.past(ctx, events)
	if err != nil {
		return nil, fmt.Errorf("previewing: %w", err)
	}
	var all []Previewed
	for _, v := range views {
		if v.Version == 0 {
			continue
		}
		messages, err := p.render(v, ep, new(fields))
		if err != nil {
			return nil, fmt.Errorf("previewing %s: %w", v.Event.ID, err)
		}
		for _, m := range messages {
			all = append(all, Previewed{Message: m, Event: v.Event, Version: v.Version, ContentType: d.ContentType()})
		}
	}
	return all, nil
}

// Sample makes a made-up event for an endpoint.
func (s *Service) Sample(ep delivery.Endpoint, name string) (Previewed, error) {
	d := s.engine.dialects[ep.Dialect]
	if d == nil {
		return Previewed{}, fmt.Errorf("making a sample: no dialect %q", ep.Dialect)
	}
	m, err := d.Sample(name, ep, s.engine.cfg.Clock())
	if err != nil {
		return Previewed{}, fmt.Errorf("making a sample of %s: %w", name, err)
	}
	return Previewed{Message: m, Version: 1, ContentType: d.ContentType()}, nil
}
