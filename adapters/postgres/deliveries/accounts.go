package deliveries

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Planned returns the offset up to which each partition is planned.
func (s *Store) Planned(ctx context.Context) (map[dispatch.Partition]int64, error) {
	rows, err := s.pool.Query(ctx, plannedSQL)
	if err != nil {
		return nil, fmt.Errorf("reading what is planned: %w", err)
	}
	planned := make(map[dispatch.Partition]int64)
	var p dispatch.Partition
	var next int64
	if _, err := pgx.ForEachRow(rows, []any{&p.Topic, &p.ID, &next}, func() error { planned[p] = next; return nil }); err != nil {
		return nil, fmt.Errorf("reading what is planned: %w", err)
	}
	return planned, nil
}

// Rows returns the statuses of those deliveries that are not finished; replays
// of them do not count.
func (s *Store) Rows(ctx context.Context, deliveryIDs []string) (map[string]delivery.Status, error) {
	rows, err := s.pool.Query(ctx, statusSQL, deliveryIDs)
	if err != nil {
		return nil, fmt.Errorf("reading what is unfinished: %w", err)
	}
	found := make(map[string]delivery.Status)
	var id string
	var status delivery.Status
	if _, err := pgx.ForEachRow(rows, []any{&id, &status}, func() error { found[id] = status; return nil }); err != nil {
		return nil, fmt.Errorf("reading what is unfinished: %w", err)
	}
	return found, nil
}
