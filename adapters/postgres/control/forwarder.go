package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/postgres/outbox"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/event"
)

// ForwarderConfig is what a Forwarder needs.
type ForwarderConfig struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Events is the log that the admin topic belongs to.
	Events commands.Log
	// Wake says that something may wait; nil: only Poll finds it.
	Wake <-chan struct{}
	// Log gets what an operator should know.
	Log *slog.Logger
	// Poll is how often to look without being woken. Zero is 1 s.
	Poll time.Duration
}

// Validate joins every problem.
func (c ForwarderConfig) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{"Pool": c.Pool == nil, "Events": c.Events == nil, "Log": c.Log == nil} {
		if missing {
			errs = append(errs, fmt.Errorf("forwarder: %s is missing", name))
		}
	}
	if c.Poll < 0 {
		errs = append(errs, errors.New("forwarder: Poll is negative"))
	}
	return errors.Join(errs...)
}

// Forwarder brings the outbox to the admin topic: in order, at least once, with
// the ids that the events got when the setting changed. Of several hubs one
// forwards at a time.
type Forwarder struct {
	cfg ForwarderConfig

	loop background.Loop
}

// batchSize bounds what is published between two transactions.
const batchSize = 100

// NewForwarder makes a forwarder.
func NewForwarder(cfg ForwarderConfig) (*Forwarder, error) {
	if cfg.Poll == 0 {
		cfg.Poll = time.Second
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Forwarder{cfg: cfg}, nil
}

// Start begins forwarding. Starting twice is harmless.
func (f *Forwarder) Start(ctx context.Context) error {
	f.loop.Start(ctx, f.run)
	return nil
}

// Stop ends it. What was published and not yet deleted is published again by
// the next one. Stopping twice, or before Start, is harmless.
func (f *Forwarder) Stop(ctx context.Context) error { return f.loop.Stop(ctx, "the forwarder") }

func (f *Forwarder) run(ctx context.Context) {
	tick := time.NewTicker(f.cfg.Poll)
	defer tick.Stop()
	down := false
	for {
		n, err := f.Forward(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !down {
			f.cfg.Log.WarnContext(ctx, "admin events wait in the outbox", slog.Any("err", err))
		}
		down = err != nil
		if n == batchSize && err == nil {
			continue
		}
		if down && !background.Rest(ctx, pause) {
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-f.cfg.Wake:
		}
	}
}

// Forward publishes the oldest events of the outbox, deletes them once they are
// acknowledged, and returns how many. It returns 0 while another hub forwards.
func (f *Forwarder) Forward(ctx context.Context) (int, error) {
	return outbox.Forward(ctx, f.cfg.Pool, adminOutbox, batchSize, func(ctx context.Context, events []event.Event) error {
		if _, err := f.cfg.Events.Append(ctx, events...); err != nil {
			return fmt.Errorf("appending to %s: %w", event.Admin, err)
		}
		return nil
	})
}

func isUnavailable(err error) bool { return errors.Is(err, settings.ErrUnavailable) }
