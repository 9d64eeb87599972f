// Package webhooks delivers events to receivers over HTTP: it plans which
// endpoint is owed what, sends it in order and without letting one receiver
// wait for another, and tries again until a delivery is finished.
//
// It refuses to lose a delivery: whatever is unfinished when a checkpoint
// moves is in the store, in the same transaction. It promises at least once
// with a stable id, never exactly once, because nobody can over HTTP.
package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/internal/repeated"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// ErrStopped says that the engine does not run.
var ErrStopped = errors.New("the delivery engine does not run")

type state uint8

const (
	created state = iota
	running
	stopped
)

// Engine is the delivery engine of one process. Several processes share the
// work by partitions.
type Engine struct {
	cfg      Config
	dialects map[string]Dialect
	planner  *planner
	meter    *meter
	said     repeated.Words

	mu     sync.Mutex
	state  state
	owners map[dispatch.Partition]*owner
	lanes  map[string]*lane
	// targets are the receivers that belong to replays.
	targets map[string]delivery.Endpoint
	sockets *sockets
	// bytes are those of the deliveries in memory that wait or are sent.
	bytes    int64
	inFlight int
	draining bool
	crew     crew
	// late is by how much timers come too late (see awaitFlow).
	late      time.Duration
	recorder  recorder
	toDisable map[string]disabling
	// changed is broadcast when something that Stop or Release waits for has.
	changed signal
	// claiming, resuming and committing are how these last went (see Stalled).
	claiming, resuming, committing stall
	// commitAt is when the next checkpoint is due; zero when nothing changed.
	commitAt time.Time

	run    context.Context //nolint:containedctx // the life of the engine, from Start to Stop
	cancel context.CancelFunc
	// free is closed: the answer to whoever asks for room while there is some.
	free         chan error
	wakeKeeper   chan struct{}
	wakeDisabler chan struct{}
	wakeTeller   chan struct{}
	nudged       atomic.Bool
	workers      sync.WaitGroup
	// missedOffers and missedCancels are the keeper's: it asked and got no answer, so
	// what was told by it is to be told again.
	missedOffers, missedCancels bool
}

// New returns an engine that is not started.
func New(cfg Config) (*Engine, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.setDefaults()
	e := &Engine{
		cfg: cfg, meter: newMeter(), dialects: make(map[string]Dialect, len(cfg.Dialects)),
		owners: make(map[dispatch.Partition]*owner), lanes: make(map[string]*lane), targets: make(map[string]delivery.Endpoint),
		sockets: newSockets(cfg.MaxSockets), toDisable: make(map[string]disabling),
		recorder:   recorder{wake: make(chan struct{}, 1)},
		wakeKeeper: make(chan struct{}, 1), wakeDisabler: make(chan struct{}, 1), wakeTeller: make(chan struct{}, 1),
		changed: signal{c: make(chan struct{})}, free: make(chan error),
	}
	close(e.free)
	for _, d := range cfg.Dialects {
		e.dialects[d.Name()] = d
	}
	e.planner = newPlanner(cfg, e.dialects)
	return e, nil
}

// Start begins to send. Partitions come by Claim.
func (e *Engine) Start(ctx context.Context) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch e.state {
	case running:
		return nil
	case stopped:
		return ErrStopped
	}
	e.state = running
	e.run, e.cancel = context.WithCancel(context.WithoutCancel(ctx))
	e.workers.Go(func() { e.keep(e.run) })
	e.workers.Go(func() { e.record(e.run) })
	e.workers.Go(func() { e.disableLoop(e.run) })
	e.workers.Go(func() { e.tell(e.run) })
	if e.cfg.Crew != nil {
		e.workers.Go(func() { e.beats(e.run) })
	}
	return nil
}

// Stop ends the engine: requests under way are waited for, at most for the
// drain time or until ctx ends, and what is unfinished is left in the store.
// Stop the subscriber first, so that nothing new arrives.
func (e *Engine) Stop(ctx context.Context) error {
	e.mu.Lock()
	was := e.state
	e.state = stopped
	e.draining = true
	owners := make([]*owner, 0, len(e.owners))
	for _, o := range e.owners {
		owners = append(owners, o)
	}
	e.mu.Unlock()
	if was != running {
		return nil
	}
	var released sync.WaitGroup
	for _, o := range owners {
		released.Go(func() { e.release(ctx, o) })
	}
	released.Wait()
	e.cancel()
	e.mu.Lock()
	for _, l := range e.lanes {
		if l.timer != nil {
			l.timer.Stop()
		}
	}
	joined := e.crew.joined
	e.mu.Unlock()
	e.workers.Wait()
	if !joined {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), beatEvery)
	defer cancel()
	if err := e.leaveCrew(ctx); err != nil {
		e.cfg.Logger.DebugContext(ctx, "the others will notice by themselves", slog.Any("err", err))
	}
	return nil
}

// Handle is the handler of the subscriber's messages. It returns when there is
// room for another, which never depends on a receiver. What becomes of the
// message is the checkpoint's business: an ack says nothing of it.
func (e *Engine) Handle(msg *message.Message) error {
	in, err := e.cfg.Decode(msg)
	if err != nil {
		return err
	}
	room, err := e.accept(in)
	if err != nil {
		return err
	}
	select {
	case err := <-room:
		return err
	case <-msg.Context().Done():
		return msg.Context().Err()
	}
}

// AddTo adds the engine to a Watermill router: one handler for each topic whose
// events may be owed.
func (e *Engine) AddTo(r *message.Router, sub message.Subscriber) {
	for _, t := range event.PublicTopics() {
		r.AddConsumerHandler("webhooks/"+string(t), string(t), sub, e.Handle)
	}
}

// await returns when done says so, or when ctx ends.
func (e *Engine) await(ctx context.Context, done func() bool) {
	for {
		e.mu.Lock()
		ok, c := done(), e.changed.c
		e.mu.Unlock()
		if ok {
			return
		}
		select {
		case <-c:
		case <-ctx.Done():
			return
		}
	}
}

// disabling is a decision to disable an endpoint, for what failed of it as it was then.
type disabling struct {
	reason     string
	countsFrom time.Time
}

// disableLoop tells the settings which endpoints were disabled.
func (e *Engine) disableLoop(ctx context.Context) {
	for {
		e.mu.Lock()
		var id string
		var d disabling
		for id, d = range e.toDisable {
			break
		}
		e.mu.Unlock()
		if id == "" {
			select {
			case <-e.wakeDisabler:
				continue
			case <-ctx.Done():
				return
			}
		}
		if err := e.cfg.Disabler.Disable(ctx, id, d.reason, d.countsFrom); err != nil {
			e.cfg.Logger.WarnContext(ctx, "disabling an endpoint is put off", slog.String("endpoint", id), slog.Any("err", err))
			if !background.Rest(ctx, time.Second) {
				return
			}
			continue
		}
		e.cfg.Logger.InfoContext(ctx, "endpoint disabled", slog.String("endpoint", id))
		e.mu.Lock()
		if e.toDisable[id] == d {
			delete(e.toDisable, id)
		}
		e.mu.Unlock()
	}
}

// signal wakes all that wait for a change. Guarded by Engine.mu.
type signal struct{ c chan struct{} }

func (s *signal) broadcast() {
	close(s.c)
	s.c = make(chan struct{})
}
