package control

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// IdempotencyConfig is what an Idempotency needs.
type IdempotencyConfig struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Keyring seals the answers: some hold a new API key, most hold personal data.
	Keyring *Keyring
	// Log gets what an operator should know.
	Log *slog.Logger
	// Keep is how long answers are kept. Zero is 24 h.
	Keep time.Duration
	// Lease is when a request without an answer is taken for dead. Zero is 30 s.
	Lease time.Duration
	// Clean is how often expired answers are deleted. Zero is 10 min.
	Clean time.Duration
}

// Validate joins every problem.
func (c IdempotencyConfig) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{
		"Pool": c.Pool == nil, "Keyring": c.Keyring == nil, "Log": c.Log == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("idempotency: %s is missing", name))
		}
	}
	if c.Keep < 0 || c.Lease < 0 || c.Clean < 0 {
		errs = append(errs, errors.New("idempotency: a duration is negative"))
	}
	return errors.Join(errs...)
}

// Idempotency is the commands.Idempotency on Postgres.
type Idempotency struct {
	cfg IdempotencyConfig
	// owner is this process. A request that was taken for dead and is not cannot
	// overwrite the answer of the one that took over in another process.
	owner []byte

	loop background.Loop
}

var _ commands.Idempotency = (*Idempotency)(nil)

// cleanBatch bounds what one statement deletes.
const cleanBatch = 1000

// NewIdempotency makes one. It works without Start, which only cleans up.
func NewIdempotency(cfg IdempotencyConfig) (*Idempotency, error) {
	if cfg.Keep == 0 {
		cfg.Keep = 24 * time.Hour
	}
	if cfg.Lease == 0 {
		cfg.Lease = 30 * time.Second
	}
	if cfg.Clean == 0 {
		cfg.Clean = 10 * time.Minute
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	owner := make([]byte, 16)
	_, _ = rand.Read(owner) // never fails (crypto/rand)
	return &Idempotency{cfg: cfg, owner: owner}, nil
}

// Begin implements commands.Idempotency: one round trip for a fresh key, two
// for a known one.
func (i *Idempotency) Begin(ctx context.Context, org, key, route string, fingerprint [32]byte) (first time.Time, answer *commands.StoredResponse, err error) {
	// The row can be deleted between the two statements; then it is ours to take.
	for range 3 {
		err := i.cfg.Pool.QueryRow(ctx, beginIdempotent,
			org, key, route, fingerprint[:], i.owner, i.cfg.Lease, i.cfg.Keep).Scan(&first)
		switch {
		case err == nil:
			return first.Add(-i.cfg.Keep), nil, nil
		case !errors.Is(err, pgx.ErrNoRows):
			return time.Time{}, nil, unavailable("taking an idempotency key", err)
		}
		answer, err := i.first(ctx, org, key, fingerprint)
		if !errors.Is(err, pgx.ErrNoRows) {
			return time.Time{}, answer, err
		}
	}
	return time.Time{}, nil, commands.ErrInProgress
}

// first says what became of the first request with a key.
func (i *Idempotency) first(ctx context.Context, org, key string, fingerprint [32]byte) (*commands.StoredResponse, error) {
	var of, header, sealed []byte
	var status *int
	err := i.cfg.Pool.QueryRow(ctx, readIdempotent, org, key).Scan(&of, &status, &header, &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	if err != nil {
		return nil, unavailable("reading an idempotency key", err)
	}
	if !bytes.Equal(of, fingerprint[:]) {
		return nil, commands.ErrMismatch
	}
	if status == nil {
		return nil, commands.ErrInProgress
	}
	body, err := i.cfg.Keyring.open(sealed, about("answer", org, key))
	if err != nil {
		// Another hub may have sealed it by a key that this one has not heard of.
		if err := i.cfg.Keyring.Refresh(ctx); err != nil {
			return nil, unavailable("reading the keyring", err)
		}
		if body, err = i.cfg.Keyring.open(sealed, about("answer", org, key)); err != nil {
			return nil, err
		}
	}
	a := commands.StoredResponse{Status: *status, Body: body}
	if err := json.Unmarshal(header, &a.Header); err != nil {
		return nil, fmt.Errorf("reading the headers of an answer: %w", err)
	}
	return &a, nil
}

// Finish implements commands.Idempotency. It does nothing when the reservation
// was over and another process has the key.
func (i *Idempotency) Finish(ctx context.Context, org, key, _ string, r commands.StoredResponse) error {
	header, err := event.Marshal(r.Header)
	if err != nil {
		return fmt.Errorf("keeping an answer: %w", err)
	}
	body, err := i.cfg.Keyring.seal(r.Body, about("answer", org, key))
	if err != nil {
		return err
	}
	if _, err := i.cfg.Pool.Exec(ctx, finishIdempotent, org, key, i.owner, r.Status, header, body); err != nil {
		return unavailable("keeping an answer", err)
	}
	return nil
}

// Abandon implements commands.Idempotency.
func (i *Idempotency) Abandon(ctx context.Context, org, key, _ string) error {
	if _, err := i.cfg.Pool.Exec(ctx, abandonIdempotent, org, key, i.owner); err != nil {
		return unavailable("giving up an idempotency key", err)
	}
	return nil
}

// Clean deletes what has expired and returns how much that was.
func (i *Idempotency) Clean(ctx context.Context) (int64, error) {
	var sum int64
	for {
		tag, err := i.cfg.Pool.Exec(ctx, cleanIdempotent, cleanBatch)
		if err != nil {
			return sum, unavailable("deleting expired answers", err)
		}
		sum += tag.RowsAffected()
		if tag.RowsAffected() < cleanBatch {
			return sum, nil
		}
	}
}

// Start begins cleaning up. Starting twice is harmless.
func (i *Idempotency) Start(ctx context.Context) error {
	i.loop.Start(ctx, i.cleanAlways)
	return nil
}

// Stop ends it. Stopping twice, or before Start, is harmless.
func (i *Idempotency) Stop(ctx context.Context) error {
	return i.loop.Stop(ctx, "the clean-up of answers")
}

func (i *Idempotency) cleanAlways(ctx context.Context) {
	for background.Rest(ctx, i.cfg.Clean) {
		if _, err := i.Clean(ctx); err != nil && ctx.Err() == nil {
			i.cfg.Log.WarnContext(ctx, "expired answers stay for now", slog.Any("err", err))
		}
	}
}
