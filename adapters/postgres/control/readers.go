package control

import (
	"context"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"trunkline.dev/trunkline/adapters/internal/background"
)

const (
	// readersPatience bounds how long a change waits for other hubs to know it.
	readersPatience = 2 * time.Second
	// readersPoll is how often they are looked at meanwhile, at first.
	readersPoll = 2 * time.Millisecond
)

// read says which revision this process knows, so that others need not wait
// for it.
func (s *Store) read(ctx context.Context, db interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
},
) error {
	_, err := db.Exec(ctx, upsertReader, s.name, s.dir.Snapshot().Revision)
	return err
}

// join puts this process on the list of readers, instead of those that were killed.
func (s *Store) join(ctx context.Context) error {
	if s.cfg.Alone {
		if _, err := s.cfg.Pool.Exec(ctx, deleteReaders); err != nil {
			return err
		}
	}
	return s.read(ctx, s.cfg.Pool)
}

// forget takes this process off the list of readers. If it cannot, the others
// notice by themselves.
func (s *Store) forget(ctx context.Context) {
	if _, err := s.cfg.Pool.Exec(ctx, deleteReader, s.name); err != nil {
		s.cfg.Log.DebugContext(ctx, "leaving the readers of the settings", slog.Any("err", err))
	}
}

// awaitReaders returns when every other hub that lives knows a revision, which
// takes a few milliseconds. A hub that hangs, or was killed a moment ago, is
// waited for as long as there is patience: the change is made.
func (s *Store) awaitReaders(ctx context.Context, revision int64) {
	ctx, cancel := context.WithTimeout(ctx, readersPatience)
	defer cancel()
	alive := (5 * s.cfg.Reread / 2).Seconds()
	for pause := readersPoll; ; pause = min(2*pause, 50*time.Millisecond) {
		var behind bool
		if err := s.cfg.Pool.QueryRow(ctx, readersBehind, s.name, revision, alive).Scan(&behind); err != nil || !behind {
			return
		}
		if !background.Rest(ctx, pause) {
			s.cfg.Log.WarnContext(ctx, "another hub does not follow the settings", slog.Int64("revision", revision))
			return
		}
	}
}
