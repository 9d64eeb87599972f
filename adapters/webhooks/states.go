package webhooks

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// follow returns the follower of a partition that is planned from an offset on.
func (p *planner) follow(part dispatch.Partition, from int64) *projections.Follower {
	for _, m := range projections.Models() {
		if m.Topic == part.Topic {
			return projections.NewFollower(m, part.ID, from, p.cfg.Views, p.cfg.Progress, p.cfg.StateBytes)
		}
	}
	return nil
}

// states makes the views of the next events of a partition: by folding them in
// memory where it can, else by asking the history, which waits for the
// projector. Events that wanted leaves out are passed by and have no view.
func (p *planner) states(ctx context.Context, f *projections.Follower, batch []event.Recorded, wanted []bool) ([]delivery.View, error) {
	views := make([]delivery.View, len(batch))
	events, index := make([]event.Recorded, 0, len(batch)), make([]int, 0, len(batch))
	for i, e := range batch {
		if wanted[i] {
			events, index = append(events, e), append(index, i)
		} else {
			f.Pass(e)
		}
	}
	if len(events) == 0 {
		return views, nil
	}
	steps, err := f.Fold(ctx, events)
	if err != nil {
		return nil, err
	}
	var apart []event.Recorded
	var apartAt []int
	for n, s := range steps {
		v := &views[index[n]]
		if s.Apart {
			apart, apartAt = append(apart, events[n]), append(apartAt, index[n])
			continue
		}
		*v = delivery.View{Event: events[n], OrgID: events[n].Org, Payload: s.Payload, Version: s.Version}
		if s.Version > 0 {
			v.SetStates(s.Before, s.After)
		}
	}
	if err := p.callLeads(ctx, batch[0].Position.Topic, views); err != nil {
		return nil, err
	}
	for i := range views {
		p.complete(&views[i])
	}
	if len(apart) == 0 {
		return views, nil
	}
	asked, err := p.views(ctx, apart)
	if err != nil {
		return nil, err
	}
	for n, v := range asked {
		views[apartAt[n]] = v
		f.Learn(v.Event, v.Version, v.State())
	}
	return views, nil
}

// callLeads adds the leads of calls, as known to whoever had these calls
// acknowledged: whatever was acknowledged about leads before lies below the
// ends as of now.
func (p *planner) callLeads(ctx context.Context, topic event.Topic, views []delivery.View) error {
	if topic != event.Calls {
		return nil
	}
	wanted := make(map[projections.Key]struct{})
	for _, v := range views {
		if v.Call != nil && v.Call.LeadID != "" {
			wanted[leadOf(v)] = struct{}{}
		}
	}
	if len(wanted) == 0 {
		return nil
	}
	ends, err := p.leadsCaughtUp(ctx)
	if err != nil {
		return err
	}
	leads, err := p.leads.get(ctx, p.cfg.Views, ends, wanted)
	if err != nil {
		return fmt.Errorf("reading the leads of calls: %w", err)
	}
	for i, v := range views {
		if v.Call != nil && v.Call.LeadID != "" {
			views[i].CallLead = leads[leadOf(v)]
		}
	}
	return nil
}

func leadOf(v delivery.View) projections.Key {
	return projections.Key{Org: v.Event.Org, ID: v.Call.LeadID}
}

// leadCache keeps the leads of calls for as long as nothing is said about any
// lead, which is most of the time in a burst of calls.
type leadCache struct {
	mu    sync.Mutex
	ends  map[int]int64
	leads map[projections.Key]*lead.Lead
}

// leadsKept bounds the leads of a leadCache.
const leadsKept = 10_000

// get returns leads, nil for those that are not there. The read model has all
// below ends.
func (c *leadCache) get(ctx context.Context, from Views, ends map[int]int64, wanted map[projections.Key]struct{}) (map[projections.Key]*lead.Lead, error) {
	found := make(map[projections.Key]*lead.Lead, len(wanted))
	var missing []projections.Key
	c.mu.Lock()
	same := maps.Equal(c.ends, ends)
	for k := range wanted {
		if l, ok := c.leads[k]; ok && same {
			found[k] = l
			continue
		}
		missing = append(missing, k)
	}
	c.mu.Unlock()
	if len(missing) == 0 {
		return found, nil
	}
	read, err := from.CallLeads(ctx, missing)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !maps.Equal(c.ends, ends) || len(c.leads) > leadsKept {
		c.ends, c.leads = ends, make(map[projections.Key]*lead.Lead, len(missing))
	}
	for _, k := range missing {
		found[k], c.leads[k] = read[k], read[k]
	}
	return found, nil
}

// sharedEnds lets partitions that ask at the same time where a topic ends share
// an answer. Who asks gets one that was asked for after it asked.
type sharedEnds struct {
	ends  projections.Ends
	topic event.Topic
	mu    sync.Mutex
	next  *endsCall
	busy  bool
}

type endsCall struct {
	done chan struct{}
	ends map[int]int64
	err  error
}

func (s *sharedEnds) get(ctx context.Context) (map[int]int64, error) {
	s.mu.Lock()
	if s.next == nil {
		s.next = &endsCall{done: make(chan struct{})}
	}
	call := s.next
	if !s.busy {
		s.busy = true
		go s.ask(context.WithoutCancel(ctx))
	}
	s.mu.Unlock()
	select {
	case <-call.done:
		return call.ends, call.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// ask answers until nobody waits. The client's own time-outs bound it.
func (s *sharedEnds) ask(ctx context.Context) {
	for {
		s.mu.Lock()
		call := s.next
		s.next = nil
		s.busy = call != nil
		s.mu.Unlock()
		if call == nil {
			return
		}
		all, err := s.ends.Ends(ctx, s.topic)
		call.ends, call.err = all[s.topic], err
		close(call.done)
	}
}
