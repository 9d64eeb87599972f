// Package readmodel keeps the folded read models in memory: projections.Store
// for tests, and for reading what the port means. It passes
// projections/appliertest, as the Postgres store does.
package readmodel

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Store is a store of the given read models. It is safe for concurrent use.
type Store struct {
	mu          sync.Mutex
	models      map[string]projections.Model
	generations map[string][]projections.Generation
	builds      map[projections.Ref]*build
	skips       map[string][]projections.Skip
	duplicates  map[event.Position]projections.Duplicate
	fail        error
}

var _ projections.Store = (*Store)(nil)

// build is one generation.
type build struct {
	checkpoints map[part]*checkpoint
	entities    map[projections.Key]projections.EntityRow
	history     map[projections.Key][]projections.HistoryRow
	extra       map[string]projections.ExtraRow
	parked      map[event.Position]projections.Parked
	recent      map[part][]projections.SeenID
}

type part struct {
	topic event.Topic
	id    int
}

type checkpoint struct {
	next, epoch, revision int64
	recordedAt            time.Time
}

// NewStore returns an empty store in which generation 1 of each model is live.
func NewStore(models []projections.Model) *Store {
	s := &Store{
		models: make(map[string]projections.Model), generations: make(map[string][]projections.Generation),
		builds: make(map[projections.Ref]*build), skips: make(map[string][]projections.Skip),
		duplicates: make(map[event.Position]projections.Duplicate),
	}
	for _, m := range models {
		s.models[m.Name] = m
		s.generations[m.Name] = []projections.Generation{{Number: 1, Status: projections.Live}}
		s.builds[projections.Ref{Model: m.Name, Generation: 1}] = newBuild()
	}
	return s
}

func newBuild() *build {
	return &build{
		checkpoints: make(map[part]*checkpoint), entities: make(map[projections.Key]projections.EntityRow),
		history: make(map[projections.Key][]projections.HistoryRow), extra: make(map[string]projections.ExtraRow),
		parked: make(map[event.Position]projections.Parked), recent: make(map[part][]projections.SeenID),
	}
}

// FailCommits makes every Commit fail with an error, without effect, until
// FailCommits(nil).
func (s *Store) FailCommits(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *Store) build(ref projections.Ref) (*build, error) {
	b, ok := s.builds[ref]
	if !ok {
		return nil, fmt.Errorf("generation %d of %s: %w", ref.Generation, ref.Model, projections.ErrRetired)
	}
	return b, nil
}

// Claim implements projections.Store.
func (s *Store) Claim(_ context.Context, ref projections.Ref, topic event.Topic, partition int) (projections.Tenure, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.build(ref)
	if err != nil {
		return projections.Tenure{}, err
	}
	for _, g := range s.generations[ref.Model] {
		if g.Number == ref.Generation && g.Status == projections.Retired {
			return projections.Tenure{}, projections.ErrRetired
		}
	}
	c := b.checkpoint(part{topic, partition})
	c.epoch++
	return projections.Tenure{
		Next: c.next, Last: projections.Mark{Partition: partition, Offset: c.next - 1, RecordedAt: c.recordedAt}, Epoch: c.epoch, Revision: c.revision,
		Skipped: s.skipped(ref.Model, topic, partition), Recent: slices.Clone(b.recent[part{topic, partition}]),
	}, nil
}

func (b *build) checkpoint(p part) *checkpoint {
	c, ok := b.checkpoints[p]
	if !ok {
		c = new(checkpoint)
		b.checkpoints[p] = c
	}
	return c
}

func (s *Store) skipped(model string, topic event.Topic, partition int) map[int64]struct{} {
	all := make(map[int64]struct{})
	for _, k := range s.skips[model] {
		if k.Position.Topic == topic && k.Position.Partition == partition {
			all[k.Position.Offset] = struct{}{}
		}
	}
	return all
}

// Load implements projections.Store.
func (s *Store) Load(_ context.Context, ref projections.Ref, keys []projections.Key) (map[projections.Key]projections.Loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.build(ref)
	if err != nil {
		return nil, err
	}
	found := make(map[projections.Key]projections.Loaded)
	for _, k := range keys {
		row, ok := b.entities[k]
		l := projections.Loaded{
			Version: row.Version, State: slices.Clone(row.State), Recent: slices.Clone(row.Recent), First: row.First, Last: row.Last,
		}
		for _, p := range b.parkedOf(k) {
			l.Parked = append(l.Parked, p.ID)
		}
		if ok || len(l.Parked) > 0 {
			found[k] = l
		}
	}
	return found, nil
}

func (b *build) parkedOf(k projections.Key) []projections.Parked {
	var all []projections.Parked
	for _, p := range b.parked {
		if p.Entity() == k {
			all = append(all, p)
		}
	}
	sortParked(all)
	return all
}

func sortParked(all []projections.Parked) {
	slices.SortFunc(all, func(a, b projections.Parked) int { return comparePositions(a.Position, b.Position) })
}

func comparePositions(a, b event.Position) int {
	return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
}

// Repeats implements projections.Store.
func (s *Store) Repeats(_ context.Context, ref projections.Ref, asks []projections.Ask) (map[projections.Ask]bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.build(ref)
	if err != nil {
		return nil, err
	}
	found := make(map[projections.Ask]bool)
	for _, a := range asks {
		for _, h := range b.history[a.Key] {
			if h.ID == a.EventID && !h.RecordedAt.Before(a.Since) {
				found[a] = true
			}
		}
	}
	return found, nil
}

// Generations implements projections.Store.
func (s *Store) Generations(_ context.Context, model string) ([]projections.Generation, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.generations[model]), nil
}

// Parked implements projections.Store.
func (s *Store) Parked(_ context.Context, ref projections.Ref, q projections.ParkedQuery) ([]projections.Parked, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b, err := s.build(ref)
	if err != nil {
		return nil, err
	}
	all := slices.Collect(maps.Values(b.parked))
	sortParked(all)
	if q.After == (event.Position{}) {
		q.After.Offset = -1
	}
	all = slices.DeleteFunc(all, func(p projections.Parked) bool {
		other := q.Key != nil && p.Entity() != *q.Key
		return other || comparePositions(p.Position, q.After) <= 0
	})
	if q.Limit > 0 && len(all) > q.Limit {
		all = all[:q.Limit]
	}
	return all, nil
}

// Commit implements projections.Store.
func (s *Store) Commit(_ context.Context, ref projections.Ref, batch projections.Batch) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	b, err := s.build(ref)
	if err != nil {
		return errors.Join(projections.ErrFenced, err)
	}
	if batch.Amend != nil {
		return s.amend(ref, b, batch)
	}
	p := part{batch.Topic, batch.Partition}
	c := b.checkpoint(p)
	switch {
	case c.next != batch.Tenure.Next || c.epoch != batch.Tenure.Epoch:
		return projections.ErrFenced
	case c.revision != batch.Tenure.Revision:
		return &projections.Revised{Revision: c.revision, Skipped: s.skipped(ref.Model, batch.Topic, batch.Partition)}
	}
	if batch.Next != c.next {
		c.next, c.recordedAt = batch.Next, batch.RecordedAt
	}
	s.write(ref, b, batch)
	b.recent[p] = append(b.recent[p], batch.Recent...)
	return nil
}

func (s *Store) amend(ref projections.Ref, b *build, batch projections.Batch) error {
	a := batch.Amend
	if a.Key != (projections.Key{}) {
		var have []int64
		for _, p := range b.parkedOf(a.Key) {
			have = append(have, p.Position.Offset)
		}
		if !slices.Equal(have, a.Expect) {
			return projections.ErrRevised
		}
	}
	for other, o := range s.builds {
		if other.Model == ref.Model {
			o.checkpoint(part{batch.Topic, batch.Partition}).revision++
		}
	}
	s.write(ref, b, batch)
	for _, offset := range a.Release {
		delete(b.parked, event.Position{Topic: batch.Topic, Partition: batch.Partition, Offset: offset})
	}
	if a.Skip != nil {
		s.skips[ref.Model] = append(s.skips[ref.Model], *a.Skip)
	}
	return nil
}

func (s *Store) write(ref projections.Ref, b *build, batch projections.Batch) {
	for _, row := range batch.Entities {
		row.State, row.Recent = slices.Clone(row.State), slices.Clone(row.Recent)
		b.entities[row.Key] = row
	}
	for _, row := range batch.History {
		k := projections.Key{Org: row.Org, ID: row.Subject}
		b.history[k] = append(b.history[k], row)
	}
	x := s.models[ref.Model].Extra
	for _, row := range batch.Extra {
		id := extraID(row)
		if former, ok := b.extra[id]; ok && x.Add {
			row.Values = slices.Clone(row.Values)
			for i := range row.Values {
				row.Values[i] = row.Values[i].(int64) + former.Values[i].(int64)
			}
		}
		b.extra[id] = row
	}
	for _, d := range batch.Duplicates {
		s.duplicates[d.Position] = d
	}
	for _, p := range batch.Parked {
		b.parked[p.Position] = p
	}
}
