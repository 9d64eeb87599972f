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
	// Put stores a rebuild in the place of the projection's former one.
	Put(ctx context.Context, r Rebuild) error
	// Lease gives a process the sole right to begin a rebuild or to move it on,
	// for a while. It returns false when another process has it. Put of a stage in
	// which nothing moves by itself ends the lease.
	Lease(ctx context.Context, projection, owner string, d time.Duration) (bool, error)
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

// lease is how long a process that fell silent keeps others from going on.
const lease = 30 * time.Second

// move brings a rebuild one stage further if it is time, and reports whether it
// is one that is being built.
func (r *Rebuilder) move(ctx context.Context, g Generations) (building bool, err error) {
	b, ok, err := r.cfg.Rebuilds.Get(ctx, g.Projection())
	if err != nil || !ok || !b.Moves() {
		return false, err
	}
	mine, err := r.cfg.Rebuilds.Lease(ctx, g.Projection(), r.cfg.Owner, lease)
	if err != nil || !mine {
		return false, err
	}
	if b.Stage == StageBuilding {
		return true, r.built(ctx, g, b)
	}
	return false, r.compared(ctx, g, b)
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
		if err := c.Complete(ctx, b.Generation); err != nil {
			return fmt.Errorf("completing generation %d of %s: %w", b.Generation, g.Projection(), err)
		}
	}
	return r.put(ctx, b, StageComparing, "")
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

func (r *Rebuilder) put(ctx context.Context, b Rebuild, s Stage, detail string) error {
	b.Stage, b.Detail, b.ChangedAt = s, detail, event.Time(r.cfg.Now())
	return r.cfg.Rebuilds.Put(ctx, b)
}

func (r *Rebuilder) compared(ctx context.Context, g Generations, b Rebuild) error {
	live, err := liveOf(ctx, g)
	if err != nil {
		return err
	}
	c, err := compare(ctx, g, live, b.Generation)
	switch {
	case errors.Is(err, errMoving) && r.cfg.Now().Sub(b.ChangedAt) < movingPatience:
		return nil // once more, in a while
	case errors.Is(err, errMoving):
		return r.put(ctx, b, StageReady, "not compared: the log never stood still; switch, or ask for the differences when it does")
	case err != nil:
		return err
	case !c.Equal():
		return r.put(ctx, b, StageDiffers, describe(c))
	case !b.AutoSwitch:
		return r.put(ctx, b, StageReady, "")
	}
	return r.switchTo(ctx, g, b, live)
}

func (r *Rebuilder) switchTo(ctx context.Context, g Generations, b Rebuild, former int) error {
	if err := g.Switch(ctx, b.Generation); err != nil {
		return fmt.Errorf("switching %s to generation %d: %w", g.Projection(), b.Generation, err)
	}
	if err := r.put(ctx, b, StageSwitched, ""); err != nil {
		return err
	}
	r.cfg.Changed()
	r.cfg.Log.InfoContext(ctx, "projection switched", slog.String("projection", g.Projection()), slog.Int("generation", b.Generation))
	return r.sweep(ctx, g, former)
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

// movingPatience is how long a quiet moment is waited for.
const movingPatience = time.Minute

// errMoving says that two generations could not be seen at equal checkpoints.
var errMoving = errors.New("checkpoints moved while comparing")

// compare compares two generations: by the store where it can while both move
// on, else by digests between two looks at equal checkpoints.
func compare(ctx context.Context, g Generations, a, b int) (Comparison, error) {
	if c, ok := g.(Comparer); ok {
		return c.Compare(ctx, a, b)
	}
	before, err := g.Checkpoints(ctx, a)
	if err != nil {
		return Comparison{}, err
	}
	da, err := g.Digest(ctx, a)
	if err != nil {
		return Comparison{}, err
	}
	db, err := g.Digest(ctx, b)
	if err != nil {
		return Comparison{}, err
	}
	for _, generation := range []int{a, b} {
		after, err := g.Checkpoints(ctx, generation)
		if err != nil {
			return Comparison{}, err
		}
		if !samePlaces(before, after) || !samePlaces(after, before) {
			return Comparison{}, errMoving
		}
	}
	return pair(da, db), nil
}

// samePlaces reports whether b is everywhere where a is. A partition without
// events may have a checkpoint of 0, or none yet.
func samePlaces(a, b map[event.Topic]map[int]int64) bool {
	for topic, parts := range a {
		for partition, next := range parts {
			if b[topic][partition] != next {
				return false
			}
		}
	}
	return true
}

// pair sets the digests of two generations side by side, by table.
func pair(a, b []TableDigest) Comparison {
	var c Comparison
	other := make(map[string]TableDigest, len(b))
	for _, d := range b {
		other[d.Table] = d
	}
	for _, d := range a {
		t := TableComparison{Table: d.Table, A: d, B: other[d.Table]}
		c.Tables = append(c.Tables, t)
		if t.A.Rows != t.B.Rows || t.A.Hash != t.B.Hash {
			c.Differences = append(c.Differences, fmt.Sprintf("%s: %d rows live, %d rows new", t.Table, t.A.Rows, t.B.Rows))
		}
	}
	return c
}
