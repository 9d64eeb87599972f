package deliveries

import (
	"cmp"
	"context"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
)

// Lease implements dispatch.ReplayWork.
func (s *Store) Lease(_ context.Context, owner string, d time.Duration, most int) ([]dispatch.Leased, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	now := time.Now()
	var mine, free []*replay
	turns := make(map[string]int) // what each org has
	for _, r := range s.replays {
		switch {
		case !r.moving():
		case r.owner == owner && !r.until.Before(now):
			mine = append(mine, r)
			turns[r.Org]++
		case r.until.Before(now) || r.owner == "" && s.nothingLeft(r):
			free = append(free, r)
		case r.owner != "":
			turns[r.Org]++
		}
	}
	byWaiting := func(a, b *replay) int { return cmp.Or(a.until.Compare(b.until), a.number-b.number) }
	slices.SortFunc(mine, byWaiting)
	slices.SortFunc(free, byWaiting)
	turn := make(map[*replay]int, len(free))
	for _, r := range free {
		turns[r.Org]++
		turn[r] = turns[r.Org]
	}
	slices.SortStableFunc(free, func(a, b *replay) int { return turn[a] - turn[b] })
	all := slices.Concat(mine, free)
	var leased []dispatch.Leased
	for _, r := range all[:min(most, len(all))] {
		if r.owner != owner {
			r.owner = owner
			r.Epoch++
		}
		s.flushed++
		r.until = now.Add(d)
		leased = append(leased, dispatch.Leased{Replay: r.shown(), Epoch: r.Epoch})
	}
	return leased, nil
}

// nothingLeft reports whether all that a replay will have offered has ended.
func (s *Store) nothingLeft(r *replay) bool {
	if !r.Read && r.State != dispatch.ReplayAborting {
		return false
	}
	for _, p := range s.partitions {
		for _, o := range p.rows {
			if o.ReplayID == r.ID {
				return false
			}
		}
	}
	return true
}

// Release implements dispatch.ReplayWork.
func (s *Store) Release(_ context.Context, owner string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.replays {
		if r.owner == owner {
			s.flushed++
			r.until = time.Time{}
		}
	}
	return s.fail
}
