package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// catchUp offers what an endpoint was owed before it was made, and hands each
// partition over when little of it is left.
func (j *replayJob) catchUp(ctx context.Context, r dispatch.Replay, standing dispatch.Standing) (time.Duration, error) {
	endpoints, err := j.replays.engine.receivers(r)
	if errors.Is(err, errNoReceiver) {
		return waitForRoom, j.orphan(ctx, r)
	}
	if err != nil {
		return 0, err
	}
	if err := j.read(ctx); err != nil {
		return 0, err
	}
	if len(j.reader.lanes) == 0 {
		return j.handedOver(ctx)
	}
	room := j.room(standing)
	if room <= 0 {
		return waitsLong(standing), j.say(ctx, waitsFor(standing))
	}
	if err := j.extend(ctx); err != nil {
		return 0, err
	}
	plan, err := j.plan(ctx, r, room, 1, func(ctx context.Context, events []event.Recorded) ([][]dispatch.Owed, error) {
		return j.planner.fromStart(ctx, endpoints[0], events)
	})
	if err != nil {
		return 0, err
	}
	s := j.offer(plan, func(l *pastLane) dispatch.PartState {
		if l.State == dispatch.PartReady || l.end-l.at() <= nearEnd {
			return dispatch.PartReady
		}
		return dispatch.PartReading
	})
	// These are ordinary deliveries: that they will not be made is a fact.
	if err := j.replays.recordDrops(ctx, s.Dropped); err != nil {
		return 0, err
	}
	err = j.commit(ctx, s)
	if errors.Is(err, errEnded) {
		// A part was taken over, or the replay was: the parts tell.
		j.reader = nil
		return 0, j.stillMine(ctx)
	}
	if err != nil {
		return 0, err
	}
	j.reader.moved(s.Moves)
	if len(plan) == 0 {
		j.reader = nil // what was taken over meanwhile shows
		return waitForRoom, nil
	}
	return 0, nil
}

// extend moves the ends of open parts to where the log ends now.
func (j *replayJob) extend(ctx context.Context) error {
	if !j.reader.exhausted() {
		return nil
	}
	var topics []event.Topic
	seen := make(map[event.Topic]bool)
	for _, l := range j.reader.lanes {
		if !seen[l.Topic] {
			seen[l.Topic] = true
			topics = append(topics, l.Topic)
		}
	}
	ends, err := j.replays.engine.cfg.Ends.Ends(ctx, topics...)
	if err != nil {
		return fmt.Errorf("asking where the log ends: %w", err)
	}
	for _, l := range j.reader.lanes {
		l.end = max(l.end, ends[l.Topic][l.ID])
	}
	return nil
}

// handedOver waits until the owners of all partitions have taken over.
func (j *replayJob) handedOver(ctx context.Context) (time.Duration, error) {
	parts, err := j.replays.store.Parts(ctx, j.id)
	if err != nil {
		return 0, err
	}
	j.reader = nil
	for _, p := range parts {
		if p.State != dispatch.PartDone {
			return waitForRoom, nil
		}
	}
	return 0, j.end(ctx, dispatch.ReplayFinished, "")
}

// stillMine is errEnded when the replay is another's, or has ended.
func (j *replayJob) stillMine(ctx context.Context) error {
	none := j.detail
	return j.commit(ctx, dispatch.Step{Detail: &none})
}

// recordDrops appends the facts that deliveries will not be made, each for its
// last error.
func (r *Replays) recordDrops(ctx context.Context, rows []dispatch.Owed) error {
	if len(rows) == 0 {
		return nil
	}
	now := event.Time(r.engine.cfg.Clock())
	events := make([]event.Event, 0, len(rows))
	for _, o := range rows {
		ev, err := event.New(event.Envelope{
			ID: event.DeriveID("dropped", o.Key()), Source: "hub", Subject: o.EndpointID, Org: o.Org,
			CorrelationID: o.CorrelationID, CausationID: o.EventID, OccurredAt: now, RecordedAt: now,
		}, delivery.Dropped{Ref: delivery.RefOf(o.Delivery), Reason: o.LastError})
		if err != nil {
			return err
		}
		events = append(events, ev)
	}
	if _, err := r.engine.cfg.Log.Append(ctx, events...); err != nil {
		return fmt.Errorf("appending drops: %w", err)
	}
	return nil
}
