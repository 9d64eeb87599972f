package timers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// batchSize bounds the calls that one transaction settles.
	batchSize = 200
	// appendPatience bounds how long rows are locked while the log is away.
	appendPatience = 10 * time.Second
)

// Fire settles up to a batch of the calls that have waits due, and returns how
// many facts it appended. Zero may also mean that timers are due whose
// partitions are not read so far, or that another hub is at them.
func (s *Service) Fire(ctx context.Context) (int, error) {
	s.firing.Lock()
	defer s.firing.Unlock()
	next, now, err := s.next(ctx)
	if err != nil || next.IsZero() || next.After(now) {
		return 0, err
	}
	horizon, err := s.horizon.Look(ctx, now)
	if err != nil || len(horizon) == 0 {
		return 0, err
	}
	partitions, until := reactor.Columns(horizon)
	fired := 0
	err = pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		began := time.Now()
		rows, err := tx.Query(ctx, dueSQL, partitions, until, batchSize)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, scan)
		if err != nil || len(due) == 0 {
			return err
		}
		if err := reactor.Late(began, s.lockedMost); err != nil {
			return err // what was waited for may have come
		}
		fired, err = s.settle(ctx, tx, due, horizon, now)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("settling calls: %w", err)
	}
	return fired, nil
}

// settle appends the facts and marks the waits as over once the log has them.
// If it is killed between the two, the fact comes back from the log and does
// the marking, or is appended again under the same id.
func (s *Service) settle(ctx context.Context, tx pgx.Tx, due []row, horizon map[int]time.Time, now time.Time) (int, error) {
	var facts []event.Event
	for i, r := range due {
		more, after, err := r.Settle(r.Key, horizon[r.partition], now)
		if err != nil {
			return 0, err
		}
		facts = append(facts, more...)
		due[i].CallTimer = after
	}
	patient, cancel := context.WithTimeout(ctx, appendPatience)
	defer cancel()
	if _, err := s.cfg.Log.Append(patient, facts...); err != nil {
		return 0, fmt.Errorf("appending to %s: %w", event.Calls, err)
	}
	_, err := tx.Exec(ctx, saveSQL, columns(due)...)
	return len(facts), err
}

// next is when the first timer is due, zero when there is none, and what time it is:
// the database's, because hubs need not agree on theirs.
func (s *Service) next(ctx context.Context) (due, now time.Time, err error) {
	var at *time.Time
	if err := s.cfg.Pool.QueryRow(ctx, nextSQL).Scan(&at, &now); err != nil {
		return time.Time{}, time.Time{}, fmt.Errorf("reading the next timer: %w", err)
	}
	return dbtime.From(at), now.UTC(), nil
}
