package projections

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RebuildStatus is a rebuild and how far it has come.
type RebuildStatus struct {
	Rebuild
	Parts []RebuildPart
	// Done of Total events are built in.
	Done, Total int64
	// EventsPerSec is the speed of the last seconds, 0 while unknown; Left is the
	// time that the rest will take at it.
	EventsPerSec float64
	Left         time.Duration
}

// RebuildPart is a partition of a rebuild.
type RebuildPart struct {
	Topic       event.Topic
	Partition   int
	Done, Total int64
}

// Begin begins a rebuild of a projection. With auto it switches by itself once
// the new generation equals the live one; without, or when they differ, it waits
// for Switch or Drop. It fails with ErrUnknownProjection or ErrRebuilding.
func (r *Rebuilder) Begin(ctx context.Context, projection string, auto bool) (RebuildStatus, error) {
	g, err := r.find(projection)
	if err != nil {
		return RebuildStatus{}, err
	}
	r.begin.Lock()
	defer r.begin.Unlock()
	b, ok, err := r.cfg.Rebuilds.Get(ctx, projection)
	switch {
	case err != nil:
		return RebuildStatus{}, err
	case !ok:
		b = Rebuild{Projection: projection, Stage: StageDropped}
	case b.underWay():
		return RebuildStatus{}, ErrRebuilding
	}
	mine, err := r.cfg.Rebuilds.Lease(ctx, b, r.cfg.Owner, lease)
	if err != nil {
		return RebuildStatus{}, err
	}
	if !mine {
		return RebuildStatus{}, ErrRebuilding
	}
	// A process that ended between Create and Put has left a generation that no
	// rebuild speaks of.
	all, err := g.List(ctx)
	if err != nil {
		return RebuildStatus{}, err
	}
	for _, generation := range all {
		if generation.Status == Building {
			if err := g.Drop(ctx, generation.Number); err != nil {
				return RebuildStatus{}, err
			}
		}
	}
	made, err := g.Create(ctx)
	if err != nil {
		return RebuildStatus{}, fmt.Errorf("beginning a rebuild of %s: %w", projection, err)
	}
	now := event.Time(r.cfg.Now())
	b = Rebuild{Projection: projection, Generation: made.Number, Stage: StageBuilding, AutoSwitch: auto, StartedAt: now, ChangedAt: now}
	if err := r.cfg.Rebuilds.Put(ctx, b); err != nil {
		return RebuildStatus{}, err
	}
	r.cfg.Changed()
	return r.Status(ctx, projection)
}

// Status returns the newest rebuild of a projection; ErrNoRebuild if there
// never was one.
func (r *Rebuilder) Status(ctx context.Context, projection string) (RebuildStatus, error) {
	g, err := r.find(projection)
	if err != nil {
		return RebuildStatus{}, err
	}
	b, ok, err := r.cfg.Rebuilds.Get(ctx, projection)
	if err != nil {
		return RebuildStatus{}, err
	}
	if !ok {
		return RebuildStatus{}, ErrNoRebuild
	}
	s := RebuildStatus{Rebuild: b}
	if !b.underWay() {
		return s, nil
	}
	if s.Parts, err = r.parts(ctx, g, b.Generation); err != nil {
		return RebuildStatus{}, err
	}
	for _, p := range s.Parts {
		s.Done += p.Done
		s.Total += p.Total
	}
	s.EventsPerSec = r.measure(projection, b.Generation, s.Done)
	if s.EventsPerSec > 0 {
		s.Left = time.Duration(float64(s.Total-s.Done) / s.EventsPerSec * float64(time.Second))
	}
	return s, nil
}

// Diff compares the newest generation that is not live with the live one.
func (r *Rebuilder) Diff(ctx context.Context, projection string) (Comparison, error) {
	g, err := r.find(projection)
	if err != nil {
		return Comparison{}, err
	}
	live, err := liveOf(ctx, g)
	if err != nil {
		return Comparison{}, err
	}
	other, err := r.other(ctx, g)
	if err != nil {
		return Comparison{}, err
	}
	c, err := compare(ctx, g, live, other)
	if err != nil {
		return Comparison{}, fmt.Errorf("comparing generations %d and %d of %s: %w", live, other, projection, err)
	}
	return c, nil
}

// Switch makes the generation that was built live, equal or not: the operator
// has decided.
func (r *Rebuilder) Switch(ctx context.Context, projection string) error {
	g, err := r.find(projection)
	if err != nil {
		return err
	}
	live, err := liveOf(ctx, g)
	if err != nil {
		return err
	}
	if c, ok := g.(Completer); ok { // before the rebuild is held: it may take long
		b, err := r.underWay(ctx, projection)
		if err != nil {
			return err
		}
		if err := c.Complete(ctx, b.Generation); err != nil {
			return fmt.Errorf("completing generation %d of %s: %w", b.Generation, projection, err)
		}
	}
	return r.insist(ctx, projection, func(b Rebuild) error { return r.switchTo(ctx, g, b, live) })
}

// underWay returns the rebuild that is under way, or ErrNoRebuild.
func (r *Rebuilder) underWay(ctx context.Context, projection string) (Rebuild, error) {
	b, ok, err := r.cfg.Rebuilds.Get(ctx, projection)
	if err == nil && (!ok || !b.underWay()) {
		err = ErrNoRebuild
	}
	return b, err
}

// insist ends the rebuild that is under way, at whatever stage it is: one that moves
// on meanwhile is asked again. It fails with ErrNoRebuild when it has come to another
// end.
func (r *Rebuilder) insist(ctx context.Context, projection string, end func(Rebuild) error) error {
	first, err := r.underWay(ctx, projection)
	for b := first; err == nil; b, err = r.underWay(ctx, projection) {
		if !b.StartedAt.Equal(first.StartedAt) {
			return ErrNoRebuild
		}
		if err := end(b); !errors.Is(err, errMoved) {
			return err
		}
	}
	return err
}

// Rollback makes the generation that was live before live again. It goes on
// from its checkpoints, and so shows older rows until it has caught up.
func (r *Rebuilder) Rollback(ctx context.Context, projection string) error {
	g, err := r.find(projection)
	if err != nil {
		return err
	}
	all, err := g.List(ctx)
	if err != nil {
		return err
	}
	for _, generation := range slices.Backward(all) {
		if generation.Status != Retired {
			continue
		}
		if err := g.Switch(ctx, generation.Number, nil); err != nil {
			return fmt.Errorf("rolling %s back to generation %d: %w", projection, generation.Number, err)
		}
		r.cfg.Changed()
		b, ok, err := r.cfg.Rebuilds.Get(ctx, projection)
		if err != nil || !ok || b.underWay() {
			return err
		}
		err = r.put(ctx, b, StageRolled, fmt.Sprintf("generation %d is live again", generation.Number), nil)
		if errors.Is(err, errMoved) {
			return nil // the next rebuild has begun, and is the one that is told of
		}
		return err
	}
	return fmt.Errorf("%w: %s has no former generation", ErrNoRebuild, projection)
}

// Drop deletes the generations that are not live: it ends a rebuild that is
// under way, and gives up the roll back. The rebuild is over before anything is
// deleted, so that it stays dropped although its tables may be in use for a while;
// to drop again deletes them. One that was switched to meanwhile is ErrNoRebuild,
// and nothing is deleted.
func (r *Rebuilder) Drop(ctx context.Context, projection string) error {
	g, err := r.find(projection)
	if err != nil {
		return err
	}
	b, ok, err := r.cfg.Rebuilds.Get(ctx, projection)
	if err != nil {
		return err
	}
	if ok && b.underWay() {
		if err := r.insist(ctx, projection, func(b Rebuild) error { return r.put(ctx, b, StageDropped, "", nil) }); err != nil {
			return err
		}
	}
	all, err := g.List(ctx)
	if err != nil {
		return err
	}
	for _, generation := range all {
		if generation.Status == Live {
			continue
		}
		if err := g.Drop(ctx, generation.Number); err != nil {
			return fmt.Errorf("dropping generation %d of %s: %w", generation.Number, projection, err)
		}
	}
	r.cfg.Changed()
	return nil
}

func (r *Rebuilder) find(projection string) (Generations, error) {
	g, ok := r.byName[projection]
	if !ok {
		return nil, fmt.Errorf("%w: %q", ErrUnknownProjection, projection)
	}
	return g, nil
}

// other is the newest generation that is not live.
func (r *Rebuilder) other(ctx context.Context, g Generations) (int, error) {
	all, err := g.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, generation := range slices.Backward(all) {
		if generation.Status != Live {
			return generation.Number, nil
		}
	}
	return 0, fmt.Errorf("%w: %s has one generation only", ErrNoRebuild, g.Projection())
}

// parts tell how far a generation has come in each partition.
func (r *Rebuilder) parts(ctx context.Context, g Generations, generation int) ([]RebuildPart, error) {
	have, err := g.Checkpoints(ctx, generation)
	if err != nil {
		return nil, err
	}
	ends, err := r.cfg.Ends.Ends(ctx, g.Topics()...)
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	var all []RebuildPart
	for topic, parts := range ends {
		for partition, end := range parts {
			all = append(all, RebuildPart{Topic: topic, Partition: partition, Done: have[topic][partition], Total: end})
		}
	}
	slices.SortFunc(all, func(a, b RebuildPart) int {
		return cmp.Or(cmp.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return all, nil
}

// speed remembers how far a rebuild was a few seconds ago.
type speed struct {
	generation int
	marks      []speedMark
}

type speedMark struct {
	at   time.Time
	done int64
}

// speedSpan is how far back the speed of a rebuild is measured.
const speedSpan = 10 * time.Second

func (r *Rebuilder) measure(projection string, generation int, done int64) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now()
	s := r.speed[projection]
	if s == nil || s.generation != generation {
		s = &speed{generation: generation}
		r.speed[projection] = s
	}
	for len(s.marks) > 1 && now.Sub(s.marks[0].at) > speedSpan {
		s.marks = s.marks[1:]
	}
	if n := len(s.marks); n == 0 || now.Sub(s.marks[n-1].at) > speedSpan/100 {
		s.marks = append(s.marks, speedMark{now, done})
	}
	first := s.marks[0]
	took := now.Sub(first.at).Seconds()
	if took <= 0 || done <= first.done {
		return 0
	}
	return float64(done-first.done) / took
}
