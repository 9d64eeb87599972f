package deliveries

import (
	"cmp"
	"context"
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Page implements dispatch.Store.
func (s *Store) Page(_ context.Context, q dispatch.PageQuery) ([]dispatch.Owed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	var page []dispatch.Owed
	for _, r := range s.partition(q.Partition).of(q.EndpointID) {
		if r.Status != q.Status || slices.Contains(q.Exclude, r.Key()) || len(page) == q.Limit {
			continue
		}
		page = append(page, bare(r.Owed))
	}
	return page, nil
}

func bare(o dispatch.Owed) dispatch.Owed {
	o.Body, o.Headers = nil, nil
	return o
}

// Keys implements dispatch.Store.
func (s *Store) Keys(_ context.Context, id dispatch.Partition, endpointID string, limit int) (map[string]int, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, false, s.fail
	}
	keys := make(map[string]int)
	for _, r := range s.partition(id).of(endpointID) {
		keys[r.OrderKey]++
	}
	if len(keys) > limit {
		return nil, false, nil
	}
	return keys, true, nil
}

// Health implements dispatch.Store.
func (s *Store) Health(_ context.Context, endpointIDs ...string) (map[string]delivery.Health, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	known := make(map[string]delivery.Health)
	for _, id := range endpointIDs {
		if h, ok := s.health[id]; ok {
			known[id] = h
		}
	}
	return known, nil
}

// Get implements dispatch.Unfinished.
func (s *Store) Get(_ context.Context, org, deliveryID string) (dispatch.Owed, bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *row
	for _, p := range s.partitions {
		for _, r := range p.rows {
			if r.ID != deliveryID || r.Org != org {
				continue
			}
			if r.ReplayID == "" {
				return r.Owed, true, s.fail
			}
			if found == nil || cmp.Or(r.CreatedAt.Compare(found.CreatedAt), cmp.Compare(r.Key(), found.Key())) > 0 {
				found = r
			}
		}
	}
	if found == nil {
		return dispatch.Owed{}, false, s.fail
	}
	return found.Owed, true, s.fail
}

// List implements dispatch.Unfinished.
func (s *Store) List(_ context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []dispatch.Owed
	for _, p := range s.partitions {
		for _, r := range p.of(q.EndpointID) {
			before := q.Before.IsZero() || cmp.Or(r.CreatedAt.Compare(q.Before), cmp.Compare(r.Key(), q.BeforeKey)) < 0
			if r.Org == q.Org && (q.Status == "" || q.Status == r.Status) && (!q.Untried || r.Attempts == 0 || r.LastError == "") &&
				(q.IDs == nil || slices.Contains(q.IDs, r.ID)) && before {
				all = append(all, bare(r.Owed))
			}
		}
	}
	slices.SortFunc(all, func(a, b dispatch.Owed) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), cmp.Compare(b.Key(), a.Key()))
	})
	if q.Limit > 0 {
		all = all[:min(len(all), q.Limit)]
	}
	return all, s.fail
}

// Waiting implements dispatch.Unfinished.
func (s *Store) Waiting(_ context.Context, endpointIDs ...string) (map[string]dispatch.Waiting, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	waiting := make(map[string]dispatch.Waiting)
	for _, p := range s.partitions {
		for _, r := range p.rows {
			if !slices.Contains(endpointIDs, r.EndpointID) {
				continue
			}
			w := waiting[r.EndpointID]
			w.Count++
			if r.Status == delivery.IsHeld {
				w.Held++
			}
			if w.Oldest.IsZero() || r.CreatedAt.Before(w.Oldest) {
				w.Oldest = r.CreatedAt
			}
			waiting[r.EndpointID] = w
		}
	}
	return waiting, s.fail
}
