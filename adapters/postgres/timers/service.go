// Package timers makes the passing of time a fact: when a call has ended and
// its disposition or its transcript does not come, call.settled.v1 is appended
// to the log. The waits are rows of Postgres, so they survive every restart.
//
// What time it is the database says, to every hub the same. It decides by the log
// alone: a wait is settled only when all that was in the
// log at a moment after it was due has been looked at. Its one invariant: rows
// and checkpoint are durable together, and only for the owner of a partition.
package timers

import (
	"context"
	"errors"
	"log/slog"
	"math"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// How long is waited unless the configuration says otherwise.
const (
	DefaultDisposition = 120 * time.Second
	DefaultTranscript  = 60 * time.Second
)

// Config is what a Service needs.
type Config struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Log takes the facts; Ends tells how far it reaches.
	Log  commands.Log
	Ends projections.Ends
	// Logger gets what an operator should know.
	Logger *slog.Logger
	// Disposition and Transcript are how long they are waited for after the end of
	// a call was read; zero is the default. A change counts for calls that end
	// from then on.
	Disposition, Transcript time.Duration
	// Owner names this process in the checkpoints, for the operator.
	Owner string
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	if c.Pool == nil || c.Log == nil || c.Ends == nil || c.Logger == nil {
		errs = append(errs, errors.New("timers: Pool, Log, Ends and Logger are needed"))
	}
	if c.Disposition < 0 || c.Transcript < 0 {
		errs = append(errs, errors.New("timers: a wait is negative"))
	}
	return errors.Join(errs...)
}

// Service keeps the timers. It is the projections.Applier that sets them, for
// the topic of the calls, and the loop that settles what is due. Every hub runs
// one; a wait is settled by whichever comes first.
type Service struct {
	cfg   Config
	waits projections.Waits
	// lockedMost is reactor.LockedMost but in tests.
	lockedMost time.Duration
	// wake has one token: timers may be due earlier than the loop knows.
	wake chan struct{}
	// planned is when the loop wakes by itself, in microseconds; never while it
	// looks, so that what is armed meanwhile wakes it.
	planned atomic.Int64

	firing  sync.Mutex
	horizon *reactor.Horizon

	loop background.Loop
}

var _ projections.Applier = (*Service)(nil)

// New makes a service that is not started.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Disposition == 0 {
		cfg.Disposition = DefaultDisposition
	}
	if cfg.Transcript == 0 {
		cfg.Transcript = DefaultTranscript
	}
	s := &Service{
		cfg: cfg, waits: projections.Waits{Disposition: cfg.Disposition, Transcript: cfg.Transcript},
		lockedMost: reactor.LockedMost, wake: make(chan struct{}, 1), horizon: reactor.NewHorizon(cfg.Pool, cfg.Ends, projections.Timers, event.Calls),
	}
	s.planned.Store(never)
	return s, nil
}

// Start begins to settle what is due. Starting twice is harmless.
func (s *Service) Start(ctx context.Context) error {
	s.loop.Start(ctx, s.run)
	return nil
}

// Stop ends it. What was appended and not yet marked is appended again, under
// the same id, unless it is read back before. Stopping twice, or before Start,
// is harmless.
func (s *Service) Stop(ctx context.Context) error { return s.loop.Stop(ctx, "the timers") }

// never is a plan later than every timer.
const never = math.MaxInt64

// armed says that a timer was set that is due at a time; zero is none.
func (s *Service) armed(due time.Time) {
	if !due.IsZero() && due.UnixMicro() < s.planned.Load() {
		s.signal()
	}
}

func (s *Service) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // a token is there already
	}
}

const (
	// poll bounds the sleep while timers exist: another hub may have gone that
	// knew of earlier ones.
	poll = time.Second
	// behind is the pause when timers are due and the log is not read so far.
	behind = 100 * time.Millisecond
)

func (s *Service) run(ctx context.Context) {
	down := false
	for {
		wait, err := s.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !down {
			s.cfg.Logger.WarnContext(ctx, "timers wait", slog.Any("err", err))
		}
		if down = err != nil; down {
			wait = poll
		}
		if !s.rest(ctx, wait) {
			return
		}
	}
}

// turn settles what is due and returns how long there is nothing to do; below
// zero is until a signal comes.
func (s *Service) turn(ctx context.Context) (time.Duration, error) {
	for {
		s.planned.Store(never)
		fired, err := s.Fire(ctx)
		if err != nil {
			return 0, err
		}
		if fired > 0 {
			continue
		}
		next, now, err := s.next(ctx)
		if err != nil {
			return 0, err
		}
		if next.IsZero() {
			return -1, nil
		}
		s.planned.Store(next.UnixMicro())
		wait := next.Sub(now)
		if wait <= 0 {
			return behind, nil
		}
		return min(wait, poll), nil
	}
}

// rest reports false when ctx ended.
func (s *Service) rest(ctx context.Context, wait time.Duration) bool {
	var elapsed <-chan time.Time
	if wait >= 0 {
		t := time.NewTimer(wait)
		defer t.Stop()
		elapsed = t.C
	}
	select {
	case <-ctx.Done():
		return false
	case <-elapsed:
	case <-s.wake:
	}
	return true
}
