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

// Rows returns the statuses of those deliveries that are not finished; again are
// those of what replays owe.
func (s *Store) Rows(ctx context.Context, deliveryIDs []string) (found, again map[string]delivery.Status, err error) {
	rows, err := s.pool.Query(ctx, statusSQL, deliveryIDs)
	if err != nil {
		return nil, nil, fmt.Errorf("reading what is unfinished: %w", err)
	}
	found, again = make(map[string]delivery.Status), make(map[string]delivery.Status)
	var id, replay string
	var status delivery.Status
	_, err = pgx.ForEachRow(rows, []any{&id, &replay, &status}, func() error {
		if replay == "" {
			found[id] = status
		} else {
			again[id] = status
		}
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("reading what is unfinished: %w", err)
	}
	return found, again, nil
}
