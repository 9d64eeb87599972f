package deliveries

import (
	"cmp"
	"context"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// replay is a stored replay with its parts, its ends and its lease.
type replay struct {
	dispatch.Leased
	number int // in the order in which they were added
	parts  []dispatch.ReplayPart
	ends   []dispatch.ReplayEnd
	owner  string
	until  time.Time
}

var (
	_ dispatch.ReplayBook = (*Store)(nil)
	_ dispatch.ReplayWork = (*Store)(nil)
)

func (r *replay) moving() bool {
	return r.State == dispatch.ReplayRunning || r.State == dispatch.ReplayAborting
}

// shown is a replay as it is handed out: nothing of it is shared.
func (r *replay) shown() dispatch.Replay {
	shown := r.Replay
	shown.Types = slices.Clone(r.Types)
	if r.Target != nil {
		target := dispatch.TargetNow(r.Replay, *r.Target)
		shown.Target = &target
	}
	return shown
}

// AddReplay implements dispatch.ReplayBook.
func (s *Store) AddReplay(_ context.Context, r dispatch.Replay, parts []dispatch.ReplayPart) (dispatch.Replay, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return dispatch.Replay{}, false, s.fail
	}
	s.partition(dispatch.Partition{})
	if known := s.replays[r.ID]; known != nil {
		return known.shown(), false, nil
	}
	for _, known := range s.replays {
		if r.Same != "" && known.Same == r.Same && !known.State.Ended() {
			return known.shown(), false, nil
		}
	}
	added := &replay{Leased: dispatch.Leased{Replay: r}, number: len(s.replays), parts: slices.Clone(parts)}
	for i := range added.parts {
		added.parts[i].Begin = added.parts[i].Next
	}
	added.ChangedAt = r.CreatedAt
	s.flushed++
	s.replays[r.ID] = added
	return added.shown(), true, nil
}

// Replay implements dispatch.ReplayBook.
func (s *Store) Replay(_ context.Context, org, id string) (dispatch.Replay, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[id]
	if s.fail != nil || r == nil || r.Org != org {
		return dispatch.Replay{}, false, s.fail
	}
	return r.shown(), true, nil
}

// Replays implements dispatch.ReplayBook.
func (s *Store) Replays(_ context.Context, org, before string, limit int) ([]dispatch.Replay, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*replay
	for _, r := range s.replays {
		if r.Org == org && (before == "" || s.replays[before] != nil && r.number < s.replays[before].number) {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b *replay) int { return b.number - a.number })
	var list []dispatch.Replay
	for _, r := range all[:min(limit, len(all))] {
		list = append(list, r.shown())
	}
	return list, s.fail
}

// Decide implements dispatch.ReplayBook.
func (s *Store) Decide(_ context.Context, d dispatch.Decision) (dispatch.Replay, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.replays[d.ID]
	if s.fail != nil || r == nil || r.Org != d.Org {
		return dispatch.Replay{}, false, s.fail
	}
	if !slices.Contains(d.Kinds, r.Kind) || !slices.Contains(d.From, r.State) {
		return r.shown(), false, nil
	}
	s.become(r, d.To)
	r.Detail = d.Detail
	if r.owner == "" {
		r.until = time.Time{}
	}
	return r.shown(), true, nil
}

func (s *Store) become(r *replay, to dispatch.ReplayState) {
	s.flushed++
	r.State, r.ChangedAt = to, event.Time(time.Now())
	if to.Ended() {
		r.EndedAt = r.ChangedAt
		delete(s.health, r.ID)
	}
}

// Ends implements dispatch.ReplayBook.
func (s *Store) Ends(_ context.Context, id string) ([]dispatch.ReplayEnd, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.replays[id] == nil {
		return nil, s.fail
	}
	ends := slices.Clone(s.replays[id].ends)
	slices.SortFunc(ends, func(a, b dispatch.ReplayEnd) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Status, b.Status), cmp.Compare(a.Reason, b.Reason))
	})
	return ends, s.fail
}

// count notes that a row of a replay has ended.
func (s *Store) count(o dispatch.Owed, reason string) {
	r := s.replays[o.ReplayID]
	if r == nil {
		return
	}
	for i := range r.ends {
		if e := &r.ends[i]; e.Status == o.Status && e.Reason == reason {
			e.Count++
			e.Example = min(e.Example, o.ID)
			return
		}
	}
	r.ends = append(r.ends, dispatch.ReplayEnd{Status: o.Status, Reason: reason, Count: 1, Example: o.ID})
}

// Standing implements dispatch.ReplayBook.
func (s *Store) Standing(_ context.Context, r dispatch.Replay) (dispatch.Standing, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var st dispatch.Standing
	for _, p := range s.partitions {
		for _, o := range p.rows {
			if r.Kind == dispatch.OfStart && (o.EndpointID != r.EndpointID || o.ReplayID != "") || r.Kind != dispatch.OfStart && o.ReplayID != r.ID {
				continue
			}
			st.Total++
			if o.Status == delivery.IsHeld {
				st.Held++
			} else if o.Attempts == 0 {
				st.Fresh++
			}
		}
	}
	return st, s.fail
}

// Parts implements dispatch.ReplayWork.
func (s *Store) Parts(_ context.Context, id string) ([]dispatch.ReplayPart, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil || s.replays[id] == nil {
		return nil, s.fail
	}
	return slices.Clone(s.replays[id].parts), nil
}

func (r *replay) part(p dispatch.Partition) *dispatch.ReplayPart {
	for i := range r.parts {
		if r.parts[i].Partition == p {
			return &r.parts[i]
		}
	}
	return nil
}

// Step implements dispatch.ReplayWork.
func (s *Store) Step(_ context.Context, st dispatch.Step) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return false, s.fail
	}
	r := s.replays[st.ReplayID]
	if r == nil || r.Epoch != st.Epoch || !r.moving() {
		return false, nil
	}
	if c := st.Cursor; c != nil && (r.Cursor != c.From || r.Read) {
		return false, nil
	}
	for _, m := range st.Moves {
		if p := r.part(m.Partition); p == nil || p.Next != m.From || p.State != dispatch.PartReading && p.State != dispatch.PartReady {
			return false, nil
		}
	}
	if err := refuse(offering(st.Owed)); err != nil {
		return false, err
	}
	for _, m := range st.Moves {
		p := r.part(m.Partition)
		p.Next, p.State = m.To, m.State
		r.Scanned += m.To - m.From
	}
	r.Events += st.Events
	r.Filtered += st.Filtered
	r.Scanned += st.Scanned
	r.Deliveries += int64(len(st.Owed) + len(st.Dropped))
	for _, o := range st.Dropped {
		o.ReplayID = st.ReplayID
		s.count(o, o.LastError)
	}
	r.Read = r.Read || st.Read
	if st.Cursor != nil {
		r.Cursor = st.Cursor.To
	}
	if st.Detail != nil && r.State == dispatch.ReplayRunning {
		r.Detail = *st.Detail
	}
	for _, o := range st.Owed {
		r.Last = event.Position{Topic: o.Topic, Partition: o.Partition, Offset: o.Offset}
		if r.First.Topic == "" {
			r.First = r.Last
		}
	}
	if !st.PacedUntil.IsZero() {
		r.PacedUntil = st.PacedUntil
	}
	if st.Rest > 0 {
		s.flushed++
		r.owner, r.until = "", time.Now().Add(st.Rest)
	}
	if st.State != "" {
		s.become(r, st.State)
	}
	s.offer(st.Owed)
	return true, nil
}

// CancelReplay implements dispatch.ReplayWork.
func (s *Store) CancelReplay(_ context.Context, id, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		for k, o := range p.rows {
			if o.ReplayID == id && id != "" && s.cancels[k] == nil {
				s.flushed++
				s.cancels[k] = cancelOf(o.Owed, reason)
			}
		}
	}
	return s.fail
}

// Targets implements dispatch.Targets.
func (s *Store) Targets(_ context.Context, ids ...string) (map[string]delivery.Endpoint, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	targets := make(map[string]delivery.Endpoint)
	for _, id := range ids {
		if r := s.replays[id]; r != nil && r.Target != nil && !r.State.Ended() {
			targets[id] = *r.shown().Target
		}
	}
	return targets, s.fail
}
