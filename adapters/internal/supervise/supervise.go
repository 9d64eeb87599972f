// Package supervise keeps one child process running: it starts it, starts it
// again with growing pauses when it ends by itself or does not answer any more,
// and stops it. It knows nothing of what the child is. Its invariant: after Stop returns, neither the
// child nor a goroutine of the supervisor runs.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
)

// A Child is one running generation of the supervised service.
type Child interface {
	// Exited is closed when the child has ended, for whatever reason.
	Exited() <-chan struct{}
	// Err says how it ended; called only after Exited is closed.
	Err() error
	// Ask returns once the child has answered anything at all, a refusal
	// included, or when ctx is done. One call runs at a time.
	Ask(ctx context.Context)
	// Stop ends the child and returns when it is gone, at the latest shortly
	// after ctx is done. Of a child that has ended it lets go.
	Stop(ctx context.Context) error
}

// Config says what to keep running.
type Config struct {
	// Name is what the log calls the child.
	Name string
	// Launch starts a generation and returns once it serves. It calls working
	// whenever it sees that the start gets on. It gives up, and leaves nothing
	// running, when ctx is done.
	Launch func(ctx context.Context, working func()) (Child, error)
	// MinPause and MaxPause bound the pause before a restart, which doubles
	// while generations keep ending young. Default 100 ms and 10 s.
	MinPause, MaxPause time.Duration
	// LaunchTimeout is how long a restart may go without getting on: a recovery that
	// is broken off begins anew. Default 60 s.
	LaunchTimeout time.Duration
	// Patience is how long the child may give no answer before it counts as frozen
	// and is ended. Time in which this process itself stood still does not count.
	// Default 60 s.
	Patience time.Duration
	// Logger gets one warning per unexpected end. Default slog.Default().
	Logger *slog.Logger
}

// State is what a supervisor is doing.
type State string

// The states of a supervisor.
const (
	Stopped    State = "stopped"
	Running    State = "running"
	Restarting State = "restarting"
)

// steady is how long a generation must live for its end to count as the first.
const steady = 30 * time.Second

// Supervisor keeps one child running. It is safe for concurrent use.
type Supervisor struct {
	cfg Config

	mu     sync.Mutex
	state  State
	child  Child
	err    error
	cancel context.CancelFunc // ends the watching goroutine
	done   chan struct{}      // closed by the watching goroutine
}

// New makes a supervisor; nothing runs until Start.
func New(cfg Config) *Supervisor {
	if cfg.MinPause <= 0 {
		cfg.MinPause = 100 * time.Millisecond
	}
	if cfg.MaxPause <= 0 {
		cfg.MaxPause = 10 * time.Second
	}
	if cfg.LaunchTimeout <= 0 {
		cfg.LaunchTimeout = 60 * time.Second
	}
	if cfg.Patience <= 0 {
		cfg.Patience = 60 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	return &Supervisor{cfg: cfg, state: Stopped}
}

// Start launches the first generation and returns when it serves. A first
// launch that goes wrong is an error, not a reason to retry: it is almost always
// a setting.
func (s *Supervisor) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state != Stopped {
		return fmt.Errorf("starting %s: already started", s.cfg.Name)
	}
	child, err := s.cfg.Launch(ctx, func() {})
	if err != nil {
		return err
	}
	// The watch outlives ctx on purpose: ctx bounds the start, Stop ends the watch.
	watch, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s.child, s.state, s.err = child, Running, nil
	s.cancel, s.done = cancel, make(chan struct{})
	go s.watch(watch, child, s.done)
	return nil
}

// Stop ends the child and the watching. Stop before Start and Stop twice are
// harmless.
func (s *Supervisor) Stop(ctx context.Context) error {
	s.mu.Lock()
	cancel, done := s.cancel, s.done
	s.mu.Unlock()
	if cancel == nil {
		return nil
	}
	cancel()
	<-done

	s.mu.Lock()
	defer s.mu.Unlock()
	child := s.child
	s.child, s.cancel, s.done, s.state = nil, nil, nil, Stopped
	if child == nil {
		return nil
	}
	return child.Stop(ctx)
}

// State is what the supervisor is doing now.
func (s *Supervisor) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Err is why the child is not running, or that it does not answer; nil while it
// does, or was stopped.
func (s *Supervisor) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

func (s *Supervisor) watch(ctx context.Context, child Child, done chan struct{}) {
	defer close(done)
	pause, born := s.cfg.MinPause, time.Now()
	for {
		err := s.attend(ctx, child)
		if ctx.Err() != nil {
			return
		}
		if time.Since(born) > steady {
			pause = s.cfg.MinPause
		}
		s.note(nil, err)
		at, cancel := context.WithCancel(ctx)
		cancel() // what is frozen hears no request
		_ = child.Stop(at)
		next := s.relaunch(ctx, &pause)
		if next == nil {
			return
		}
		child, born = next, time.Now()
	}
}

// relaunch tries until a generation serves; nil means that Stop came first.
func (s *Supervisor) relaunch(ctx context.Context, pause *time.Duration) Child {
	for {
		s.cfg.Logger.Warn("embedded service restarts", slog.String("service", s.cfg.Name), slog.Duration("pause", *pause), slog.Any("err", s.Err()))
		if !background.Rest(ctx, *pause) {
			return nil
		}
		*pause = min(2**pause, s.cfg.MaxPause)

		child, err := s.launch(ctx)
		if err == nil {
			s.note(child, nil)
			return child
		}
		s.note(nil, err)
	}
}

// launch starts a generation, for as long as that gets on.
func (s *Supervisor) launch(ctx context.Context) (Child, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stuck := time.AfterFunc(s.cfg.LaunchTimeout, func() {
		cancel(fmt.Errorf("it did not get on for %s", s.cfg.LaunchTimeout))
	})
	defer stuck.Stop()
	return s.cfg.Launch(ctx, func() { stuck.Reset(s.cfg.LaunchTimeout) })
}

// note records the current generation, or why there is none.
func (s *Supervisor) note(child Child, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.child, s.err, s.state = child, err, Running
	if child == nil {
		s.state = Restarting
	}
}

var errEnded = errors.New("exit status 0")

func orEnded(err error) error {
	if err == nil {
		return errEnded
	}
	return err
}
