package projections

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Parking is what an operator can do about parked events of the folded read
// models: list them, try them again, or leave one out for good.
type Parking struct {
	store  Store
	models map[string]Model
	others map[string]ParkedLister
	now    func() time.Time
}

// ParkedLister is a Generations of another store that lists what it parked. It
// folds nothing of it again: a rebuild does, once the cause is mended.
type ParkedLister interface {
	Projection() string
	// Parked returns what the live generation has parked, in log order, behind a
	// position, at most limit.
	Parked(ctx context.Context, after event.Position, limit int) ([]Parked, error)
}

// NewParking returns the parking of the given read models, and of others that are
// only listed. now dates the operators' decisions; no read model holds it.
func NewParking(s Store, models []Model, now func() time.Time, others ...ParkedLister) *Parking {
	byName := make(map[string]Model, len(models))
	for _, m := range models {
		byName[m.Name] = m
	}
	listed := make(map[string]ParkedLister, len(others))
	for _, o := range others {
		listed[o.Projection()] = o
	}
	return &Parking{store: s, models: byName, others: listed, now: now}
}

// The errors of Parking.
var (
	ErrUnknownProjection = errors.New("no such projection")
	ErrNotParked         = errors.New("no such parked event")
	// ErrRebuildOnly is of a projection that does not try parked events again.
	ErrRebuildOnly = errors.New("what this projection has parked is taken in by its rebuild, once the cause is mended, or left out by a skip where the same event is parked in Postgres")
)

// List returns the parked events of a projection's live generation in log
// order, behind the position after, at most limit.
func (p *Parking) List(ctx context.Context, projection string, after event.Position, limit int) ([]Parked, error) {
	if o, ok := p.others[projection]; ok {
		return o.Parked(ctx, after, limit)
	}
	ref, err := p.live(ctx, projection)
	if err != nil {
		return nil, err
	}
	return p.store.Parked(ctx, ref, ParkedQuery{After: after, Limit: limit})
}

// Released says what a retry or skip did in the live generation.
type Released struct {
	// Applied events are folded now; Parked ones stay, for Reason.
	Applied, Parked int
	Reason          string
}

// Retry folds the parked events of an entity again, in order, in one
// transaction, up to the first that is still poison.
func (p *Parking) Retry(ctx context.Context, projection string, k Key) (Released, error) {
	return p.amend(ctx, projection, k, nil)
}

// Skip leaves a parked event out for good, in every generation, and folds those
// that were parked behind it. Reason and actor are kept.
func (p *Parking) Skip(ctx context.Context, projection string, at event.Position, reason, actor string) (Released, error) {
	if reason == "" || actor == "" {
		return Released{}, errors.New("a skip needs a reason and an actor")
	}
	ref, err := p.live(ctx, projection)
	if err != nil {
		return Released{}, err
	}
	found, err := p.store.Parked(ctx, ref, only(at))
	if err != nil {
		return Released{}, err
	}
	if len(found) == 0 || found[0].Position != at {
		return Released{}, fmt.Errorf("%w at %s", ErrNotParked, at)
	}
	return p.amend(ctx, projection, found[0].Entity(), &Skip{Position: at, EventID: Clean(found[0].ID), Reason: Clean(reason), Actor: Clean(actor), At: event.Time(p.now())})
}

// only asks for what is parked at a position, or is the first behind it.
func only(at event.Position) ParkedQuery {
	return ParkedQuery{After: event.Position{Topic: at.Topic, Partition: at.Partition, Offset: at.Offset - 1}, Limit: 1}
}

func (p *Parking) live(ctx context.Context, projection string) (Ref, error) {
	if _, ok := p.others[projection]; ok {
		return Ref{}, fmt.Errorf("%s: %w", projection, ErrRebuildOnly)
	}
	if _, ok := p.models[projection]; !ok {
		return Ref{}, fmt.Errorf("%w: %q", ErrUnknownProjection, projection)
	}
	all, err := p.store.Generations(ctx, projection)
	if err != nil {
		return Ref{}, err
	}
	for _, g := range all {
		if g.Status == Live {
			return Ref{Model: projection, Generation: g.Number}, nil
		}
	}
	return Ref{}, fmt.Errorf("%w: %q has no live generation", ErrUnknownProjection, projection)
}

// amend does the same to each generation, so that a rebuild that runs beside
// stays equal; the answer is that of the live one.
func (p *Parking) amend(ctx context.Context, projection string, k Key, skip *Skip) (Released, error) {
	live, err := p.live(ctx, projection)
	if err != nil {
		return Released{}, err
	}
	all, err := p.store.Generations(ctx, projection)
	if err != nil {
		return Released{}, err
	}
	var answer Released
	for _, g := range all {
		ref := Ref{Model: projection, Generation: g.Number}
		r, err := p.amendOne(ctx, ref, k, skip)
		if err != nil && (ref == live || !errors.Is(err, ErrNotParked)) {
			return Released{}, fmt.Errorf("amending generation %d of %s: %w", g.Number, projection, err)
		}
		if ref == live {
			answer = r
		}
	}
	return answer, nil
}

// maxAmendTries bounds the repetitions when the projector parks further events
// of the entity at the same moment.
const maxAmendTries = 20

func (p *Parking) amendOne(ctx context.Context, ref Ref, k Key, skip *Skip) (Released, error) {
	for range maxAmendTries {
		r, err := p.tryAmend(ctx, ref, k, skip)
		if !errors.Is(err, ErrRevised) {
			return r, err
		}
	}
	return Released{}, ErrRevised
}

func (p *Parking) tryAmend(ctx context.Context, ref Ref, k Key, skip *Skip) (Released, error) {
	parked, err := p.store.Parked(ctx, ref, ParkedQuery{Key: &k})
	if err != nil {
		return Released{}, err
	}
	of := func(e Parked) bool { return e.Position == skip.Position }
	if skip != nil && (k == Key{} || !slices.ContainsFunc(parked, of)) {
		// It names no entity that could be trusted: nothing waits behind it.
		k = Key{}
		if parked, err = p.store.Parked(ctx, ref, only(skip.Position)); err != nil {
			return Released{}, err
		}
		parked = slices.DeleteFunc(parked, func(e Parked) bool { return !of(e) })
	}
	if len(parked) == 0 {
		return Released{}, ErrNotParked
	}
	b, err := p.refold(ctx, ref, k, parked, skip)
	if err != nil {
		return Released{}, err
	}
	if err := p.store.Commit(ctx, ref, b); err != nil {
		return Released{}, err
	}
	r := Released{Applied: len(b.History), Parked: len(b.Parked)}
	if p.models[ref.Model].History == "" {
		r.Applied = len(parked) - len(b.Parked)
		if skip != nil {
			r.Applied--
		}
	}
	if len(b.Parked) > 0 {
		r.Reason = b.Parked[0].Reason
	}
	return r, nil
}

// refold makes the batch that folds parked events again.
func (p *Parking) refold(ctx context.Context, ref Ref, k Key, parked []Parked, skip *Skip) (Batch, error) {
	bad := make(poison)
	for {
		b, err := p.refoldOnce(ctx, ref, k, parked, skip, bad)
		broke, ok := errors.AsType[*foldBroke](err)
		if !ok {
			return b, err
		}
		bad[broke.offset] = broke.reason
	}
}

func (p *Parking) refoldOnce(ctx context.Context, ref Ref, k Key, parked []Parked, skip *Skip, bad poison) (Batch, error) {
	first := parked[0].Position
	amend := &Amendment{Key: k, Skip: skip}
	f := &folder{
		model: p.models[ref.Model], cache: newCache(0), window: newWindow(nil), bad: bad,
		batch: Batch{Topic: first.Topic, Partition: first.Partition, Amend: amend},
	}
	if skip != nil {
		f.skipped = map[int64]struct{}{skip.Position.Offset: {}}
	}
	events := make([]event.Recorded, len(parked))
	for i, e := range parked {
		events[i] = e.Recorded
		amend.Expect = append(amend.Expect, e.Position.Offset)
	}
	if err := f.load(ctx, p.store, ref, events); err != nil {
		return Batch{}, err
	}
	if n, ok := f.cache.get(k); ok {
		n.parked = nil
	}
	for _, e := range events {
		if err := f.event(e); err != nil {
			return Batch{}, err
		}
	}
	if err := f.finish(); err != nil {
		return Batch{}, err
	}
	still := make(map[int64]bool, len(f.batch.Parked))
	for _, e := range f.batch.Parked {
		still[e.Position.Offset] = true
	}
	for _, offset := range amend.Expect {
		if !still[offset] {
			amend.Release = append(amend.Release, offset)
		}
	}
	f.batch.Recent = nil // they were noted when they were parked
	return f.batch, nil
}
