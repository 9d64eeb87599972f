package clickhouse

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// session is the ownership of one partition.
type session[R any] struct {
	applier *applier[R]
	owner   owner
	mapper  mapper[R]
	next    int64
	last    projections.Mark
	// have are the offsets that were in the append-only tables when the partition
	// was claimed.
	have offsets
	// server is when the server began that the partition was claimed on.
	server   time.Time
	settling settling
	// broken says that it is unknown what the last Apply did.
	broken bool
	quiet  projections.Quiet
}

// Next is the offset to read from.
func (s *session[R]) Next() int64 { return s.next }

// Last is the last record whose rows were written before the claim.
func (s *session[R]) Last() projections.Mark { return s.last }

// Close gives up what the session holds in memory.
func (s *session[R]) Close() {
	s.broken = true
	s.mapper, s.have = nil, nil
}

// Apply makes the rows of the events and the checkpoint behind them durable.
// It returns once the insert that it shares with other sessions is acknowledged.
func (s *session[R]) Apply(ctx context.Context, events []event.Recorded) error {
	if s.broken {
		return errClosed
	}
	for len(events) > 0 && events[0].Position.Offset < s.next {
		events = events[1:]
	}
	for len(events) > 0 {
		n := min(len(events), s.applier.cfg.MaxRows)
		if err := s.apply(ctx, events[:n]); err != nil {
			s.broken = true
			return err
		}
		events = events[n:]
	}
	return nil
}

// Confirm reads the checkpoint: a machine that lost its power was started anew, and
// a backup that was put back has an older one.
func (s *session[R]) Confirm(ctx context.Context) error {
	if s.broken {
		return errClosed
	}
	same, err := s.applier.store.still(ctx, s.server, lately)
	switch {
	case err != nil:
		return err
	case !same:
		s.broken = true
		return errRestarted
	case !s.quiet.Due():
		return nil
	}
	cp, err := s.applier.checkpoint(ctx, s.owner)
	switch {
	case err != nil:
		return err
	case int64(cp.next) < s.next:
		s.broken = true
		return fmt.Errorf("the checkpoint is %d, and was %d: %w", cp.next, s.next, errClosed)
	}
	return nil
}

func (s *session[R]) apply(ctx context.Context, events []event.Recorded) error {
	rows, n, err := s.mapper.rows(ctx, events, s.have)
	if err != nil {
		return fmt.Errorf("mapping events to rows of %s: %w", s.applier.model, err)
	}
	last := events[len(events)-1]
	w := &work[R]{
		owner: s.owner, rows: rows, n: n, bytes: sizeOf(events), next: last.Position.Offset + 1, recordedAt: storedTime(last),
		settled: s.settling.at(s.applier.cfg.Now()), server: s.server,
	}
	if err := s.applier.groups.apply(ctx, w); err != nil {
		return err
	}
	s.next = w.next
	s.settling.reached(s.applier.cfg.Now(), s.next)
	s.quiet.Broken()
	return nil
}

// sizeOf is about what events make of rows: their data and their envelopes.
func sizeOf(events []event.Recorded) int {
	const envelope = 300
	n := 0
	for i := range events {
		n += envelope + len(events[i].Data)
	}
	return n
}
