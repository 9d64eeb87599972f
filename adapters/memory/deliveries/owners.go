package deliveries

import (
	"cmp"
	"context"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// cancel is a request to cancel a row.
type cancel struct {
	dispatch.Cancel
	told    bool
	verdict dispatch.Verdict
	decided time.Time
}

func cancelOf(o dispatch.Owed, reason string) *cancel {
	return &cancel{Cancel: dispatch.Cancel{Partition: o.In(), Key: o.Key(), EndpointID: o.EndpointID, Org: o.Org, Reason: reason}}
}

// mark notes what a part says beside its rows.
func (s *Store) mark(part dispatch.Part) {
	for _, st := range part.Started {
		if r := s.replays[dispatch.StartID(st.EndpointID)]; r != nil {
			if p := r.part(part.Partition); p != nil && p.State == dispatch.PartTaken {
				p.State, p.Next = dispatch.PartDone, st.Next
			}
		}
	}
	for _, d := range part.Decided {
		if c := s.cancels[d.Key]; c != nil {
			c.verdict, c.decided, c.told = d.Verdict, time.Now(), true
		}
	}
}

// undecided returns the open requests in a partition that are wanted, and notes
// that their owner has been told.
func (s *Store) undecided(p dispatch.Partition, want func(*cancel) bool) []dispatch.Cancel {
	var all []dispatch.Cancel
	for key, c := range s.cancels {
		if c.Partition != p || c.verdict != dispatch.Undecided || !want(c) {
			continue
		}
		c.told = true
		out := c.Cancel
		if r := s.partition(p).rows[key]; r != nil {
			o := bare(r.Owed)
			out.Row = &o
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b dispatch.Cancel) int { return cmp.Compare(a.Key, b.Key) })
	return all
}

// AskCancel implements dispatch.Cancels.
func (s *Store) AskCancel(_ context.Context, org, deliveryID, reason string) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	rows := s.those(func(r *row) bool { return r.ID == deliveryID && r.Org == org })
	return s.ask(rows, reason), nil
}

// AskDrop implements dispatch.Cancels.
func (s *Store) AskDrop(_ context.Context, org, endpointID string, before time.Time, limit int, reason string, statuses ...delivery.Status) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	rows := s.those(func(r *row) bool {
		return r.Org == org && r.EndpointID == endpointID && slices.Contains(statuses, r.Status) && r.CreatedAt.Before(before)
	})
	return s.ask(rows[:min(limit, len(rows))], reason), nil
}

// those are the rows that are wanted, the oldest first.
func (s *Store) those(wanted func(*row) bool) []*row {
	var all []*row
	for _, p := range s.partitions {
		for _, r := range p.rows {
			if wanted(r) {
				all = append(all, r)
			}
		}
	}
	slices.SortFunc(all, func(a, b *row) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.Key(), b.Key()))
	})
	return all
}

// ask asks for the cancelling of rows. What was asked before and is not decided is
// not asked again.
func (s *Store) ask(rows []*row, reason string) []string {
	var keys []string
	for _, r := range rows {
		key := r.Key()
		keys = append(keys, key)
		if c := s.cancels[key]; c == nil || c.verdict != dispatch.Undecided {
			s.flushed++
			s.cancels[key] = cancelOf(r.Owed, reason)
		}
	}
	return keys
}

// Verdicts implements dispatch.Cancels.
func (s *Store) Verdicts(_ context.Context, keys []string) (map[string]dispatch.Verdict, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	verdicts := make(map[string]dispatch.Verdict)
	for _, k := range keys {
		if c := s.cancels[k]; c != nil {
			verdicts[k] = c.verdict
		}
	}
	return verdicts, s.fail
}

// Cancels implements dispatch.Cancels.
func (s *Store) Cancels(_ context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Cancel, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	var all []dispatch.Cancel
	for _, o := range owned {
		if s.partition(o.Partition).epoch == o.Epoch {
			all = append(all, s.undecided(o.Partition, func(c *cancel) bool { return !c.told || again })...)
		}
	}
	return all, nil
}

// ForgetCancels implements dispatch.Cancels.
func (s *Store) ForgetCancels(_ context.Context, before time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for k, c := range s.cancels {
		if c.verdict != dispatch.Undecided && c.decided.Before(before) {
			delete(s.cancels, k)
		}
	}
	return s.fail
}

// Starts implements dispatch.Starts.
func (s *Store) Starts(_ context.Context, p dispatch.Partition, epoch int64, endpointIDs []string) (map[string]dispatch.Start, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil || s.partition(p).epoch != epoch {
		return nil, false, s.fail
	}
	found := make(map[string]dispatch.Start)
	for _, id := range endpointIDs {
		if r := s.replays[dispatch.StartID(id)]; r != nil {
			if part := r.part(p); part != nil {
				found[id] = startOf(r, part)
			}
		}
	}
	return found, true, nil
}

func startOf(r *replay, p *dispatch.ReplayPart) dispatch.Start {
	return dispatch.Start{Partition: p.Partition, EndpointID: r.EndpointID, State: p.State, Next: p.Next}
}

// Takeable implements dispatch.Starts.
func (s *Store) Takeable(_ context.Context, ps []dispatch.Partition) ([]dispatch.Start, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []dispatch.Start
	for _, r := range s.replays {
		for i := range r.parts {
			p := &r.parts[i]
			if r.State == dispatch.ReplayRunning && slices.Contains(ps, p.Partition) && (p.State == dispatch.PartReady || p.State == dispatch.PartTaken) {
				all = append(all, startOf(r, p))
			}
		}
	}
	slices.SortFunc(all, func(a, b dispatch.Start) int {
		return cmp.Or(cmp.Compare(a.EndpointID, b.EndpointID), cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.ID, b.ID))
	})
	return all, s.fail
}

// Take implements dispatch.Starts.
func (s *Store) Take(_ context.Context, p dispatch.Partition, epoch int64, endpointID string) (int64, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[dispatch.StartID(endpointID)]
	if s.fail != nil || r == nil || s.partition(p).epoch != epoch {
		return 0, false, s.fail
	}
	part := r.part(p)
	if part == nil || part.State != dispatch.PartReady && part.State != dispatch.PartTaken {
		return 0, false, nil
	}
	s.flushed++
	part.State = dispatch.PartTaken
	return part.Next, true, nil
}
