package recordings

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/commands/recordings"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
	"trunkline.dev/trunkline/projections"
)

// look is up to when the partitions were looked at, as columns of a statement.
func (s *Store) look(ctx context.Context, now time.Time) ([]int, []time.Time, error) {
	s.looking.Lock()
	defer s.looking.Unlock()
	until, err := s.horizon.Look(ctx, now)
	if err != nil {
		return nil, nil, err
	}
	partitions, times := reactor.Columns(until)
	return partitions, times, nil
}

// Lease implements recordings.Jobs.
func (s *Store) Lease(ctx context.Context, lasts time.Duration, h recordings.Hosts) (recording.Recording, bool, error) {
	if len(h.Alone) > 0 {
		if r, ok, err := s.lease(ctx, urgentSQL, lasts, h.Alone); err != nil || ok {
			return r, ok, err
		}
	}
	return s.lease(ctx, dueSQL, lasts, closed(h))
}

// closed are the hosts of which nothing is asked because it is due. It is never nil,
// which as NULL would exclude every host.
func closed(h recordings.Hosts) []string {
	return append(append(make([]string, 0, len(h.Busy)+len(h.Alone)), h.Busy...), h.Alone...)
}

// lease leases a recording as statements say that take the same hosts.
func (s *Store) lease(ctx context.Context, sql leaseSQL, lasts time.Duration, hosts []string) (recording.Recording, bool, error) {
	var some bool
	var now time.Time
	if err := s.cfg.Pool.QueryRow(ctx, sql.some, hosts).Scan(&some, &now); err != nil || !some {
		return recording.Recording{}, false, doing("looking for a recording that is due", err)
	}
	partitions, times, err := s.look(ctx, now)
	if err != nil || len(partitions) == 0 {
		return recording.Recording{}, false, err
	}
	rows, err := s.cfg.Pool.Query(ctx, sql.take, hosts, s.cfg.Owner, lasts, partitions, times)
	if err != nil {
		return recording.Recording{}, false, fmt.Errorf("leasing a recording: %w", err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scan)
	if errors.Is(err, pgx.ErrNoRows) {
		return recording.Recording{}, false, nil
	}
	if err != nil {
		return recording.Recording{}, false, fmt.Errorf("leasing a recording: %w", err)
	}
	return r.Recording, true, nil
}

// Extend implements recordings.Jobs.
func (s *Store) Extend(ctx context.Context, ids []string, lasts time.Duration) ([]string, error) {
	return s.texts(ctx, "extending leases", extendSQL, s.cfg.Owner, ids, lasts)
}

// Yield implements recordings.Jobs.
func (s *Store) Yield(ctx context.Context, id string, pause time.Duration) error {
	_, err := s.cfg.Pool.Exec(ctx, yieldSQL, s.cfg.Owner, id, pause)
	s.wake()
	return doing("ending the lease of a recording", err)
}

// Notices implements recordings.Jobs.
func (s *Store) Notices(ctx context.Context, limit int) ([]string, error) {
	var some bool
	var now time.Time
	err := s.cfg.Pool.QueryRow(ctx, someNoticeSQL).Scan(&some, &now)
	if err != nil || !some {
		return nil, doing("looking for what is to be said of recordings", err)
	}
	partitions, times, err := s.look(ctx, now)
	if err != nil || len(partitions) == 0 {
		return nil, err
	}
	return s.texts(ctx, "looking for what is to be said of recordings", noticesSQL, partitions, times, limit)
}

// Next implements recordings.Jobs.
func (s *Store) Next(ctx context.Context, h recordings.Hosts) (time.Duration, bool, error) {
	var wait *time.Duration
	err := s.cfg.Pool.QueryRow(ctx, nextSQL, closed(h), s.cfg.Owner).Scan(&wait)
	if err != nil || wait == nil {
		return 0, false, doing("reading when a recording is due", err)
	}
	return *wait, true, nil
}

// Settle implements recordings.Jobs. The facts are appended while the row is
// locked, so of two hubs that settle the same recording the second sees what the
// first one did. A hub that was frozen decides nothing: the row may have changed.
func (s *Store) Settle(ctx context.Context, id string, decide func(recordings.Locked) (recordings.Decision, error)) error {
	var refused error
	err := pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		began := time.Now()
		rows, err := tx.Query(ctx, loadSQL, []string{id})
		if err != nil {
			return err
		}
		r, err := pgx.CollectExactlyOneRow(rows, scan)
		if errors.Is(err, pgx.ErrNoRows) {
			refused = fmt.Errorf("%s: %w", id, recordings.ErrUnknown)
			return nil
		}
		if err != nil {
			return err
		}
		now, err := dbtime.Now(ctx, tx)
		if err != nil {
			return err
		}
		if err := reactor.Late(began, s.lockedMost); err != nil {
			return err
		}
		d, err := decide(r.locked(s.cfg.Owner, now))
		if err != nil {
			refused = err
			return nil
		}
		if !d.Unchanged {
			if err := s.append(ctx, d.Facts); err != nil {
				return err
			}
			if err := save(ctx, tx, map[string]recording.Recording{id: d.After}, nil); err != nil {
				return err
			}
		}
		if d.FetchOver {
			_, err = tx.Exec(ctx, unleaseSQL, s.cfg.Owner, id)
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("settling recording %s: %w", id, err)
	}
	s.wake()
	return refused
}

// append makes facts durable, one after the other.
func (s *Store) append(ctx context.Context, facts []event.Event) error {
	ctx, cancel := context.WithTimeout(ctx, appendPatience)
	defer cancel()
	for _, e := range facts {
		if _, err := s.cfg.Log.Append(ctx, e); err != nil {
			return fmt.Errorf("appending %s: %w", e.Type, err)
		}
	}
	return nil
}

// Begin implements recordings.Jobs. It waits for the disk.
func (s *Store) Begin(ctx context.Context, key, recordingID string) error {
	_, err := s.cfg.Pool.Exec(ctx, beginSQL, key, recordingID)
	return doing("noting an upload", err)
}

// Agree implements recordings.Jobs. A row of the note and one of the recording are
// looked at in one statement, because the note goes when the recording has the bytes.
func (s *Store) Agree(ctx context.Context, key, recordingID, sha256 string) (ours bool, err error) {
	err = pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, agreeLockSQL, recordingID); err != nil {
			return err
		}
		var begun bool
		if err := tx.QueryRow(ctx, agreeSQL, key, recordingID, sha256).Scan(&begun, &ours); err != nil {
			return err
		}
		if !begun {
			return errors.New("the upload took so long that it was taken for left behind")
		}
		return nil
	})
	return ours, doing("noting what was uploaded", err)
}

// End implements recordings.Jobs.
func (s *Store) End(ctx context.Context, key string) error {
	_, err := s.cfg.Pool.Exec(ctx, endUploadsSQL, []string{key})
	return doing("forgetting an upload", err)
}

// Orphans implements recordings.Jobs. While some partition is behind, a blob may
// be a recording's of which we do not know yet: then there are none.
func (s *Store) Orphans(ctx context.Context, age time.Duration, behind string, limit int) ([]string, error) {
	ends, err := s.cfg.Ends.Ends(ctx, event.Calls)
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	now, err := dbtime.Now(ctx, s.cfg.Pool)
	if err != nil {
		return nil, err
	}
	partitions, times, err := s.look(ctx, now)
	if err != nil || len(partitions) < len(ends[event.Calls]) {
		return nil, err
	}
	for _, t := range times {
		if t.Before(now.Add(-age)) {
			return nil, nil
		}
	}
	return s.texts(ctx, "looking for orphaned blobs", orphansSQL, age, behind, limit)
}

// Expired implements recordings.Jobs. A hold counts in the row as soon as it is said;
// but the rows may be those of an earlier time (a backup, another database, a server
// that was killed), and the hold in what is to be read again.
func (s *Store) Expired(ctx context.Context, k recordings.Retention, behind recording.Recording, limit int) ([]recording.Recording, error) {
	var some bool
	if err := s.cfg.Pool.QueryRow(ctx, someExpiredSQL, k.ListID, k.Days, k.Org).Scan(&some); err != nil || !some {
		return nil, doing("looking for recordings whose time is over", err)
	}
	partitions, err := s.readNow(ctx)
	if err != nil || len(partitions) == 0 {
		return nil, err
	}
	return s.recordings(ctx, expiredSQL, k.ListID, k.Days, k.Org, partitions, behind.StoredAt, behind.ID, limit)
}

// Deleting implements recordings.Jobs. What is to be read again may hold one of them.
func (s *Store) Deleting(ctx context.Context, behind string, limit int) ([]string, error) {
	var some bool
	if err := s.cfg.Pool.QueryRow(ctx, someDeletingSQL, behind).Scan(&some); err != nil || !some {
		return nil, doing("looking for recordings that are being deleted", err)
	}
	partitions, err := s.readNow(ctx)
	if err != nil || len(partitions) == 0 {
		return nil, err
	}
	return s.texts(ctx, "looking for recordings that are being deleted", deletingSQL, behind, partitions, limit)
}

// readLooks bounds how often readNow looks.
const readLooks = 200

// readNow are the partitions of which everything was looked at that the log has now.
// One that is about to be is waited for: a busy one is always a little behind.
func (s *Store) readNow(ctx context.Context) ([]int, error) {
	all, err := s.cfg.Ends.Ends(ctx, event.Calls)
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	ends := all[event.Calls]
	for looks := 1; ; looks++ {
		have, err := reactor.Checkpoints(ctx, s.cfg.Pool, Name, event.Calls)
		if err != nil {
			return nil, err
		}
		var read []int
		for p, end := range ends {
			if have[p] >= end {
				read = append(read, p)
			}
		}
		if len(read) == len(ends) || looks == readLooks {
			return read, nil
		}
		if !background.Rest(ctx, awaitPause) {
			return nil, ctx.Err()
		}
	}
}

// Unlisted implements recordings.Jobs.
func (s *Store) Unlisted(ctx context.Context, org string, after time.Time, limit int) ([]recording.Recording, error) {
	return s.recordings(ctx, unlistedSQL, org, after, limit)
}

// SetList implements recordings.Jobs.
func (s *Store) SetList(ctx context.Context, id, listID string) error {
	_, err := s.cfg.Pool.Exec(ctx, setListSQL, id, projections.Clean(listID)) // an index holds it
	return doing("noting the list of a recording", err)
}

// Sweep implements recordings.Jobs.
func (s *Store) Sweep(ctx context.Context) error {
	_, err := s.cfg.Pool.Exec(ctx, sweepLinksSQL)
	return doing("forgetting old links", err)
}

func (s *Store) texts(ctx context.Context, what, query string, args ...any) ([]string, error) {
	rows, err := s.cfg.Pool.Query(ctx, query, args...)
	if err != nil {
		return nil, doing(what, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[string])
	return all, doing(what, err)
}

func doing(what string, err error) error {
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return nil
}
