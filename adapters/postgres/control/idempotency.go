package control

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// IdempotencyConfig is what an Idempotency needs.
type IdempotencyConfig struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Keyring seals the answers: some hold a new API key, most hold personal data.
	Keyring *Keyring
	Clock   commands.Clock
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
		"Pool": c.Pool == nil, "Keyring": c.Keyring == nil, "Clock": c.Clock == nil, "Log": c.Log == nil,
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

	running sync.Mutex
	stop    context.CancelFunc
	done    chan struct{}
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
	return &Idempotency{cfg: cfg}, nil
}

// Begin implements commands.Idempotency: one round trip for a fresh key, two
// for a known one.
func (i *Idempotency) Begin(ctx context.Context, org, key string, fingerprint [32]byte) (commands.Begun, error) {
	owner := make([]byte, 16)
	_, _ = rand.Read(owner) // never fails since Go 1.24
	// The row can be deleted between the two statements; then it is ours to take.
	for range 3 {
		now := i.cfg.Clock()
		tag, err := i.cfg.Pool.Exec(ctx, beginIdempotent,
			org, key, fingerprint[:], owner, now.Add(i.cfg.Lease), now.Add(i.cfg.Keep), now)
		if err != nil {
			return commands.Begun{}, unavailable("taking an idempotency key", err)
		}
		if tag.RowsAffected() == 1 {
			return commands.Begun{State: commands.Fresh, Owner: hex.EncodeToString(owner)}, nil
		}
		begun, err := i.first(ctx, org, key, fingerprint)
		if !errors.Is(err, pgx.ErrNoRows) {
			return begun, err
		}
	}
	return commands.Begun{State: commands.InProgress}, nil
}

func (i *Idempotency) first(ctx context.Context, org, key string, fingerprint [32]byte) (commands.Begun, error) {
	var of, header, sealed []byte
	var status *int
	err := i.cfg.Pool.QueryRow(ctx, readIdempotent, org, key).Scan(&of, &status, &header, &sealed)
	if errors.Is(err, pgx.ErrNoRows) {
		return commands.Begun{}, err
	}
	if err != nil {
		return commands.Begun{}, unavailable("reading an idempotency key", err)
	}
	if [32]byte(of) != fingerprint {
		return commands.Begun{State: commands.Mismatch}, nil
	}
	if status == nil {
		return commands.Begun{State: commands.InProgress}, nil
	}
	body, err := i.cfg.Keyring.open(sealed, about("answer", org, key))
	if err != nil {
		return commands.Begun{}, err
	}
	a := commands.Answer{Status: *status, Header: http.Header{}, Body: body}
	if err := json.Unmarshal(header, &a.Header); err != nil {
		return commands.Begun{}, fmt.Errorf("reading the headers of an answer: %w", err)
	}
	return commands.Begun{State: commands.Replay, Answer: a}, nil
}

// Finish implements commands.Idempotency. It does nothing when the lease was
// over and another request has the key.
func (i *Idempotency) Finish(ctx context.Context, org, key, owner string, a commands.Answer) error {
	id, err := hex.DecodeString(owner)
	if err != nil {
		return fmt.Errorf("finishing an idempotent request: %w", err)
	}
	header, err := event.Marshal(a.Header)
	if err != nil {
		return fmt.Errorf("finishing an idempotent request: %w", err)
	}
	body, err := i.cfg.Keyring.seal(a.Body, about("answer", org, key))
	if err != nil {
		return err
	}
	if _, err := i.cfg.Pool.Exec(ctx, finishIdempotent, org, key, id, a.Status, header, body); err != nil {
		return unavailable("keeping an answer", err)
	}
	return nil
}

// Release implements commands.Idempotency.
func (i *Idempotency) Release(ctx context.Context, org, key, owner string) error {
	id, err := hex.DecodeString(owner)
	if err != nil {
		return fmt.Errorf("releasing an idempotency key: %w", err)
	}
	if _, err := i.cfg.Pool.Exec(ctx, releaseIdempotent, org, key, id); err != nil {
		return unavailable("releasing an idempotency key", err)
	}
	return nil
}

// Clean deletes what has expired and returns how much that was.
func (i *Idempotency) Clean(ctx context.Context) (int64, error) {
	var sum int64
	for {
		tag, err := i.cfg.Pool.Exec(ctx, cleanIdempotent, i.cfg.Clock(), cleanBatch)
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
	i.running.Lock()
	defer i.running.Unlock()
	if i.stop != nil {
		return nil
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	i.stop, i.done = stop, make(chan struct{})
	go func() {
		defer close(i.done)
		for wait(run, i.cfg.Clean) {
			if _, err := i.Clean(run); err != nil && run.Err() == nil {
				i.cfg.Log.WarnContext(run, "expired answers stay for now", slog.Any("err", err))
			}
		}
	}()
	return nil
}

// Stop ends it. Stopping twice, or before Start, is harmless.
func (i *Idempotency) Stop(ctx context.Context) error {
	i.running.Lock()
	defer i.running.Unlock()
	if i.stop == nil {
		return nil
	}
	i.stop()
	select {
	case <-i.done:
		i.stop = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the clean-up of answers: %w", ctx.Err())
	}
}
