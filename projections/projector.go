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

// ProjectorConfig says what a Projector runs.
type ProjectorConfig struct {
	// Generations are all read models of all stores.
	Generations []Generations
	Source      Source
	Ends        Ends
	Observer    Observer
	Meter       Meter
	Log         *slog.Logger
	Now         func() time.Time
	// Idle makes it run nothing: a process of another role that answers Status.
	Idle bool
	// Batch is RunnerConfig.Batch.
	Batch int
	// Every is how often generations and lag are looked at; 0 is a second.
	Every time.Duration
}

// Validate joins what is wrong.
func (c ProjectorConfig) Validate() error {
	var errs []error
	if c.Source == nil && !c.Idle {
		errs = append(errs, errors.New("source is needed"))
	}
	if c.Ends == nil || c.Log == nil || c.Now == nil {
		errs = append(errs, errors.New("ends, log and now are needed"))
	}
	return errors.Join(errs...)
}

// Projector runs a Runner for each generation that is live or being built. The
// generations are looked up again and again, so that a rebuild that another
// process began is worked on by all, and goes on after a restart.
type Projector struct {
	cfg  ProjectorConfig
	loop loop
	kick chan struct{}

	mu      sync.Mutex
	runners map[Ref]*Runner
	lags    map[lagKey]lag
}

// NewProjector returns a projector that is not started.
func NewProjector(cfg ProjectorConfig) (*Projector, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("projector: %w", err)
	}
	if cfg.Every == 0 {
		cfg.Every = time.Second
	}
	return &Projector{cfg: cfg, kick: make(chan struct{}, 1), runners: make(map[Ref]*Runner), lags: make(map[lagKey]lag)}, nil
}

// Start begins to run and returns at once.
func (p *Projector) Start(ctx context.Context) error {
	p.loop.start(ctx, p.run)
	return nil
}

// Stop ends all runners and waits for them, or until ctx ends.
func (p *Projector) Stop(ctx context.Context) error {
	return p.loop.stop(ctx, "the projector")
}

// Look makes it look for new generations now.
func (p *Projector) Look() {
	select {
	case p.kick <- struct{}{}:
	default: // it will look anyway
	}
}

func (p *Projector) run(ctx context.Context) {
	defer p.stopAll(context.WithoutCancel(ctx))
	tick := time.NewTicker(p.cfg.Every)
	defer tick.Stop()
	for {
		for _, g := range p.cfg.Generations {
			if err := p.arrange(ctx, g); err != nil && ctx.Err() == nil {
				p.cfg.Log.WarnContext(ctx, "looking for generations", slog.String("projection", g.Projection()), slog.Any("err", err))
			}
		}
		if _, err := p.sample(ctx); err != nil && ctx.Err() == nil {
			p.cfg.Log.WarnContext(ctx, "measuring the lag of projections", slog.Any("err", err))
		}
		select {
		case <-tick.C:
		case <-p.kick:
		case <-ctx.Done():
			return
		}
	}
}

// arrange starts and stops the runners of one read model.
func (p *Projector) arrange(ctx context.Context, g Generations) error {
	if p.cfg.Idle {
		return nil
	}
	all, err := g.List(ctx)
	if err != nil {
		return err
	}
	wanted := make(map[Ref]Generation)
	for _, generation := range all {
		if generation.Status != Retired {
			wanted[Ref{Model: g.Projection(), Generation: generation.Number}] = generation
		}
	}
	for ref, r := range p.running(g.Projection()) {
		if _, ok := wanted[ref]; ok && !ended(r) {
			delete(wanted, ref)
			continue
		}
		if err := r.Stop(ctx); err != nil {
			return err
		}
		p.mu.Lock()
		delete(p.runners, ref)
		p.mu.Unlock()
	}
	for ref, generation := range wanted {
		if err := p.start(ctx, g, ref, generation); err != nil {
			return err
		}
	}
	return nil
}

func (p *Projector) start(ctx context.Context, g Generations, ref Ref, generation Generation) error {
	batch := p.cfg.Batch
	if b, ok := g.(Batcher); ok && batch == 0 {
		batch = b.Batch()
	}
	var pace time.Duration
	if p, ok := g.(Pacer); ok {
		pace = p.Pace()
	}
	r, err := NewRunner(RunnerConfig{
		Projection: ref.Model, Generation: generation, Topics: g.Topics(), Source: p.cfg.Source, Applier: g.Applier(ref.Generation),
		Batch: batch, Pace: pace, Observer: p.cfg.Observer, Meter: p.cfg.Meter, Log: p.cfg.Log, Now: p.cfg.Now,
	})
	if err != nil {
		return err
	}
	p.mu.Lock()
	p.runners[ref] = r
	p.mu.Unlock()
	return r.Start(ctx)
}

func (p *Projector) running(projection string) map[Ref]*Runner {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make(map[Ref]*Runner)
	for ref, r := range p.runners {
		if ref.Model == projection {
			all[ref] = r
		}
	}
	return all
}

func ended(r *Runner) bool {
	select {
	case <-r.Done():
		return true
	default:
		return false
	}
}

// stopAll waits for every runner: their contexts have ended already, and
// whoever stops the projector bounds the wait.
func (p *Projector) stopAll(ctx context.Context) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for ref, r := range p.runners {
		_ = r.Stop(ctx)
		delete(p.runners, ref)
	}
}

// topics are those of all read models, each once.
func (p *Projector) topics() []event.Topic {
	var all []event.Topic
	seen := make(map[event.Topic]bool)
	for _, g := range p.cfg.Generations {
		for _, t := range g.Topics() {
			if !seen[t] {
				seen[t] = true
				all = append(all, t)
			}
		}
	}
	return all
}
