package deliveries

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Load implements dispatch.Store.
func (s *Store) Load(ctx context.Context, now time.Time, wants []dispatch.Want) ([]dispatch.Loaded, error) {
	var (
		numbers, ids, limits []int
		topics, endpoints    []string
		epochs               []int64
		exclude              = []string{}
	)
	for i, w := range wants {
		numbers, ids, limits = append(numbers, i), append(ids, w.ID), append(limits, w.Limit)
		topics, endpoints = append(topics, string(w.Topic)), append(endpoints, w.EndpointID)
		epochs = append(epochs, w.Epoch)
		exclude = append(exclude, w.Exclude...)
	}
	rows, err := s.pool.Query(ctx, loadSQL, numbers, topics, ids, epochs, endpoints, limits, exclude)
	if err != nil {
		return nil, fmt.Errorf("loading due deliveries: %w", err)
	}
	loaded := make([]dispatch.Loaded, len(wants))
	_, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (struct{}, error) {
		var n int
		o, err := scanRowAfter(r, &n)
		if err != nil {
			return struct{}{}, err
		}
		l := &loaded[n]
		switch {
		case !l.Next.IsZero():
		case o.NextAttemptAt.After(now) || len(l.Rows) == wants[n].Limit:
			l.Next = o.NextAttemptAt
		default:
			l.Rows = append(l.Rows, o)
		}
		return struct{}{}, nil
	})
	if err != nil {
		return nil, fmt.Errorf("loading due deliveries: %w", err)
	}
	return loaded, nil
}

// SetBack implements dispatch.Store.
func (s *Store) SetBack(ctx context.Context, o dispatch.Ownership, from time.Time, by time.Duration) error {
	if _, err := s.pool.Exec(ctx, setBackSQL, o.Topic, o.ID, o.Epoch, from, by.Seconds()); err != nil {
		return fmt.Errorf("setting what waits in %s/%d back: %w", o.Topic, o.ID, err)
	}
	return nil
}

// Page implements dispatch.Store.
func (s *Store) Page(ctx context.Context, q dispatch.PageQuery) ([]dispatch.Owed, error) {
	exclude := q.Exclude
	if exclude == nil {
		exclude = []string{}
	}
	rows, err := s.pool.Query(ctx, pageSQL, q.EndpointID, q.Status, q.Topic, q.ID, exclude, q.Limit)
	if err != nil {
		return nil, fmt.Errorf("paging deliveries: %w", err)
	}
	all, err := pgx.CollectRows(rows, bareRow)
	if err != nil {
		return nil, fmt.Errorf("paging deliveries: %w", err)
	}
	return all, nil
}

// bareRow reads a row that was selected without body and headers.
func bareRow(r pgx.CollectableRow) (dispatch.Owed, error) {
	o, err := scanRow(r)
	o.Body, o.Headers = nil, nil
	return o, err
}

// Keys implements dispatch.Store.
func (s *Store) Keys(ctx context.Context, p dispatch.Partition, endpointID string, limit int) (map[string]int, bool, error) {
	rows, err := s.pool.Query(ctx, keysSQL, p.Topic, p.ID, endpointID, limit+1)
	if err != nil {
		return nil, false, fmt.Errorf("counting order keys: %w", err)
	}
	keys := make(map[string]int)
	var (
		key string
		n   int
	)
	if _, err := pgx.ForEachRow(rows, []any{&key, &n}, func() error { keys[key] = n; return nil }); err != nil {
		return nil, false, fmt.Errorf("counting order keys: %w", err)
	}
	if len(keys) > limit {
		return nil, false, nil
	}
	return keys, true, nil
}

// Get implements dispatch.Unfinished.
func (s *Store) Get(ctx context.Context, org, deliveryID string) (dispatch.Owed, bool, error) {
	rows, err := s.pool.Query(ctx, getSQL, deliveryID, org)
	if err != nil {
		return dispatch.Owed{}, false, fmt.Errorf("reading a delivery: %w", err)
	}
	o, err := pgx.CollectExactlyOneRow(rows, scanRow)
	if errors.Is(err, pgx.ErrNoRows) {
		return dispatch.Owed{}, false, nil
	}
	if err != nil {
		return dispatch.Owed{}, false, fmt.Errorf("reading a delivery: %w", err)
	}
	return o, true, nil
}

// List implements dispatch.Unfinished.
func (s *Store) List(ctx context.Context, q dispatch.ListQuery) ([]dispatch.Owed, error) {
	statuses := []string{string(q.Status)}
	if q.Status == "" {
		statuses = []string{string(delivery.Pending), string(delivery.IsHeld)}
	}
	sql, args := listSQL, []any{q.Org, q.EndpointID, statuses, dbtime.To(q.Before), q.BeforeKey, q.Untried, q.Limit}
	if q.IDs != nil {
		sql, args = listOfSQL, append(args, q.IDs)
	}
	rows, err := s.pool.Query(ctx, sql+listOrder, args...)
	if err != nil {
		return nil, fmt.Errorf("listing unfinished deliveries: %w", err)
	}
	all, err := pgx.CollectRows(rows, bareRow)
	if err != nil {
		return nil, fmt.Errorf("listing unfinished deliveries: %w", err)
	}
	return all, nil
}

// Waiting implements dispatch.Unfinished.
func (s *Store) Waiting(ctx context.Context, endpointIDs ...string) (map[string]dispatch.Waiting, error) {
	rows, err := s.pool.Query(ctx, waitingSQL, endpointIDs)
	if err != nil {
		return nil, fmt.Errorf("counting unfinished deliveries: %w", err)
	}
	waiting := make(map[string]dispatch.Waiting)
	var (
		id     string
		w      dispatch.Waiting
		oldest *time.Time
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &w.Count, &w.Held, &oldest}, func() error {
		w.Oldest = dbtime.From(oldest)
		waiting[id] = w
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting unfinished deliveries: %w", err)
	}
	return waiting, nil
}

// Total tells how much is unfinished in all; Oldest is of what is pending.
func (s *Store) Total(ctx context.Context) (dispatch.Waiting, error) {
	var w dispatch.Waiting
	var oldest *time.Time
	if err := s.pool.QueryRow(ctx, totalSQL).Scan(&w.Count, &w.Held, &oldest); err != nil {
		return w, fmt.Errorf("counting all unfinished deliveries: %w", err)
	}
	w.Oldest = dbtime.From(oldest)
	return w, nil
}
