package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"sync"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/commands/settings"
	"trunkline.dev/trunkline/domain/event"
)

// Config is what a Store needs.
type Config struct {
	// Pool is the migrated database. The store holds one of its connections, to
	// hear of the changes of other hubs.
	Pool *pgxpool.Pool
	// Keyring seals the secrets.
	Keyring *Keyring
	// Clock tells when a change happened and which keys have expired.
	Clock commands.Clock
	// Log gets what an operator should know.
	Log *slog.Logger
	// Reread is how often the revision is read besides being notified of it; a
	// notification can be lost with its connection. Zero is 5 s.
	Reread time.Duration
	// Alone says that the database was started for this hub: whoever is on the list of
	// readers as it starts was killed, and is not waited for.
	Alone bool
}

// Validate joins every problem.
func (c Config) Validate() error {
	var errs []error
	for name, missing := range map[string]bool{
		"Pool": c.Pool == nil, "Keyring": c.Keyring == nil, "Clock": c.Clock == nil, "Log": c.Log == nil,
	} {
		if missing {
			errs = append(errs, fmt.Errorf("control: %s is missing", name))
		}
	}
	if c.Reread < 0 {
		errs = append(errs, errors.New("control: Reread is negative"))
	}
	return errors.Join(errs...)
}

// Store is the settings.Store on Postgres.
type Store struct {
	cfg Config
	dir *Directory
	// name is this process's among the readers of the settings.
	name string

	changing sync.Mutex // one change of this process at a time

	running sync.Mutex
	stop    context.CancelFunc
	done    chan struct{}
}

var _ settings.Store = (*Store)(nil)

// New makes a store. It serves nothing before Start.
func New(cfg Config) (*Store, error) {
	if cfg.Reread == 0 {
		cfg.Reread = 5 * time.Second
	}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Store{cfg: cfg, dir: newDirectory(cfg.Clock), name: uuid.NewString()}, nil
}

// Directory is the view of the settings that this store keeps up to date.
func (s *Store) Directory() *Directory { return s.dir }

// Change implements settings.Store. The row lock on the revision makes changes
// of all hubs happen one after another, so a decision that saw the newest
// snapshot is still right when it commits. It returns once the other hubs know
// too: who was told that an endpoint exists may count on it, whichever hub takes
// the next event.
func (s *Store) Change(ctx context.Context, decide func(*settings.Snapshot) (settings.Changes, error)) error {
	err := s.revise(ctx, func(tx pgx.Tx, revision int64, before *settings.Snapshot) (settings.Changes, error) {
		changes, err := decide(before)
		if err != nil {
			return changes, decided{err}
		}
		return changes, s.write(ctx, tx, revision, changes, s.cfg.Keyring.state.Load())
	})
	if err == nil {
		s.awaitReaders(ctx, s.dir.Snapshot().Revision)
	}
	return err
}

// decided is an error of a decision, which its caller gets as it is.
type decided struct{ error }

// revise makes one revision of the settings: what a step writes, with the
// newest snapshot before it.
func (s *Store) revise(ctx context.Context, step func(pgx.Tx, int64, *settings.Snapshot) (settings.Changes, error)) error {
	s.changing.Lock()
	defer s.changing.Unlock()

	tx, err := s.cfg.Pool.Begin(ctx)
	if err != nil {
		return unavailable("changing settings", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()

	var revision int64
	if err := tx.QueryRow(ctx, nextRevision).Scan(&revision); err != nil {
		return unavailable("taking the settings' revision", err)
	}
	before := s.dir.Snapshot()
	lost := s.lost(ctx, before, revision-1) // nobody else commits one meanwhile
	if before.Revision != revision-1 {
		if before, err = s.load(ctx, tx, revision-1); err != nil {
			return err
		}
	}
	changes, err := step(tx, revision, before)
	if d, ok := errors.AsType[decided](err); ok {
		return d.error
	}
	if err != nil {
		return unavailable("writing settings", err)
	}
	if err := tx.Commit(ctx); err != nil {
		// Whether it happened is unknown; the next read of the revision tells.
		return unavailable("committing settings", err)
	}
	s.dir.advance(before.Apply(changes), lost)
	return nil
}

// write queues rows and facts of a revision, sealed by a keyring.
func (s *Store) write(ctx context.Context, tx pgx.Tx, revision int64, c settings.Changes, by *keys) error {
	b := &pgx.Batch{}
	if err := queuePuts(b, c, by); err != nil {
		return err
	}
	for _, e := range c.Endpoints {
		b.Queue(keepEndpointVersion, e.ID, revision)
	}
	for _, d := range c.Deleted {
		b.Queue(deletion(d.Kind), d.ID)
	}
	for _, e := range c.Gone {
		settings, err := event.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding endpoint %s: %w: %w", e.ID, errContent, err)
		}
		b.Queue(keepDeletedEndpoint, e.ID, revision, settings)
	}
	now := s.cfg.Clock()
	for number, f := range c.Facts {
		e, err := event.New(event.Envelope{
			ID:     event.DeriveID("settings", f.Org, f.Subject, strconv.FormatInt(revision, 10), strconv.Itoa(number), now.Format(time.RFC3339Nano)),
			Source: f.Source, Subject: f.Subject, Org: f.Org, Actor: f.Actor,
			CorrelationID: f.CorrelationID, TraceParent: f.TraceParent,
			OccurredAt: now, RecordedAt: now,
		}, f.Payload)
		if err != nil {
			return fmt.Errorf("%w: %w", errContent, err)
		}
		text, err := event.Marshal(e)
		if err != nil {
			return fmt.Errorf("encoding %s: %w: %w", e.Type, errContent, err)
		}
		b.Queue(insertOutbox, revision, number, text)
	}
	b.Queue(notify, strconv.FormatInt(revision, 10))
	return tx.SendBatch(ctx, b).Close()
}

func deletion(k settings.Kind) string {
	switch k {
	case settings.Lists:
		return deleteList
	case settings.Keys:
		return deleteKey
	case settings.Connections:
		return deleteConnection
	case settings.Endpoints:
		return deleteEndpoint
	case settings.Rules:
		return deleteRule
	}
	return ""
}

func queuePuts(b *pgx.Batch, c settings.Changes, k *keys) error {
	for _, o := range c.Orgs {
		row, err := k.orgToRow(o)
		if err != nil {
			return err
		}
		b.Queue(upsertOrg, row...)
	}
	for _, l := range c.Lists {
		b.Queue(upsertList, listToRow(l)...)
	}
	for _, l := range c.FormerLists {
		b.Queue(upsertFormerList, l.ID, l.Org, l.RecordingRetentionDays, l.DeletedAt)
	}
	for _, a := range c.Keys {
		b.Queue(upsertKey, keyToRow(a)...)
	}
	for _, n := range c.Connections {
		row, err := k.connectionToRow(n)
		if err != nil {
			return err
		}
		b.Queue(upsertConnection, row...)
	}
	for _, e := range c.Endpoints {
		row, err := k.endpointToRow(e)
		if err != nil {
			return err
		}
		b.Queue(upsertEndpoint, row...)
	}
	for _, r := range c.Rules {
		row, err := ruleToRow(r)
		if err != nil {
			return err
		}
		b.Queue(upsertRule, row...)
	}
	return nil
}

// load reads everything in a transaction that sees one state of the database.
func (s *Store) load(ctx context.Context, tx pgx.Tx, revision int64) (*settings.Snapshot, error) {
	if err := s.cfg.Keyring.follow(ctx, tx); err != nil {
		return nil, unavailable("loading the keyring", err)
	}
	var c settings.Changes
	k := s.cfg.Keyring.state.Load()
	err := errors.Join(
		read(ctx, tx, selectOrgs, k.orgFromRow, &c.Orgs),
		read(ctx, tx, selectLists, listFromRow, &c.Lists),
		read(ctx, tx, selectFormerLists, formerListFromRow, &c.FormerLists),
		read(ctx, tx, selectKeys, keyFromRow, &c.Keys),
		read(ctx, tx, selectConnections, k.connectionFromRow, &c.Connections),
		read(ctx, tx, selectEndpoints, k.endpointFromRow, &c.Endpoints),
		read(ctx, tx, selectRules, ruleFromRow, &c.Rules),
		read(ctx, tx, selectGone, versionFromRow, &c.Gone, event.Time(s.cfg.Clock()).Add(-settings.Remembered).Format(time.RFC3339)),
	)
	if err != nil {
		return nil, unavailable("loading settings", err)
	}
	return settings.NewSnapshot(revision, c), nil
}

func read[T any](ctx context.Context, tx pgx.Tx, query string, scan pgx.RowToFunc[T], into *[]T, args ...any) error {
	rows, err := tx.Query(ctx, query, args...)
	if err != nil {
		return err
	}
	*into, err = pgx.CollectRows(rows, scan)
	return err
}

// unavailable marks errors that trying again may cure: all but those of what is
// written in the rows, and those in which Postgres says that the statement
// itself is wrong.
func unavailable(doing string, err error) error {
	if errors.Is(err, errContent) {
		return fmt.Errorf("%s: %w", doing, err)
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return fmt.Errorf("%s: %w: %w", doing, settings.ErrUnavailable, err)
	}
	switch pg.Code[:2] {
	case "08", "40", "53", "55", "57", "58":
		return fmt.Errorf("%s: %w: %w", doing, settings.ErrUnavailable, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}
