// Package recordings keeps what is known of recordings in Postgres: what the log
// says of them, and how far the work on them has come. It is the applier of a
// consumer group, like the timers, and the recordings.Jobs and Catalogue of the
// service that does the work. Its one invariant: rows and checkpoint are durable
// together, and only for the owner of a partition. What time it is the database says, to
// every hub the same.
package recordings

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// Name is what the reactor has a checkpoint and a consumer group under.
const Name = "recordings"

// DefaultPatience is how long a copy may take before receivers are told without
// it.
const DefaultPatience = 20 * time.Second

// appendPatience bounds how long a row is locked while the log is away.
const appendPatience = 10 * time.Second

// Config is what a Store needs.
type Config struct {
	// Pool is the migrated database.
	Pool *pgxpool.Pool
	// Log takes the facts; Ends tells how far it reaches.
	Log  commands.Log
	Ends projections.Ends
	// Logger gets what an operator should know.
	Logger *slog.Logger
	// Patience is how long a copy may take before receivers are told without it;
	// zero is the default. A change counts for what is announced from then on.
	Patience time.Duration
	// Owner names this process in leases and checkpoints.
	Owner string
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	if c.Pool == nil || c.Log == nil || c.Ends == nil || c.Logger == nil {
		errs = append(errs, errors.New("recordings: Pool, Log, Ends and Logger are needed"))
	}
	if c.Owner == "" {
		errs = append(errs, errors.New("recordings: an Owner is needed: leases are told apart by it"))
	}
	if c.Patience < 0 {
		errs = append(errs, errors.New("recordings: Patience is negative"))
	}
	return errors.Join(errs...)
}

// Store is safe for concurrent use.
type Store struct {
	cfg      Config
	patience recording.Patience
	// lockedMost is reactor.LockedMost but in tests.
	lockedMost time.Duration
	// woken has one token: something may be due earlier than the loop knows.
	woken chan struct{}

	looking sync.Mutex
	horizon *reactor.Horizon
}

var (
	_ projections.Applier  = (*Store)(nil)
	_ recordings.Jobs      = (*Store)(nil)
	_ recordings.Catalogue = (*Store)(nil)
)

// New makes a store.
func New(cfg Config) (*Store, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Patience == 0 {
		cfg.Patience = DefaultPatience
	}
	return &Store{
		cfg: cfg, patience: recording.Patience(cfg.Patience), lockedMost: reactor.LockedMost, woken: make(chan struct{}, 1),
		horizon: reactor.NewHorizon(cfg.Pool, cfg.Ends, Name, event.Calls),
	}, nil
}

// Woken implements recordings.Jobs.
func (s *Store) Woken() <-chan struct{} { return s.woken }

func (s *Store) wake() {
	select {
	case s.woken <- struct{}{}:
	default: // a token is there already
	}
}

// Claim implements projections.Applier.
func (s *Store) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	t, err := reactor.Claim(ctx, s.cfg.Pool, Name, s.cfg.Owner, topic, partition)
	if err != nil {
		return nil, err
	}
	s.wake() // the former owner's work is in the table and nobody told our loop
	return &session{Tenure: t, store: s}, nil
}

// session is the ownership of one partition. It is used by one goroutine.
type session struct {
	*reactor.Tenure
	store *Store
}

// Apply implements projections.Session.
func (c *session) Apply(ctx context.Context, events []event.Recorded) error {
	if events = c.New(events); len(events) == 0 {
		return nil
	}
	return c.ApplyNarrowly(ctx, c.store.cfg.Logger, events, c.apply)
}

func (c *session) apply(ctx context.Context, events []event.Recorded) error {
	sound := make([]event.Recorded, 0, len(events))
	for _, e := range events {
		if projections.Sound(e) {
			sound = append(sound, e)
		}
	}
	ids := recording.Touched(sound)
	known := make(map[string]recording.Recording, len(ids))
	var now time.Time
	var load func(*pgx.Batch)
	if len(ids) > 0 {
		load = func(b *pgx.Batch) {
			b.Queue(dbtime.NowSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&now) })
			b.Queue(loadSQL, ids).Query(func(rows pgx.Rows) error {
				all, err := pgx.CollectRows(rows, scan)
				for _, r := range all {
					known[r.ID] = r.Recording
				}
				return err
			})
		}
	}
	changed := 0
	err := c.Commit(ctx, events, load, func(ctx context.Context, tx pgx.Tx) error {
		after := c.store.patience.Fold(known, sound)
		for id, r := range after {
			if r.Announced != known[id].Announced {
				after[id] = c.store.patience.Heard(r, event.Time(now))
			}
		}
		changed = len(after)
		return save(ctx, tx, after, recording.Blobs(known, after, sound))
	})
	if err != nil {
		return fmt.Errorf("keeping recordings: %w", err)
	}
	if changed > 0 {
		c.store.wake()
	}
	return nil
}

// save writes recordings, and the keys of blobs that the log names. While one that is
// a recording's is not among them, the recording is Unread.
func save(ctx context.Context, tx pgx.Tx, after map[string]recording.Recording, named []string) error {
	if len(after)+len(named) == 0 {
		return nil
	}
	var batch pgx.Batch
	for _, r := range after {
		batch.Queue(saveSQL, args(r)...)
	}
	if len(named) > 0 {
		batch.Queue(endUploadsSQL, named)
	}
	return tx.SendBatch(ctx, &batch).Close()
}
