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
func (p *planner) states(ctx context.Context, f *projections.Follower, batch []event.Recorded, wanted []bool, tick int64) ([]delivery.View, error) {
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
	if err := p.callLeads(ctx, batch[0].Position.Topic, views, tick); err != nil {
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
func (p *planner) callLeads(ctx context.Context, topic event.Topic, views []delivery.View, tick int64) error {
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
	ends, err := p.endsOfLeads(ctx, tick)
	if err != nil {
		return err
	}
	leads, err := p.leads.get(ctx, p.cfg, ends, wanted)
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

// get returns leads, nil for those that are not there, as known where the log of
// leads ends.
func (c *leadCache) get(ctx context.Context, from Config, ends map[int]int64, wanted map[projections.Key]struct{}) (map[projections.Key]*lead.Lead, error) {
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
	have := lastOfLeads(ends)
	var read map[projections.Key]*lead.Lead
	err := projections.Reach(ctx, from.Progress, have, func() (err error) {
		read, err = from.Views.CallLeads(ctx, missing, have...)
		return err
	})
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

// sharedEnds asks where a topic ends, once for all that want to know at the same
// time. Whoever wants to know it as of the arrival of a record gets an answer
// that was asked for after that: the question is put as soon as the record
// comes, while it waits to be planned, and serves all that came before it.
type sharedEnds struct {
	ends  projections.Ends
	topic event.Topic

	mu sync.Mutex
	// tick counts the questions.
	tick int64
	last endsAnswer
	// busy: a question is under way. more: another one is wanted after it.
	busy, more bool
	answered   chan struct{}
}

type endsAnswer struct {
	tick int64
	ends map[int]int64
	err  error
}

func newSharedEnds(ends projections.Ends, topic event.Topic) *sharedEnds {
	return &sharedEnds{ends: ends, topic: topic, answered: make(chan struct{})}
}

// arrival returns the tick of a record that has come, and asks on its behalf.
func (s *sharedEnds) arrival(topic event.Topic) int64 {
	if topic != event.Calls {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.want()
	return s.tick
}

// want sees to it that a question is put from now on. The caller holds mu.
func (s *sharedEnds) want() {
	if s.busy {
		s.more = true
		return
	}
	s.busy = true
	go s.ask()
}

// now is the tick of a record that comes now.
func (s *sharedEnds) now() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tick
}

// get returns an answer to a question that was put after a tick.
func (s *sharedEnds) get(ctx context.Context, after int64) (map[int]int64, error) {
	for {
		s.mu.Lock()
		if last := s.last; last.tick > after {
			if last.err != nil {
				s.want() // for whoever tries again
			}
			s.mu.Unlock()
			return last.ends, last.err
		}
		s.want()
		answered := s.answered
		s.mu.Unlock()
		select {
		case <-answered:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// ask asks until nobody wants to know. The client's own patience bounds it.
func (s *sharedEnds) ask() {
	for {
		s.mu.Lock()
		s.tick++
		tick := s.tick
		s.more = false
		s.mu.Unlock()
		all, err := s.ends.Ends(context.Background(), s.topic)
		s.mu.Lock()
		s.last = endsAnswer{tick, all[s.topic], err}
		close(s.answered)
		s.answered = make(chan struct{})
		more := s.more
		s.busy = more
		s.mu.Unlock()
		if !more {
			return
		}
	}
}
