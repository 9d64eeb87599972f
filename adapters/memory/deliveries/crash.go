package deliveries

import (
	"maps"
	"slices"

	"trunkline.dev/trunkline/commands/dispatch"
)

// Snapshot returns how to bring back what is stored now: what a database does that
// is killed before it has flushed its last commits. Commits may be lost so, and the
// store may have confirmed them. Everything else is flushed, and all that came before
// it; if anything of that kind was stored since, nothing is changed and restored is
// false.
func (s *Store) Snapshot() (restore func() (restored bool)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.partition(dispatch.Partition{})
	var (
		flushed    = s.flushed
		partitions = copies(s.partitions, func(p partition) partition {
			p.rows = copies(p.rows, func(r row) row { return r })
			return p
		})
		replays = copies(s.replays, func(r replay) replay {
			r.parts, r.ends = slices.Clone(r.parts), slices.Clone(r.ends)
			return r
		})
		cancels = copies(s.cancels, func(c cancel) cancel { return c })
		health  = maps.Clone(s.health)
		notices = slices.Clone(s.notices)
	)
	return func() bool {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.flushed != flushed {
			return false
		}
		s.partitions, s.replays, s.cancels, s.health, s.notices = partitions, replays, cancels, health, notices
		return true
	}
}

// copies makes a map of copies.
func copies[K comparable, V any](m map[K]*V, deep func(V) V) map[K]*V {
	all := make(map[K]*V, len(m))
	for k, v := range m {
		c := deep(*v)
		all[k] = &c
	}
	return all
}
