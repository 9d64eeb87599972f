package deliveries

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/commands/dispatch"
)

var _ dispatch.Crew = (*Store)(nil)

// Beat implements dispatch.Crew. The clock is the database's.
func (s *Store) Beat(ctx context.Context, name string, partitions int, ttl time.Duration) ([]string, error) {
	rows, err := s.pool.Query(ctx, beatSQL, name, partitions, ttl.Seconds())
	if err != nil {
		return nil, fmt.Errorf("hearing of the processes that send: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("hearing of the processes that send: %w", err)
	}
	return names, nil
}

// Leave implements dispatch.Crew.
func (s *Store) Leave(ctx context.Context, name string) error {
	if _, err := s.pool.Exec(ctx, leaveSQL, name); err != nil {
		return fmt.Errorf("leaving the processes that send: %w", err)
	}
	return nil
}
