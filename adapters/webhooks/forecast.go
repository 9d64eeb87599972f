package webhooks

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// forecastTime bounds a forecast: it is asked for by somebody who waits.
	forecastTime = 15 * time.Second
	// renderedMost bounds the events that a forecast renders and compares; beyond
	// it they are counted only.
	renderedMost = 10_000
	// renderedAtOnce is how many are rendered together.
	renderedAtOnce = 250
	// samples and differences are how many of each are shown.
	samples     = 3
	differences = 10
)

// dryRun stands where a replay's id will.
const dryRun = "dry-run"

// Forecast tells what a replay would do, and does nothing. It reads the log, as
// the replay will, so it is right whichever store lags behind; only what was
// sent before is told by the delivery log.
func (r *Replays) Forecast(ctx context.Context, rp dispatch.Replay) (dispatch.Forecast, error) {
	f := dispatch.Forecast{ByType: make(map[event.Type]int64), ByDay: make(map[string]int64), ByWebhook: make(map[string]int64)}
	e := r.engine
	rp.ID, rp.Kind = dryRun, dispatch.OfScope
	if rp.Target != nil {
		target := *rp.Target
		target.ID = dryRun
		rp.Target = &target
	}
	endpoints, err := e.receivers(rp)
	if err != nil {
		return f, err
	}
	parts, err := e.partsOfScope(ctx, rp)
	if err != nil {
		return f, fmt.Errorf("looking for what would be replayed: %w", err)
	}
	timed, cancel := context.WithTimeout(ctx, forecastTime)
	defer cancel()
	reader := newPastReader(e.cfg.Past, parts)
	for !reader.exhausted() {
		events, err := reader.take(timed, renderedAtOnce, rp.Covers)
		if err == nil {
			countEvents(&f, events)
			if f.Rendered < renderedMost {
				err = r.forecast(timed, &f, rp, endpoints, events)
			}
		}
		if errors.Is(timed.Err(), context.DeadlineExceeded) && ctx.Err() == nil {
			return f, nil
		}
		if err != nil {
			return f, err
		}
	}
	f.Complete = true
	return f, nil
}

func countEvents(f *dispatch.Forecast, events []event.Recorded) {
	for _, v := range events {
		f.Events++
		f.ByType[v.Type]++
		f.ByDay[v.RecordedAt.UTC().Format(time.DateOnly)]++
	}
}

// forecast renders events and compares them with what was sent.
func (r *Replays) forecast(ctx context.Context, f *dispatch.Forecast, rp dispatch.Replay, endpoints []delivery.Endpoint, events []event.Recorded) error {
	if len(events) == 0 {
		return nil
	}
	plan, err := r.engine.planner.again(ctx, rp, endpoints, events)
	if err != nil {
		return err
	}
	byID := make(map[string]delivery.Endpoint, len(endpoints))
	for _, ep := range endpoints {
		byID[ep.ID] = ep
	}
	var owed []dispatch.Owed
	var ids []string
	from, until := events[0].RecordedAt, events[0].RecordedAt
	for i, of := range plan {
		f.Rendered++
		if len(of) == 0 {
			f.Filtered++
		}
		for _, o := range of {
			f.Deliveries++
			f.ByWebhook[o.EndpointID]++
			owed, ids = append(owed, o), append(ids, o.ID)
			if len(f.Sample) < samples && o.Status == delivery.Pending {
				f.Sample = append(f.Sample, r.sample(o, byID[o.EndpointID]))
			}
		}
		if at := events[i].RecordedAt; at.Before(from) {
			from = at
		} else if at.After(until) {
			until = at
		}
	}
	if len(ids) == 0 {
		return nil
	}
	sent, err := r.cfg.Service.sent.Bodies(ctx, rp.Org, event.Time(from), event.Time(until), ids)
	if err != nil {
		return fmt.Errorf("reading what was sent: %w", err)
	}
	for _, o := range owed {
		compare(&f.Compared, o, sent)
	}
	return nil
}

func (r *Replays) sample(o dispatch.Owed, ep delivery.Endpoint) dispatch.ForecastRequest {
	d := r.engine.dialects[ep.Dialect]
	q := r.engine.request(o.Delivery, ep, d, d.Profile().Timeout, 0)
	return dispatch.ForecastRequest{
		DeliveryID: o.ID, WebhookID: o.EndpointID, EventID: o.EventID, EventType: o.EventType, Entity: o.EntityID,
		URL: q.URL, Headers: withoutOwn(q.Headers, ep.Headers), Body: q.Body,
	}
}

func compare(c *dispatch.Compared, o dispatch.Owed, sent map[string][]byte) {
	before, was := sent[o.ID]
	switch {
	case !was:
		c.NeverSent++
	case before == nil:
		c.NotKept++
	case string(before) == string(o.Body):
		c.Same++
	default:
		c.Different++
		if len(c.Examples) < differences {
			changes := changesOf(before, o.Body)
			if o.Status == delivery.IsDropped {
				changes = []string{strings.TrimSpace(o.LastError)}
			}
			c.Examples = append(c.Examples, dispatch.Difference{DeliveryID: o.ID, WebhookID: o.EndpointID, EventID: o.EventID, EventType: o.EventType, Changes: changes})
		}
	}
}
