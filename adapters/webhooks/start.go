package webhooks

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// An endpoint that catches up is planned for by its replay, partition by
// partition, from where it is to start up to where the log ends. When little is
// left the owner of the partition takes over: it plans what the replay has not
// read and all that follows, in the order of the log. So at every moment one of
// the two plans for the endpoint in a partition, and which one is durable.

// Past reads the log behind the subscriber.
type Past interface {
	// At returns, for each partition of topics, the offset of the first record
	// that was appended at a time or later; the end when there is none.
	At(ctx context.Context, at time.Time, topics ...event.Topic) (map[event.Topic]map[int]int64, error)
	// Read returns records of a partition from an offset on, none at or behind to,
	// and the offset to go on from, which moves unless to is reached.
	Read(ctx context.Context, p dispatch.Partition, from, to int64) (events []event.Recorded, next int64, err error)
	// Start returns the offset of the oldest record of a partition; it is that of the
	// next one if there is none.
	Start(ctx context.Context, p dispatch.Partition) (int64, error)
	// PartitionOf returns which of so many partitions has the events of an entity.
	PartitionOf(org, entityID string, partitions int) int
}

// lookForStarts tells the planners what they may take over.
func (e *Engine) lookForStarts(ctx context.Context, ps []dispatch.Partition) {
	if e.cfg.Past == nil {
		return
	}
	ready, err := e.cfg.Store.Takeable(ctx, ps)
	if err != nil {
		e.put(ctx, "looking for starts to take over is put off", err)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, o := range e.owners {
		o.takeable = nil
	}
	for _, st := range ready {
		if o := e.owners[st.Partition]; o != nil && !o.stopping {
			o.takeable = append(o.takeable, st.EndpointID)
			wake(o.wake)
		}
	}
}

// planOwned plans a batch for the endpoints that this owner plans for.
func (e *Engine) planOwned(o *owner, states *projections.Follower, batch []event.Recorded, tick int64) ([][]dispatch.Owed, error) {
	if err := e.knowStarts(o, batch); err != nil {
		return nil, err
	}
	return e.planner.plan(o.ctx, states, batch, tick, func(ep delivery.Endpoint, r event.Recorded) bool {
		if !ep.CatchesUp || !during(ep, r) {
			return during(ep, r)
		}
		st := o.starts[ep.ID]
		return st.State == dispatch.PartDone && r.Position.Offset >= st.Next
	})
}

// knowStarts asks the store about endpoints that catch up and that this owner
// has not met. One that was not taken over before its claim is taken over by
// itself, so it need not ask again.
func (e *Engine) knowStarts(o *owner, batch []event.Recorded) error {
	var ids []string
	orgs := make(map[string]struct{})
	for _, r := range batch {
		if _, seen := orgs[r.Org]; seen || r.Fault != nil {
			continue
		}
		orgs[r.Org] = struct{}{}
		list := e.planner.receivers(r.Org, batch)
		for i := range list {
			if !list[i].CatchesUp {
				continue
			}
			if _, known := o.starts[list[i].ID]; !known {
				ids = append(ids, list[i].ID)
			}
		}
	}
	if len(ids) == 0 {
		return nil
	}
	found, owned, err := e.cfg.Store.Starts(o.ctx, o.part, o.epoch, ids)
	if err != nil {
		return fmt.Errorf("asking who plans for endpoints: %w", err)
	}
	if !owned {
		return ErrNotOwned
	}
	for _, id := range ids {
		o.starts[id] = found[id]
	}
	return nil
}

// takeStarts takes over what is ready. It reports whether the owner goes on.
func (e *Engine) takeStarts(o *owner) bool {
	e.mu.Lock()
	ids := o.takeable
	o.takeable = nil
	e.mu.Unlock()
	for _, id := range ids {
		for pause := 50 * time.Millisecond; ; pause = min(2*pause, 2*time.Second) {
			err := e.takeStart(o, id)
			if err == nil {
				break
			}
			if o.ctx.Err() != nil {
				return false
			}
			e.put(o.ctx, "taking over an endpoint is put off", err, slog.String("endpoint", id))
			if !background.Rest(o.ctx, pause) {
				return false
			}
		}
	}
	return true
}

// takeStart plans for an endpoint what its replay has left of the log up to
// where this owner plans, and notes that it plans for it from there on.
func (e *Engine) takeStart(o *owner, id string) error {
	ep, known := e.cfg.Directory.Endpoint(id)
	if st := o.starts[id]; !known || st.State == dispatch.PartDone {
		// One that this process does not know yet, or no longer, is looked at again.
		return nil
	}
	from, ok, err := e.cfg.Store.Take(o.ctx, o.part, o.epoch, id)
	if err != nil || !ok {
		return err
	}
	// Only this goroutine plans, so planned stays where it is meanwhile.
	e.mu.Lock()
	to := o.planned
	e.mu.Unlock()
	var owed []dispatch.Owed
	for at := from; at < to; {
		events, next, err := e.cfg.Past.Read(o.ctx, o.part, at, to)
		if err != nil {
			return fmt.Errorf("reading what is left for %s: %w", id, err)
		}
		events = slices.DeleteFunc(events, func(r event.Recorded) bool { return r.Fault != nil || r.Org != ep.Org || !since(ep, r) })
		plan, err := e.planner.fromStart(o.ctx, ep, events)
		if err != nil {
			return err
		}
		for _, p := range plan {
			owed = append(owed, p...)
		}
		at = next
	}
	st := dispatch.Start{Partition: o.part, EndpointID: id, State: dispatch.PartDone, Next: max(from, to)}
	o.starts[id] = st
	e.admitStart(o, ep.Org, to, st, owed)
	return nil
}

// admitStart admits what was left for an endpoint. Earlier deliveries of its
// keys may be in the store, so all goes by way of the store for now. The entry
// has the place of the last planned event: the checkpoint gets to it when that
// is finished, or a row, and with it the endpoint is taken over.
func (e *Engine) admitStart(o *owner, org string, planned int64, st dispatch.Start, owed []dispatch.Owed) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if o.stopping {
		return
	}
	s := e.streamOf(o, e.laneByID(st.EndpointID, org))
	s.toStore()
	s.takeovers++
	s.due(e.cfg.Clock())
	n := &entry{offset: planned - 1, at: e.cfg.Clock(), started: []dispatch.Started{{EndpointID: st.EndpointID, Next: st.Next}}}
	for _, d := range owed {
		n.items = append(n.items, e.admit(o, d))
	}
	o.entries = append(o.entries, n)
	e.entriesChanged(o)
}
