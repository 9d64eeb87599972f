package webhooks

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// views asks the read models, once they have the events, which may be of any
// partitions.
func (p *planner) views(ctx context.Context, events []event.Recorded) ([]delivery.View, error) {
	return p.read(ctx, events, p.cfg.Views.Views)
}

// read asks in a given way.
func (p *planner) read(ctx context.Context, events []event.Recorded, ask func(context.Context, []event.Recorded, ...event.Position) ([]delivery.View, error)) ([]delivery.View, error) {
	have, err := p.needed(ctx, events)
	if err != nil {
		return nil, err
	}
	var views []delivery.View
	err = projections.Reach(ctx, p.cfg.Progress, have, func() (err error) {
		views, err = ask(ctx, events, have...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading views: %w", err)
	}
	if len(views) != len(events) {
		return nil, fmt.Errorf("reading views: %d for %d events", len(views), len(events))
	}
	for i := range views {
		p.complete(&views[i])
	}
	return views, nil
}

// needed are the positions whose effect the views of events must have.
func (p *planner) needed(ctx context.Context, events []event.Recorded) ([]event.Position, error) {
	last := make(map[dispatch.Partition]event.Position)
	calls := false
	for _, e := range events {
		part := dispatch.Partition{Topic: e.Position.Topic, ID: e.Position.Partition}
		if at, ok := last[part]; !ok || at.Offset < e.Position.Offset {
			last[part] = e.Position
		}
		calls = calls || part.Topic == event.Calls
	}
	have := slices.Collect(maps.Values(last))
	if !calls {
		return have, nil
	}
	// A call carries its lead: whatever was acknowledged about leads before these
	// calls lies below the ends as of now.
	ends, err := p.endsOfLeads(ctx, p.leadEnds.now())
	return append(have, lastOfLeads(ends)...), err
}

// endsOfLeads is how far the log of leads reaches after a tick.
func (p *planner) endsOfLeads(ctx context.Context, tick int64) (map[int]int64, error) {
	ends, err := p.leadEnds.get(ctx, tick)
	if err != nil {
		return nil, fmt.Errorf("reading where %s ends: %w", event.Leads, err)
	}
	return ends, nil
}

// lastOfLeads are the last positions below ends.
func lastOfLeads(ends map[int]int64) []event.Position {
	var last []event.Position
	for id, end := range ends {
		if end > 0 {
			last = append(last, event.Position{Topic: event.Leads, Partition: id, Offset: end - 1})
		}
	}
	return last
}

// past returns the views of events of any partitions, in their order, with what
// they say of other entities as it was when the events were recorded.
func (p *planner) past(ctx context.Context, events []event.Recorded) ([]delivery.View, error) {
	if len(events) == 0 {
		return nil, nil
	}
	return p.read(ctx, events, func(ctx context.Context, events []event.Recorded, have ...event.Position) ([]delivery.View, error) {
		views, err := p.cfg.Views.Views(ctx, events, have...)
		if err == nil && p.cfg.AsOf != nil {
			err = p.cfg.AsOf(ctx, views, have...)
		}
		return views, err
	})
}
