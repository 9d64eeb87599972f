// Package deliveries holds dispatch.Store in memory, for tests and for reading
// what the port means. It passes commands/dispatch/storetest, as the Postgres
// one does.
package deliveries

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Store is an empty store that needs no making.
type Store struct {
	mu         sync.Mutex
	partitions map[dispatch.Partition]*partition
	health     map[string]delivery.Health
	notices    []dispatch.Notice
	crew       map[string]member
	replays    map[string]*replay
	cancels    map[string]*cancel
	fail       error
	inserted   int
	// flushed counts the writes that Snapshot cannot undo.
	flushed int
}

type partition struct {
	epoch, seq, next int64
	// recordedAt is that of the record before next.
	recordedAt time.Time

	rows map[string]*row
}

type row struct {
	dispatch.Owed
	offered bool
}

var (
	_ dispatch.Store      = (*Store)(nil)
	_ dispatch.Unfinished = (*Store)(nil)
)

// Fail makes every call fail with an error until Fail(nil).
func (s *Store) Fail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

// Inserted counts the rows that were ever inserted by commits.
func (s *Store) Inserted() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.inserted
}

// Lose forgets a row, as no store may.
func (s *Store) Lose(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.partitions {
		delete(p.rows, key)
	}
}

// Rows returns all rows.
func (s *Store) Rows() []dispatch.Owed {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []dispatch.Owed
	for _, p := range s.partitions {
		for _, r := range p.rows {
			all = append(all, r.Owed)
		}
	}
	slices.SortFunc(all, func(a, b dispatch.Owed) int { return cmp.Compare(a.Key(), b.Key()) })
	return all
}

// Next returns the checkpoint of a partition.
func (s *Store) Next(p dispatch.Partition) int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.partition(p).next
}

func (s *Store) partition(id dispatch.Partition) *partition {
	if s.partitions == nil {
		s.partitions = make(map[dispatch.Partition]*partition)
		s.health = make(map[string]delivery.Health)
		s.replays = make(map[string]*replay)
		s.cancels = make(map[string]*cancel)
	}
	p := s.partitions[id]
	if p == nil {
		p = &partition{rows: make(map[string]*row)}
		s.partitions[id] = p
	}
	return p
}

func inOrder(a, b *row) int {
	return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Rank, b.Rank), cmp.Compare(a.Key(), b.Key()))
}

// of returns the rows of an endpoint, in order; "" is every endpoint.
func (p *partition) of(endpointID string) []*row {
	var rows []*row
	for _, r := range p.rows {
		if endpointID == "" || r.EndpointID == endpointID {
			rows = append(rows, r)
		}
	}
	slices.SortFunc(rows, inOrder)
	return rows
}

// heads returns the pending heads of an endpoint, the earliest due first.
func (p *partition) heads(endpointID string) []*row {
	seen := make(map[string]bool)
	var heads []*row
	for _, r := range p.of(endpointID) {
		if !seen[r.OrderKey] && r.Status == delivery.Pending {
			heads = append(heads, r)
		}
		seen[r.OrderKey] = true
	}
	slices.SortStableFunc(heads, func(a, b *row) int { return a.NextAttemptAt.Compare(b.NextAttemptAt) })
	return heads
}

// Claim implements dispatch.Store.
func (s *Store) Claim(_ context.Context, id dispatch.Partition) (dispatch.Claimed, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return dispatch.Claimed{}, s.fail
	}
	p := s.partition(id)
	s.flushed++
	p.epoch++
	p.seq = 0
	for _, r := range p.rows {
		r.offered = false
	}
	return dispatch.Claimed{
		Epoch: p.epoch, Next: p.next, RecordedAt: p.recordedAt, Backlogs: p.backlogs(id, func(*row) bool { return true }),
		Cancels: s.undecided(id, func(*cancel) bool { return true }),
	}, nil
}

func (p *partition) backlogs(id dispatch.Partition, which func(*row) bool) []dispatch.Backlog {
	byEndpoint := make(map[string]*dispatch.Backlog)
	for _, r := range p.of("") {
		if !which(r) {
			continue
		}
		b := byEndpoint[r.EndpointID]
		if b == nil {
			b = &dispatch.Backlog{Partition: id, EndpointID: r.EndpointID, Org: r.Org}
			byEndpoint[r.EndpointID] = b
		}
		b.Rows++
		if r.Status == delivery.IsHeld {
			b.Held++
		}
	}
	var all []dispatch.Backlog
	for endpointID, b := range byEndpoint {
		if heads := p.heads(endpointID); len(heads) > 0 {
			b.NextDue = heads[0].NextAttemptAt
		}
		all = append(all, *b)
	}
	slices.SortFunc(all, func(a, b dispatch.Backlog) int { return cmp.Compare(a.EndpointID, b.EndpointID) })
	return all
}

// Commit implements dispatch.Store.
func (s *Store) Commit(_ context.Context, b dispatch.Batch) ([]dispatch.Partition, map[string]delivery.Health, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, nil, s.fail
	}
	var fenced []dispatch.Partition
	done := 0
	for _, part := range b.Parts {
		p := s.partition(part.Partition)
		switch {
		case p.epoch != part.Epoch:
			fenced = append(fenced, part.Partition)
		case p.seq == part.Seq-1 && p.next == part.From:
		case p.seq == part.Seq && p.next == part.To:
			done++
		default:
			fenced = append(fenced, part.Partition)
		}
	}
	if len(fenced) > 0 {
		return fenced, nil, nil
	}
	if done == 0 {
		if err := refuse(b); err != nil {
			return nil, nil, err
		}
		for _, part := range b.Parts {
			s.commit(part)
		}
		return nil, s.merge(b.Health), nil
	}
	health := make(map[string]delivery.Health)
	for _, c := range b.Health {
		health[c.EndpointID] = s.health[c.EndpointID]
	}
	return nil, health, nil
}

// merge adds to what is known of endpoints, and forgets those of replays that
// have ended.
func (s *Store) merge(changes []dispatch.HealthChange) map[string]delivery.Health {
	s.partition(dispatch.Partition{})
	health := make(map[string]delivery.Health)
	for _, c := range changes {
		merged, told := dispatch.Merge(s.health[c.EndpointID], c)
		s.health[c.EndpointID], s.notices = merged, append(s.notices, told...)
		health[c.EndpointID] = merged
	}
	for id := range health {
		if r := s.replays[id]; r != nil && r.State.Ended() {
			delete(s.health, id)
		}
	}
	return health
}

func (s *Store) commit(part dispatch.Part) {
	p := s.partition(part.Partition)
	if part.To != p.next {
		p.recordedAt = part.RecordedAt
	}
	p.seq, p.next = part.Seq, part.To
	for _, o := range part.Insert {
		if p.rows[o.Key()] == nil {
			s.inserted++
		}
		p.rows[o.Key()] = &row{Owed: o}
	}
	for _, o := range part.Update {
		if r := p.rows[o.Key()]; r != nil {
			o.Body, o.Headers = r.Body, r.Headers
			r.Owed = o
		}
	}
	for _, o := range part.Delete {
		if r := p.rows[o.Key()]; r != nil {
			s.count(o, o.LastError)
			delete(p.rows, o.Key())
		}
	}
	s.mark(part)
}

// Load implements dispatch.Store.
func (s *Store) Load(_ context.Context, now time.Time, wants []dispatch.Want) ([]dispatch.Loaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	loaded := make([]dispatch.Loaded, len(wants))
	for i, w := range wants {
		p := s.partition(w.Partition)
		if p.epoch != w.Epoch {
			continue
		}
		for _, r := range p.heads(w.EndpointID) {
			if slices.Contains(w.Exclude, r.Key()) {
				continue
			}
			if r.NextAttemptAt.After(now) || len(loaded[i].Rows) == w.Limit {
				loaded[i].Next = r.NextAttemptAt
				break
			}
			loaded[i].Rows = append(loaded[i].Rows, r.Owed)
		}
	}
	return loaded, nil
}

// SetBack implements dispatch.Store.
func (s *Store) SetBack(_ context.Context, o dispatch.Ownership, from time.Time, by time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	p := s.partition(o.Partition)
	if p.epoch != o.Epoch {
		return nil
	}
	for _, r := range p.rows {
		if r.Status == delivery.Pending {
			r.NextAttemptAt = earlier(r.NextAttemptAt, from, by)
		}
	}
	return nil
}

// earlier brings what is later than from so much nearer to it.
func earlier(at, from time.Time, by time.Duration) time.Time {
	switch {
	case !at.After(from):
		return at
	case at.Add(-by).Before(from):
		return from
	}
	return at.Add(-by)
}

// Offer implements dispatch.Store.
func (s *Store) Offer(_ context.Context, owed []dispatch.Owed) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return s.fail
	}
	if err := refuse(offering(owed)); err != nil {
		return err
	}
	s.offer(owed)
	return nil
}

// offering is a batch as a refusal reads it.
func offering(owed []dispatch.Owed) dispatch.Batch {
	return dispatch.Batch{Parts: []dispatch.Part{{Insert: owed}}}
}

func (s *Store) offer(owed []dispatch.Owed) {
	s.flushed++
	for _, o := range owed {
		p := s.partition(o.In())
		if p.rows[o.Key()] == nil {
			p.rows[o.Key()] = &row{Owed: o, offered: true}
		}
	}
}

// Offered implements dispatch.Store.
func (s *Store) Offered(_ context.Context, owned []dispatch.Ownership, again bool) ([]dispatch.Backlog, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail != nil {
		return nil, s.fail
	}
	var all []dispatch.Backlog
	for _, o := range owned {
		p := s.partition(o.Partition)
		if p.epoch != o.Epoch {
			continue
		}
		all = append(all, p.backlogs(o.Partition, func(r *row) bool { return r.offered || again })...)
		for _, r := range p.rows {
			r.offered = false
		}
	}
	return all, nil
}

// Forward implements dispatch.Store.
func (s *Store) Forward(ctx context.Context, to func(context.Context, []event.Event) error) (int, error) {
	s.mu.Lock()
	notices := s.notices
	fail := s.fail
	s.mu.Unlock()
	if fail != nil || len(notices) == 0 {
		return 0, fail
	}
	events, err := dispatch.Events(notices)
	if err != nil {
		return 0, err
	}
	if err := to(ctx, events); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.flushed++
	s.notices = s.notices[min(len(s.notices), len(notices)):]
	return len(notices), nil
}
