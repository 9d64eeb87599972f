package deliveries

import (
	"context"
	"slices"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
)

var _ dispatch.Crew = (*Store)(nil)

// member is a process that was heard of.
type member struct {
	partitions int
	seen       time.Time
}

// Beat implements dispatch.Crew.
func (s *Store) Beat(_ context.Context, name string, partitions int, ttl time.Duration) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	if s.crew == nil {
		s.crew = make(map[string]member)
	}
	now := time.Now()
	s.crew[name] = member{partitions, now}
	var names []string
	for n, m := range s.crew {
		if m.partitions > 0 && (n == name || now.Sub(m.seen) <= ttl) {
			names = append(names, n)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Leave implements dispatch.Crew.
func (s *Store) Leave(_ context.Context, name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.crew, name)
	return s.fail
}
