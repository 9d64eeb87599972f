// Package steps remembers what connectors have done, so that an attempt that is
// made again does it once. It is a memory, not a truth: what it forgets is
// looked for in the other system.
package steps

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
)

// Kept is how long a step is remembered: longer than any retry, resend or
// usual replay.
const Kept = 400 * 24 * time.Hour

const (
	sweepEvery = time.Hour
	sweepRows  = 10_000
)

// Config configures a Store.
type Config struct {
	Pool *pgxpool.Pool
	// Clock is time.Now unless set.
	Clock  func() time.Time
	Logger *slog.Logger
}

// Store keeps steps in Postgres. It is safe for concurrent use.
type Store struct {
	cfg  Config
	loop background.Loop
}

// New returns a store.
func New(cfg Config) (*Store, error) {
	if cfg.Pool == nil {
		return nil, errors.New("steps: Pool is required")
	}
	if cfg.Clock == nil {
		cfg.Clock = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Store{cfg: cfg}, nil
}

// Get returns what Put kept, nil if nothing.
func (s *Store) Get(ctx context.Context, org, endpointID, step string) (json.RawMessage, error) {
	var result json.RawMessage
	err := s.cfg.Pool.QueryRow(ctx, selectStep, org, endpointID, step).Scan(&result)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading what a connector did: %w", err)
	}
	return result, nil
}

// Put keeps a result durably; a later one replaces it.
func (s *Store) Put(ctx context.Context, org, endpointID, step string, result json.RawMessage) error {
	if _, err := s.cfg.Pool.Exec(ctx, upsertStep, org, endpointID, step, result, s.cfg.Clock().UTC()); err != nil {
		return fmt.Errorf("keeping what a connector did: %w", err)
	}
	return nil
}

// Claim keeps a result durably if there is none, and returns the one that is
// kept.
func (s *Store) Claim(ctx context.Context, org, endpointID, step string, result json.RawMessage) (json.RawMessage, error) {
	var kept json.RawMessage
	if err := s.cfg.Pool.QueryRow(ctx, claimStep, org, endpointID, step, result, s.cfg.Clock().UTC()).Scan(&kept); err != nil {
		return nil, fmt.Errorf("keeping what a connector did: %w", err)
	}
	return kept, nil
}

// Lease gives a step to one holder for a time and reports whether it has it. The time
// is the database's: hubs need not agree on theirs.
func (s *Store) Lease(ctx context.Context, org, endpointID, step, holder string, lasts time.Duration) (bool, error) {
	name, err := json.Marshal(holder)
	if err != nil {
		return false, err
	}
	tag, err := s.cfg.Pool.Exec(ctx, leaseStep, org, endpointID, step, json.RawMessage(name), lasts)
	if err != nil {
		return false, fmt.Errorf("leasing a step of a connector: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// Start begins to forget what is older than Kept. Starting twice is harmless.
func (s *Store) Start(ctx context.Context) error {
	s.loop.Start(ctx, s.forgetAlways)
	return nil
}

// Stop ends it. Stopping twice, or before Start, is harmless.
func (s *Store) Stop(ctx context.Context) error { return s.loop.Stop(ctx, "the memory of steps") }

func (s *Store) forgetAlways(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		if err := s.Forget(ctx); err != nil && ctx.Err() == nil {
			s.cfg.Logger.WarnContext(ctx, "old steps of connectors cannot be forgotten now", slog.Any("err", err))
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Forget deletes what is older than Kept.
func (s *Store) Forget(ctx context.Context) error {
	for {
		tag, err := s.cfg.Pool.Exec(ctx, forgetSteps, s.cfg.Clock().UTC().Add(-Kept), sweepRows)
		if err != nil {
			return fmt.Errorf("forgetting what connectors did: %w", err)
		}
		if tag.RowsAffected() < sweepRows {
			return nil
		}
	}
}
