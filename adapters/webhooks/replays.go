package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// lookEvery is how often replays are looked for and leases renewed; leaseFor
	// how long a process that fell silent keeps others from going on.
	lookEvery = 250 * time.Millisecond
	leaseFor  = 5 * time.Second
	// startsEvery is how often endpoints that catch up are looked for.
	startsEvery = time.Second
	// jobsAtOnce bounds the replays that one process moves on. Those that wait give
	// their place to others, so it is a bound on those that read.
	jobsAtOnce = 4
	// cancelsKept is how long the verdict on a cancel can be asked for.
	cancelsKept = 24 * time.Hour
)

// ReplayStore is where replays and what they offer are kept.
type ReplayStore interface {
	dispatch.Store
	dispatch.Unfinished
	dispatch.ReplayBook
	dispatch.ReplayWork
}

// ReplaysConfig says what Replays works with.
type ReplaysConfig struct {
	// Service renders, and finds what was sent.
	Service *Service
	Store   ReplayStore
	// Owner names this process; it must differ between processes and their lives.
	Owner string
	// Catching returns the endpoints that catch up; nil for none.
	Catching func() []delivery.Endpoint
}

// Replays makes replays, and moves them on: any process may be asked, one at a
// time has the lease of each. What is sent goes through the engines that own the
// partitions, under the same limits as all that an endpoint gets.
type Replays struct {
	cfg    ReplaysConfig
	engine *Engine
	store  ReplayStore

	loop background.Loop

	// freed says that a job has given its place back; crowded that all are taken, so
	// that others may wait for one.
	freed   chan struct{}
	crowded atomic.Bool

	mu sync.Mutex
	// jobs are those under way here, by replay.
	jobs map[string]*replayJob
	// begun are the endpoints whose start is known to be stored.
	begun map[string]bool
}

// NewReplays returns replays that do not move yet.
func NewReplays(cfg ReplaysConfig) (*Replays, error) {
	if cfg.Service == nil || cfg.Store == nil || cfg.Owner == "" {
		return nil, errors.New("replays: service, store and owner are needed")
	}
	if cfg.Service.engine.cfg.Past == nil {
		return nil, errors.New("replays: the engine cannot read the past")
	}
	return &Replays{
		cfg: cfg, engine: cfg.Service.engine, store: cfg.Store, freed: make(chan struct{}, 1),
		jobs: make(map[string]*replayJob), begun: make(map[string]bool),
	}, nil
}

// Start begins to move replays on and returns at once.
func (r *Replays) Start(ctx context.Context) error {
	r.loop.Start(ctx, r.run)
	return nil
}

// Stop waits until nothing moves here, or ctx ends. Replays go on in the next
// process that runs.
func (r *Replays) Stop(ctx context.Context) error { return r.loop.Stop(ctx, "replays") }

func (r *Replays) run(ctx context.Context) {
	var jobs sync.WaitGroup
	look := time.NewTimer(lookEvery)
	defer look.Stop()
	var lookedForStarts, forgot time.Time
	for ctx.Err() == nil {
		now := time.Now() // the engine's clock may be set back
		if now.Sub(lookedForStarts) >= startsEvery {
			lookedForStarts = now
			r.beginStarts(ctx)
		}
		if now.Sub(forgot) >= time.Hour {
			forgot = now
			r.complain(ctx, "forgetting cancels is put off", r.store.ForgetCancels(ctx, r.now().Add(-cancelsKept)))
		}
		leased, err := r.store.Lease(ctx, r.cfg.Owner, leaseFor, jobsAtOnce)
		if err == nil {
			r.crowded.Store(len(leased) >= jobsAtOnce)
			r.assign(ctx, leased, &jobs)
		}
		r.complain(ctx, "leasing replays is put off", err)
		look.Reset(lookEvery)
		select {
		case <-look.C:
		case <-r.freed:
		case <-ctx.Done():
		}
	}
	jobs.Wait()
	bye, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	r.complain(bye, "the leases of replays run out by themselves", r.store.Release(bye, r.cfg.Owner))
}

func (r *Replays) complain(ctx context.Context, what string, err error) {
	if err != nil && ctx.Err() == nil {
		r.engine.cfg.Logger.WarnContext(ctx, what, slog.Any("err", err))
	}
}

func (r *Replays) now() time.Time { return event.Time(r.engine.cfg.Clock()) }

// assign starts the jobs that are new here, tells the others what was decided
// meanwhile, and ends those that are another's now.
func (r *Replays) assign(ctx context.Context, leased []dispatch.Leased, jobs *sync.WaitGroup) {
	r.mu.Lock()
	defer r.mu.Unlock()
	mine := make(map[string]bool, len(leased))
	for _, l := range leased {
		mine[l.ID] = true
		j := r.jobs[l.ID]
		if j != nil && j.epoch == l.Epoch {
			j.tell(l.Replay)
			continue
		}
		if j != nil {
			j.cancel()
			mine[l.ID] = false // once it has ended
			continue
		}
		j = newReplayJob(r, l)
		r.jobs[l.ID] = j
		jobCtx, cancel := context.WithCancel(ctx)
		j.cancel = cancel
		jobs.Go(func() {
			defer cancel()
			j.run(jobCtx)
			r.mu.Lock()
			defer r.mu.Unlock()
			if r.jobs[j.id] == j {
				delete(r.jobs, j.id)
			}
		})
	}
	for id, j := range r.jobs {
		if !mine[id] {
			j.cancel()
		}
	}
}

// Begin makes a replay of a scope and returns it as it is stored: with an id that
// is known already, that one.
func (r *Replays) Begin(ctx context.Context, rp dispatch.Replay) (dispatch.Replay, error) {
	if rp.ID == "" {
		rp.ID = uuid.Must(uuid.NewV7()).String()
	}
	rp.Kind = dispatch.OfScope
	if rp.Target != nil {
		target := *rp.Target
		target.ID, target.Org, target.RatePerSec = rp.ID, rp.Org, rp.RatePerSec
		rp.Target, rp.EndpointID = &target, rp.ID
	}
	parts, err := r.engine.partsOfScope(ctx, rp)
	if err != nil {
		return rp, fmt.Errorf("looking for what to replay: %w", err)
	}
	return r.add(ctx, rp, parts)
}

func (r *Replays) add(ctx context.Context, rp dispatch.Replay, parts []dispatch.ReplayPart) (dispatch.Replay, error) {
	rp.State, rp.CreatedAt = dispatch.ReplayRunning, r.now()
	for _, p := range parts {
		rp.Total += max(0, p.End-p.Begin)
	}
	stored, _, err := r.store.AddReplay(ctx, rp, parts)
	return stored, err
}

// Recover begins to send again what of an endpoint's deliveries ended without
// success, of events recorded in [since, until), in their order; not what was
// given up on purpose. While the same recovery is under way it is returned.
func (r *Replays) Recover(ctx context.Context, ep delivery.Endpoint, since, until time.Time, by string) (dispatch.Replay, error) {
	n, err := r.cfg.Service.sent.CountUnsuccessful(ctx, ep, since, until)
	if err != nil {
		return dispatch.Replay{}, fmt.Errorf("counting what to recover: %w", err)
	}
	return r.add(ctx, dispatch.Replay{
		ID: "recover-" + uuid.Must(uuid.NewV7()).String(), Org: ep.Org, Kind: dispatch.OfFailures, EndpointID: ep.ID, CreatedBy: by, Total: n,
		Scope: delivery.Scope{From: event.Time(since), Until: event.Time(until)},
		Same:  "recover-" + event.DeriveID(ep.ID, since.UTC().Format(time.RFC3339Nano), until.UTC().Format(time.RFC3339Nano)),
	}, nil)
}

// beginStarts sees to it that each endpoint that catches up has its replay. It
// is found by the settings, not told by them: whatever dies in between, an
// endpoint that exists gets what it was promised.
func (r *Replays) beginStarts(ctx context.Context) {
	if r.cfg.Catching == nil {
		return
	}
	for _, ep := range r.cfg.Catching() {
		if r.begun[ep.ID] {
			continue
		}
		_, known, err := r.store.Replay(ctx, ep.Org, dispatch.StartID(ep.ID))
		if err == nil && !known {
			err = r.beginStart(ctx, ep)
		}
		if err != nil {
			r.complain(ctx, "catching an endpoint up is put off", err)
			return
		}
		r.begun[ep.ID] = true
	}
}

func (r *Replays) beginStart(ctx context.Context, ep delivery.Endpoint) error {
	parts, err := partsOf(ctx, r.engine.cfg.Past, r.engine.cfg.Ends, ep.StartFrom, time.Time{}, event.PublicTopics()...)
	if err != nil {
		return err
	}
	_, err = r.add(ctx, dispatch.Replay{
		ID: dispatch.StartID(ep.ID), Org: ep.Org, Kind: dispatch.OfStart, EndpointID: ep.ID, CreatedBy: "hub",
		Scope: delivery.Scope{From: ep.StartFrom},
	}, parts)
	return err
}
