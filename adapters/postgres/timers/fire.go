package timers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

const (
	// batchSize bounds the calls that one transaction settles.
	batchSize = 200
	// appendPatience bounds how long rows are locked while the log is away.
	appendPatience = 10 * time.Second
)

// mark says that a partition of the log ended before end at the time at. When
// the checkpoint has reached it, what would have cancelled a timer that was due
// by then has done so.
type mark struct {
	at  time.Time
	end int64
}

// Fire settles up to a batch of the calls that have waits due, and returns how
// many facts it appended. Zero may also mean that timers are due whose
// partitions are not read so far, or that another hub is at them.
func (s *Service) Fire(ctx context.Context) (int, error) {
	s.firing.Lock()
	defer s.firing.Unlock()
	next, err := s.next(ctx)
	if err != nil {
		return 0, err
	}
	now := event.Time(s.cfg.Clock())
	if next.IsZero() || next.After(now) {
		return 0, nil
	}
	partitions, until, err := s.caughtUp(ctx, now)
	if err != nil || len(partitions) == 0 {
		return 0, err
	}
	fired := 0
	err = pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, dueSQL, partitions, until, batchSize)
		if err != nil {
			return err
		}
		due, err := pgx.CollectRows(rows, scan)
		if err != nil || len(due) == 0 {
			return err
		}
		horizon := make(map[int]time.Time, len(partitions))
		for i, p := range partitions {
			horizon[p] = until[i]
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

// next is when the first timer is due; zero when there is none.
func (s *Service) next(ctx context.Context) (time.Time, error) {
	var at *time.Time
	if err := s.cfg.Pool.QueryRow(ctx, nextSQL).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("reading the next timer: %w", err)
	}
	return fromDB(at), nil
}

// caughtUp returns, for each partition, up to which due time its timers may be
// settled. The end of the log is remembered until the checkpoint has reached
// it: a busy partition always ends a little behind its checkpoint's next look.
func (s *Service) caughtUp(ctx context.Context, now time.Time) (partitions []int, until []time.Time, err error) {
	ends, err := s.cfg.Ends.Ends(ctx, event.Calls)
	if err != nil {
		return nil, nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	have, err := s.checkpoints(ctx)
	if err != nil {
		return nil, nil, err
	}
	for p, end := range ends[event.Calls] {
		m, marked := s.marks[p]
		reached := marked && have[p] >= m.end
		var by time.Time
		if reached {
			by = m.at
		}
		if have[p] >= end {
			by = now
		}
		if !marked || reached {
			s.marks[p] = mark{at: now, end: end}
		}
		if !by.IsZero() {
			partitions, until = append(partitions, p), append(until, by)
		}
	}
	return partitions, until, nil
}

// checkpoints is how far each partition has been looked at. That this process
// has looked at something stays true when the partition is another's by now.
func (s *Service) checkpoints(ctx context.Context) (map[int]int64, error) {
	rows, err := s.cfg.Pool.Query(ctx, checkpointsSQL, projections.Timers, event.Calls)
	if err != nil {
		return nil, fmt.Errorf("reading the timers' checkpoints: %w", err)
	}
	have := make(map[int]int64)
	var partition int
	var next int64
	if _, err := pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
		have[partition] = next
		return nil
	}); err != nil {
		return nil, fmt.Errorf("reading the timers' checkpoints: %w", err)
	}
	s.looking.Lock()
	defer s.looking.Unlock()
	for p, next := range s.ahead {
		have[p] = max(have[p], next)
	}
	return have, nil
}
