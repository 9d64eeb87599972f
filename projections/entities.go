package projections

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// EntityApplier keeps one generation of a folded read model: it loads the
// entities that a batch touches, folds in memory and has the Store write rows
// and checkpoint together.
type EntityApplier struct {
	model      Model
	ref        Ref
	store      Store
	cacheBytes int
}

// DefaultCacheBytes is how much state a session keeps in memory, as JSON bytes.
const DefaultCacheBytes = 2 << 20

// NewEntityApplier returns an applier. cacheBytes bounds the states that each
// session keeps in memory between batches; 0 is DefaultCacheBytes.
func NewEntityApplier(m Model, generation int, s Store, cacheBytes int) *EntityApplier {
	if cacheBytes == 0 {
		cacheBytes = DefaultCacheBytes
	}
	return &EntityApplier{model: m, ref: Ref{Model: m.Name, Generation: generation}, store: s, cacheBytes: cacheBytes}
}

// Claim implements Applier. It fails with ErrRetired when the generation is not
// to be written any more.
func (a *EntityApplier) Claim(ctx context.Context, topic event.Topic, partition int) (Session, error) {
	t, err := a.store.Claim(ctx, a.ref, topic, partition)
	if err != nil {
		return nil, fmt.Errorf("claiming %s/%d for %s: %w", topic, partition, a.ref.Model, err)
	}
	s := &entitySession{applier: a, topic: topic, partition: partition, tenure: t, cache: newCache(a.cacheBytes), last: t.Last}
	if a.model.History == "" {
		s.window = newWindow(t.Recent)
	}
	s.tenure.Recent = nil
	return s, nil
}

type entitySession struct {
	applier   *EntityApplier
	topic     event.Topic
	partition int
	tenure    Tenure
	cache     *cache
	window    *window
	broken    error
	quiet     Quiet
	last      Mark
}

func (s *entitySession) Last() Mark { return s.last }

func (s *entitySession) Next() int64 { return s.tenure.Next }

func (s *entitySession) Close() {
	s.cache.clear()
	s.broken = errors.New("session is closed")
}

// Apply implements Session.
func (s *entitySession) Apply(ctx context.Context, events []event.Recorded) error {
	if s.broken != nil {
		return s.broken
	}
	// What lies below the checkpoint has had its effect.
	for len(events) > 0 && events[0].Position.Offset < s.tenure.Next {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil
	}
	if err := s.apply(ctx, events, nil); err != nil {
		return s.end(err)
	}
	s.cache.trim()
	return nil
}

// Confirm implements Session.
func (s *entitySession) Confirm(ctx context.Context) error {
	if s.broken != nil || !s.quiet.Due() {
		return s.broken
	}
	b := Batch{Topic: s.topic, Partition: s.partition, Tenure: s.tenure, Next: s.tenure.Next}
	// What an operator revised is for the next Apply to meet.
	if err := s.applier.store.Commit(ctx, s.applier.ref, b); err != nil && !errors.Is(err, ErrRevised) {
		return s.end(err)
	}
	return nil
}

// end makes the session unusable.
func (s *entitySession) end(err error) error {
	s.broken = fmt.Errorf("session ended by: %w", err)
	s.cache.clear()
	return err
}

// poison are reasons to park events, by offset, that were found out only by
// trying: a fold that panicked, a value that the store refuses.
type poison map[int64]string

func (s *entitySession) apply(ctx context.Context, events []event.Recorded, bad poison) error {
	for {
		b, err := s.fold(ctx, events, bad)
		var broke *foldBroke
		switch {
		case errors.As(err, &broke):
			if bad == nil {
				bad = make(poison)
			}
			bad[broke.offset] = broke.reason
			s.cache.clear() // the state may be half changed
			continue
		case err != nil:
			return err
		}
		err = s.applier.store.Commit(ctx, s.applier.ref, b)
		switch {
		case err == nil:
			s.committed(b)
			return nil
		case errors.Is(err, ErrRevised):
			s.cache.clear()
			if err := s.refresh(ctx, err); err != nil {
				return err
			}
			continue
		case errors.Is(err, ErrRefused):
			s.cache.clear()
			return s.narrow(ctx, events, bad, err)
		}
		return fmt.Errorf("committing %s/%d@%d of %s: %w", s.topic, s.partition, s.tenure.Next, s.applier.ref.Model, err)
	}
}

// refresh takes the new revision from the error of Commit, which carries it.
func (s *entitySession) refresh(_ context.Context, err error) error {
	r, ok := errors.AsType[*Revised](err)
	if !ok {
		return err
	}
	s.tenure.Revision = r.Revision
	s.tenure.Skipped = r.Skipped
	return nil
}

// Revised is the error of Commit that is ErrRevised: it carries what changed.
type Revised struct {
	Revision int64
	Skipped  map[int64]struct{}
}

func (*Revised) Error() string { return ErrRevised.Error() }

// Is makes errors.Is(err, ErrRevised) true.
func (*Revised) Is(target error) bool { return target == ErrRevised }

// narrow finds the event whose values the store refuses, by halves, and parks
// it. Each half commits by itself.
func (s *entitySession) narrow(ctx context.Context, events []event.Recorded, bad poison, cause error) error {
	if len(events) > 1 {
		half := len(events) / 2
		if err := s.apply(ctx, events[:half], bad); err != nil {
			return err
		}
		return s.apply(ctx, events[half:], bad)
	}
	offset := events[0].Position.Offset
	if _, tried := bad[offset]; tried {
		return fmt.Errorf("parking %s: %w", events[0].Position, cause)
	}
	return s.apply(ctx, events, poison{offset: cause.Error()})
}

func (s *entitySession) committed(b Batch) {
	s.tenure.Next = b.Next
	s.quiet.Broken()
	if s.window == nil {
		return
	}
	for _, id := range b.Recent {
		s.window.add(id)
	}
}

// fold makes the batch of events. It changes the session's cache only.
func (s *entitySession) fold(ctx context.Context, events []event.Recorded, bad poison) (Batch, error) {
	last := events[len(events)-1]
	f := &folder{
		model: s.applier.model, cache: s.cache, window: s.window, bad: bad, skipped: s.tenure.Skipped,
		batch: Batch{Topic: s.topic, Partition: s.partition, Tenure: s.tenure, Next: last.Position.Offset + 1, RecordedAt: storeTime(last.RecordedAt)},
	}
	if err := f.load(ctx, s.applier.store, s.applier.ref, events); err != nil {
		return Batch{}, fmt.Errorf("loading entities of %s: %w", s.applier.ref.Model, err)
	}
	if f.model.History != "" {
		f.batch.History = make([]HistoryRow, 0, len(events))
	}
	for i := range events {
		if err := f.event(events[i]); err != nil {
			return Batch{}, err
		}
	}
	if err := f.finish(); err != nil {
		return Batch{}, err
	}
	return f.batch, nil
}

// storeTime keeps a made-up recorded time out of the checkpoint.
func storeTime(t time.Time) time.Time {
	if y := t.Year(); y < firstYear || y >= lastYear {
		return time.Time{}
	}
	return t
}
