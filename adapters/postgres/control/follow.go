package control

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/settings"
)

// pause is how long to wait for a database that does not answer.
const pause = 500 * time.Millisecond

// Start loads the settings, waiting for Postgres until ctx ends, and keeps the
// directory up to date until Stop. Starting twice is harmless.
func (s *Store) Start(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.stop != nil {
		return nil
	}
	for {
		// On the list of readers first: no change may pass between.
		err := s.join(ctx)
		if err == nil {
			err = s.reload(ctx)
		} else {
			err = unavailable("joining the readers of the settings", err)
		}
		if err == nil {
			break
		}
		if !isUnavailable(err) {
			return err
		}
		if !background.Rest(ctx, pause) {
			return fmt.Errorf("loading settings: %w", errors.Join(ctx.Err(), err))
		}
	}
	run, stop := context.WithCancel(context.WithoutCancel(ctx))
	s.stop, s.done = stop, make(chan struct{})
	go func() {
		defer close(s.done)
		s.follow(run)
	}()
	return nil
}

// Stop ends the following of changes; the directory goes on answering from
// what it has. Stopping twice, or before Start, is harmless.
func (s *Store) Stop(ctx context.Context) error {
	s.running.Lock()
	defer s.running.Unlock()
	if s.stop == nil {
		return nil
	}
	s.stop()
	select {
	case <-s.done:
		s.stop = nil
		s.forget(ctx)
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping the directory: %w", ctx.Err())
	}
}

func (s *Store) follow(ctx context.Context) {
	down := false
	for {
		err := s.listen(ctx, func() {
			if down {
				s.cfg.Log.InfoContext(ctx, "settings are followed again")
			}
			down = false
		})
		if ctx.Err() != nil {
			return
		}
		if !down {
			s.cfg.Log.WarnContext(ctx, "settings are served from memory", slog.Any("err", err))
			down = true
		}
		background.Rest(ctx, pause)
	}
}

// listen reloads whenever the revision moved. It returns when its connection
// does not answer any more.
func (s *Store) listen(ctx context.Context, up func()) error {
	conn, err := s.cfg.Pool.Acquire(ctx)
	if err != nil {
		return err
	}
	defer func() {
		// Not back into the pool: it would go on listening there.
		_ = conn.Hijack().Close(context.WithoutCancel(ctx))
	}()
	if _, err := conn.Exec(ctx, listen); err != nil {
		return err
	}
	for {
		var revision int64
		if err := conn.QueryRow(ctx, readRevision).Scan(&revision); err != nil {
			return err
		}
		if revision != s.dir.Snapshot().Revision {
			if err := s.reload(ctx); err != nil {
				return err
			}
		}
		if err := s.read(ctx, conn.Conn()); err != nil {
			return err
		}
		up()
		s.retire(ctx)
		if err := s.notified(ctx, conn.Conn()); err != nil {
			return err
		}
	}
}

// notified waits for a notification or for the time to look without one.
func (s *Store) notified(ctx context.Context, conn *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, s.cfg.Reread)
	defer cancel()
	_, err := conn.WaitForNotification(ctx)
	if err != nil && ctx.Err() == context.DeadlineExceeded && !conn.IsClosed() {
		return nil
	}
	return err
}

// reload reads everything at one revision. What is known before it begins was
// committed, so a database that is behind it has gone back.
func (s *Store) reload(ctx context.Context) error {
	known := s.dir.Snapshot()
	tx, err := s.cfg.Pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return unavailable("loading settings", err)
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var revision int64
	if err := tx.QueryRow(ctx, readRevision).Scan(&revision); err != nil {
		return unavailable("loading settings", err)
	}
	next, err := s.load(ctx, tx, revision)
	if err != nil {
		return err
	}
	s.dir.advance(next, s.lost(ctx, known, next.Revision))
	return nil
}

// lost is a snapshot that was committed once if the database is only at an older
// revision now: a replica that was behind has taken over, or a backup was put back.
// It is nil for one that is there.
func (s *Store) lost(ctx context.Context, known *settings.Snapshot, revision int64) *settings.Snapshot {
	if known.Revision <= revision {
		return nil
	}
	s.cfg.Log.WarnContext(ctx, "the database has lost settings; what it has is served",
		slog.Int64("revision", revision), slog.Int64("known", known.Revision))
	return known
}
