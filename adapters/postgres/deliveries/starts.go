package deliveries

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands/dispatch"
)

// Starts implements dispatch.Starts.
func (s *Store) Starts(ctx context.Context, p dispatch.Partition, epoch int64, endpointIDs []string) (map[string]dispatch.Start, bool, error) {
	ids := make([]string, len(endpointIDs))
	for i, id := range endpointIDs {
		ids[i] = dispatch.StartID(id)
	}
	all, err := s.starts(ctx, startsSQL, ids, p.Topic, p.ID, epoch)
	if err != nil {
		return nil, false, fmt.Errorf("reading the starts of endpoints: %w", err)
	}
	found := make(map[string]dispatch.Start, len(all))
	for _, st := range all {
		if st.EndpointID != "" {
			found[st.EndpointID] = st
		}
	}
	return found, len(all) > 0, nil
}

// Takeable implements dispatch.Starts.
func (s *Store) Takeable(ctx context.Context, ps []dispatch.Partition) ([]dispatch.Start, error) {
	topics, ids := partitionArrays(ps)
	all, err := s.starts(ctx, takeableSQL, topics, ids)
	if err != nil {
		return nil, fmt.Errorf("looking for starts to take over: %w", err)
	}
	return all, nil
}

func (s *Store) starts(ctx context.Context, sql string, args ...any) ([]dispatch.Start, error) {
	rows, err := s.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(r pgx.CollectableRow) (st dispatch.Start, err error) {
		return st, r.Scan(&st.EndpointID, &st.Topic, &st.ID, &st.State, &st.Next)
	})
}

// Take implements dispatch.Starts.
func (s *Store) Take(ctx context.Context, p dispatch.Partition, epoch int64, endpointID string) (next int64, ok bool, err error) {
	err = s.pool.QueryRow(ctx, takeSQL, dispatch.StartID(endpointID), p.Topic, p.ID, epoch).Scan(&next)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("taking over the start of %s in %s/%d: %w", endpointID, p.Topic, p.ID, err)
	}
	return next, true, nil
}

func ownerArrays(owned []dispatch.Ownership) (topics []string, ids []int, epochs []int64) {
	for _, o := range owned {
		topics, ids, epochs = append(topics, string(o.Topic)), append(ids, o.ID), append(epochs, o.Epoch)
	}
	return topics, ids, epochs
}

func partitionArrays(ps []dispatch.Partition) (topics []string, ids []int) {
	for _, p := range ps {
		topics, ids = append(topics, string(p.Topic)), append(ids, p.ID)
	}
	return topics, ids
}
