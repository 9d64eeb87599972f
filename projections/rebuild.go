package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Stage is how far a rebuild has come.
type Stage string

// The stages. A rebuild that Differs or is Ready waits for the operator; the
// last three are its ends.
const (
	StageBuilding  Stage = "building"
	StageComparing Stage = "comparing"
	StageReady     Stage = "ready"
	StageDiffers   Stage = "differs"
	StageSwitched  Stage = "switched"
	StageRolled    Stage = "rolled_back"
	StageDropped   Stage = "dropped"
)

// Rebuild is the newest rebuild of a projection, as it is stored.
type Rebuild struct {
	Projection string
	Generation int
	Stage      Stage
	// AutoSwitch makes it switch by itself when the digests are equal.
	AutoSwitch bool
	// Detail says in words what the stage's name does not.
	Detail    string
	StartedAt time.Time
	ChangedAt time.Time
}

// Moves reports whether the rebuild goes on by itself.
func (r Rebuild) Moves() bool { return r.Stage == StageBuilding || r.Stage == StageComparing }

// underWay reports whether it is not at one of its ends.
func (r Rebuild) underWay() bool {
	switch r.Stage {
	case StageBuilding, StageComparing, StageReady, StageDiffers:
		return true
	}
	return false
}

// Rebuilds stores rebuilds, so that they survive a restart.
type Rebuilds interface {
	// Get returns the newest rebuild of a projection, false if there is none.
	Get(ctx context.Context, projection string) (Rebuild, bool, error)
	// Put stores a rebuild that begins, in the place of the projection's former one.
	Put(ctx context.Context, r Rebuild) error
	// Move stores what became of a rebuild that is at the stage from, after do, which
	// may be nil: both or, if do fails, neither, and nobody else moves it meanwhile.
	// It returns false, and do was not called, when it is not there any more. A stage
	// in which nothing moves by itself ends the lease.
	Move(ctx context.Context, from Stage, r Rebuild, do func(context.Context) error) (bool, error)
	// Lease gives a process the sole right to move a rebuild on, or to begin the next
	// one after it, for a while. It returns false when another process has it, or when
	// the rebuild is not the newest any more or at another stage. Of a projection that
	// never had one, that is generation 0 and dropped.
	Lease(ctx context.Context, r Rebuild, owner string, d time.Duration) (bool, error)
}

// The errors of a Rebuilder.
var (
	ErrRebuilding = errors.New("a rebuild of this projection is under way")
	ErrNoRebuild  = errors.New("no such rebuild")
)

// RebuilderConfig says what a Rebuilder works with.
type RebuilderConfig struct {
	Generations []Generations
	Rebuilds    Rebuilds
	Ends        Ends
	// Owner names this process; it must differ between processes.
	Owner string
	// Changed is called when generations changed, so that the projector looks at
	// once; nil for none.
	Changed func()
	Log     *slog.Logger
	Now     func() time.Time
	// Every is how often rebuilds are moved on; 0 is half a second. While one is
	// being built it is looked at five times as often.
	Every time.Duration
}

// Rebuilder builds projections anew beside the live ones: it creates the next
// generation, waits until projectors have brought it to the end of the log,
// compares it with the live one and switches. Any process may be asked; one at
// a time moves a rebuild on.
type Rebuilder struct {
	cfg    RebuilderConfig
	byName map[string]Generations
	loop   loop

	begin sync.Mutex // one Begin at a time in this process; the lease is for others
	mu    sync.Mutex
	speed map[string]*speed
	// targets are where the log ended when a rebuild was looked at.
	targets map[Ref][]RebuildPart
}

// NewRebuilder returns a rebuilder that is not started.
func NewRebuilder(cfg RebuilderConfig) (*Rebuilder, error) {
	if cfg.Rebuilds == nil || cfg.Ends == nil || cfg.Owner == "" || cfg.Log == nil || cfg.Now == nil {
		return nil, errors.New("rebuilder: rebuilds, ends, owner, log and now are needed")
	}
	if cfg.Every == 0 {
		cfg.Every = 500 * time.Millisecond
	}
	if cfg.Changed == nil {
		cfg.Changed = func() {}
	}
	r := &Rebuilder{cfg: cfg, byName: make(map[string]Generations), speed: make(map[string]*speed), targets: make(map[Ref][]RebuildPart)}
	for _, g := range cfg.Generations {
		r.byName[g.Projection()] = g
	}
	return r, nil
}

// Start begins to move rebuilds on and returns at once.
func (r *Rebuilder) Start(ctx context.Context) error {
	r.loop.start(ctx, r.run)
	return nil
}

// Stop waits until nothing runs, or ctx ends. Rebuilds go on with the next
// process that runs.
func (r *Rebuilder) Stop(ctx context.Context) error {
	return r.loop.stop(ctx, "the rebuilder")
}

func (r *Rebuilder) run(ctx context.Context) {
	tick := time.NewTimer(0)
	defer tick.Stop()
	for {
		next := r.cfg.Every
		for _, g := range r.cfg.Generations {
			building, err := r.move(ctx, g)
			if err != nil && ctx.Err() == nil {
				r.cfg.Log.WarnContext(ctx, "rebuild waits", slog.String("projection", g.Projection()), slog.Any("err", err))
			}
			if building && err == nil {
				next = r.cfg.Every / 5
			}
		}
		tick.Reset(next)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// lease is how long a process that fell silent keeps others from going on; renewed
// is how often one that works renews it.
const (
	lease   = 30 * time.Second
	renewed = time.Second
)

// errMoved says that somebody else has moved a rebuild on, or ended it.
var errMoved = errors.New("the rebuild is at another stage")

// move brings a rebuild one stage further if it is time, and reports whether it
// is one that is being built.
func (r *Rebuilder) move(ctx context.Context, g Generations) (building bool, err error) {
	b, ok, err := r.cfg.Rebuilds.Get(ctx, g.Projection())
	if err != nil || !ok || !b.Moves() {
		return false, err
	}
	mine, err := r.cfg.Rebuilds.Lease(ctx, b, r.cfg.Owner, lease)
	if err != nil || !mine {
		return false, err
	}
	if b.Stage == StageBuilding {
		err = r.built(ctx, g, b)
	} else {
		err = r.compared(ctx, g, b)
	}
	if errors.Is(err, errMoved) {
		err = nil // it is looked at again
	}
	return b.Stage == StageBuilding, err
}

// holding does what may take hours. Meanwhile the lease is renewed; when the rebuild
// is moved or dropped by somebody else the work ends, which also gives up the locks
// that who drops it waits for.
func (r *Rebuilder) holding(ctx context.Context, b Rebuild, do func(context.Context) error) error {
	ctx, end := context.WithCancelCause(ctx)
	var watch sync.WaitGroup
	watch.Go(func() {
		tick := time.NewTicker(renewed)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			// An error says nothing: who works will have it too.
			if mine, err := r.cfg.Rebuilds.Lease(ctx, b, r.cfg.Owner, lease); err == nil && !mine {
				end(errMoved)
				return
			}
		}
	})
	err := do(ctx)
	end(nil)
	watch.Wait()
	if errors.Is(context.Cause(ctx), errMoved) {
		return errMoved
	}
	return err
}

// built waits until the generation has all that was in the log when it was
// looked at before: the newest events are always on their way, and the switch
// waits for those.
func (r *Rebuilder) built(ctx context.Context, g Generations, b Rebuild) error {
	parts, err := r.parts(ctx, g, b.Generation)
	if err != nil {
		return err
	}
	if !r.reached(Ref{Model: g.Projection(), Generation: b.Generation}, parts) {
		return nil
	}
	if c, ok := g.(Completer); ok {
		if err := r.holding(ctx, b, func(ctx context.Context) error { return c.Complete(ctx, b.Generation) }); err != nil {
			return fmt.Errorf("completing generation %d of %s: %w", b.Generation, g.Projection(), err)
		}
	}
	return r.put(ctx, b, StageComparing, "", nil)
}

// near is how many events may have come since the log was last looked at. Of
// more, the end is looked at anew: a build of hours is that far behind.
const near = 1000

// reached reports whether a generation has come to where the log ended at an
// earlier look, not long ago.
func (r *Rebuilder) reached(ref Ref, parts []RebuildPart) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	target, ok := r.targets[ref]
	if !ok || len(target) != len(parts) {
		r.targets[ref] = parts
		return false
	}
	var missing int64
	for i, p := range parts {
		if p.Done < target[i].Total {
			return false
		}
		missing += p.Total - p.Done
	}
	if missing > near {
		r.targets[ref] = parts
		return false
	}
	delete(r.targets, ref)
	return true
}

// put moves a rebuild from the stage that it was seen at, after do. It fails with
// errMoved when it is not there any more.
func (r *Rebuilder) put(ctx context.Context, b Rebuild, s Stage, detail string, do func(context.Context) error) error {
	from := b.Stage
	b.Stage, b.Detail, b.ChangedAt = s, detail, event.Time(r.cfg.Now())
	moved, err := r.cfg.Rebuilds.Move(ctx, from, b, do)
	if err == nil && !moved {
		err = errMoved
	}
	return err
}

func (r *Rebuilder) compared(ctx context.Context, g Generations, b Rebuild) error {
	live, err := liveOf(ctx, g)
	if err != nil {
		return err
	}
	if live == b.Generation { // a process ended in the middle of the switch
		return r.put(ctx, b, StageSwitched, "", func(ctx context.Context) error { return g.Switch(ctx, live, nil) })
	}
	var c Comparison
	err = r.holding(ctx, b, func(ctx context.Context) (err error) {
		c, err = compare(ctx, g, live, b.Generation)
		return err
	})
	switch {
	case errors.Is(err, errMoving) && r.cfg.Now().Sub(b.ChangedAt) < movingPatience:
		return nil // once more, in a while
	case errors.Is(err, errMoving):
		return r.put(ctx, b, StageReady, "not compared: the log never stood still; switch, or ask for the differences when it does", nil)
	case err != nil:
		return err
	case !c.Equal():
		return r.put(ctx, b, StageDiffers, describe(c), nil)
	case !b.AutoSwitch:
		return r.put(ctx, b, StageReady, "", nil)
	}
	return r.switchTo(ctx, g, b, live)
}

// switchTo switches and says so. Nobody drops the rebuild between the two, and one
// that was dropped is not switched to.
func (r *Rebuilder) switchTo(ctx context.Context, g Generations, b Rebuild, former int) error {
	ends, err := r.endsBelow(ctx, g, former)
	if err != nil {
		return err
	}
	err = r.put(ctx, b, StageSwitched, "", func(ctx context.Context) error { return g.Switch(ctx, b.Generation, ends) })
	if err != nil {
		return fmt.Errorf("switching %s to generation %d: %w", g.Projection(), b.Generation, err)
	}
	r.cfg.Changed()
	r.cfg.Log.InfoContext(ctx, "projection switched", slog.String("projection", g.Projection()), slog.Int("generation", b.Generation))
	return r.sweep(ctx, g, former)
}

// endsBelow returns where the log ends if a generation has read further, which is nil
// otherwise: no other one will ever come as far.
func (r *Rebuilder) endsBelow(ctx context.Context, g Generations, generation int) (map[event.Topic]map[int]int64, error) {
	have, err := g.Checkpoints(ctx, generation)
	if err != nil {
		return nil, err
	}
	ends, err := r.cfg.Ends.Ends(ctx, g.Topics()...) // younger than the checkpoints
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	for topic, parts := range have {
		for partition, next := range parts {
			if end, ok := ends[topic][partition]; ok && next > end {
				return ends, nil
			}
		}
	}
	return nil, nil //nolint:nilnil // it has not, which is no error
}

// sweep drops the retired generations other than the one to roll back to.
func (r *Rebuilder) sweep(ctx context.Context, g Generations, keep int) error {
	all, err := g.List(ctx)
	if err != nil {
		return err
	}
	for _, generation := range all {
		if generation.Status == Retired && generation.Number != keep {
			if err := g.Drop(ctx, generation.Number); err != nil {
				return err
			}
		}
	}
	return nil
}

func liveOf(ctx context.Context, g Generations) (int, error) {
	all, err := g.List(ctx)
	if err != nil {
		return 0, err
	}
	for _, generation := range all {
		if generation.Status == Live {
			return generation.Number, nil
		}
	}
	return 0, fmt.Errorf("%s has no live generation", g.Projection())
}
