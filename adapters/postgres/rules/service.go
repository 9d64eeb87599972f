// Package rules looks at alert rules: it folds the log into watches (package
// watch), closes ticks, and decides each rule at each tick, once every partition
// has closed it. It has no clock in its decisions: time only says when a tick may
// be closed, that nothing counts later than now, and what is so far ahead that a
// clock was wrong. Its one invariant: a tick is decided once, unless that was far
// ahead of it, and what it decided is in the log before it is marked as decided.
package rules

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/projections"
)

// Name is what the reactor has checkpoints and a consumer group under.
const Name = "rules"

// The defaults of Config.
const (
	DefaultStep    = 10 * time.Second
	DefaultMargin  = 2 * time.Second
	DefaultCatchUp = time.Hour
)

// Config is what a Service needs.
type Config struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Log takes the facts; Ends tells how far it reaches.
	Log  commands.Log
	Ends projections.Ends
	// Open finds the open alert of a rule in the read model, for a database that
	// lost what it knew; "" if there is none.
	Open func(ctx context.Context, r rule.Rule) (string, error)
	// Clock says when a tick may be closed. Logger gets what an operator should know.
	Clock  commands.Clock
	Logger *slog.Logger
	// Step is the time between two ticks. Margin is how long after a tick the end of
	// the log is asked for, and how far ahead of Clock an event may be stamped: more
	// than clocks of hubs and broker differ.
	Step, Margin time.Duration
	// CatchUp is how far back ticks are decided that were missed: nobody wants to be
	// told of yesterday's queue.
	CatchUp time.Duration
	// Owner names this process in the checkpoints, for the operator.
	Owner string
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	if c.Pool == nil || c.Log == nil || c.Ends == nil || c.Clock == nil || c.Logger == nil || c.Open == nil {
		errs = append(errs, errors.New("rules: Pool, Log, Ends, Open, Clock and Logger are needed"))
	}
	if c.Step < 0 || c.Margin < 0 || c.CatchUp < 0 {
		errs = append(errs, errors.New("rules: a time is negative"))
	}
	return errors.Join(errs...)
}

// Service is the projections.Applier of the watches and the loop that closes ticks
// and decides. Every hub runs one; a tick is decided by whichever comes first.
type Service struct {
	cfg Config
	// lockedMost is reactor.LockedMost but in tests.
	lockedMost time.Duration

	mu       sync.Mutex
	sessions map[*session]struct{}

	loop background.Loop
}

var _ projections.Applier = (*Service)(nil)

// New makes a service that is not started.
func New(cfg Config) (*Service, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Step == 0 {
		cfg.Step = DefaultStep
	}
	if cfg.Margin == 0 {
		cfg.Margin = DefaultMargin
	}
	if cfg.CatchUp == 0 {
		cfg.CatchUp = DefaultCatchUp
	}
	return &Service{cfg: cfg, lockedMost: reactor.LockedMost, sessions: make(map[*session]struct{})}, nil
}

// Start begins to close and to decide. Starting twice is harmless.
func (s *Service) Start(ctx context.Context) error {
	s.loop.Start(ctx, s.run)
	return nil
}

// Stop ends it. What was appended and not marked is decided again, with the same
// ids. Stopping twice, or before Start, is harmless.
func (s *Service) Stop(ctx context.Context) error { return s.loop.Stop(ctx, "the alert rules") }

func (s *Service) run(ctx context.Context) {
	tick := time.NewTicker(min(s.cfg.Step/2, time.Second))
	defer tick.Stop()
	down := false
	for {
		err := s.Turn(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !down {
			s.cfg.Logger.WarnContext(ctx, "alert rules wait", slog.Any("err", err))
		}
		down = err != nil
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// Turn closes the ticks that are over in this process's partitions, and decides
// those that are closed everywhere. Without rules it does nothing.
func (s *Service) Turn(ctx context.Context) error {
	rules, err := s.rules(ctx, s.cfg.Pool)
	if err != nil {
		return err
	}
	busy, err := s.unsettled(ctx)
	if err != nil || len(rules) == 0 && !busy {
		return err
	}
	topics := topicsOf(rules)
	now := s.cfg.Clock()
	ends, err := s.cfg.Ends.Ends(ctx, topics...)
	if err != nil {
		return fmt.Errorf("asking where the log ends: %w", err)
	}
	s.mu.Lock()
	sessions := make([]*session, 0, len(s.sessions))
	for c := range s.sessions {
		sessions = append(sessions, c)
	}
	s.mu.Unlock()
	var errs []error
	for _, c := range sessions {
		if end, ok := ends[c.topic][c.Partition()]; ok {
			errs = append(errs, c.advance(ctx, now, end, rules))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return s.decide(ctx, rules, ends)
}

func (s *Service) hold(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sessions[c] = struct{}{}
}

func (s *Service) release(c *session) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.sessions, c)
}

// Topics are where the metrics come from that need their past: calls and agents
// that are open. Deliveries are followed while a rule asks for them.
func Topics() []event.Topic { return []event.Topic{event.Calls, event.Agents} }
