package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Skips implements projections.Skips.
type Skips struct{ pool *pgxpool.Pool }

var _ projections.Skips = Skips{}

// NewSkips returns the list of what operators left out.
func NewSkips(pool *pgxpool.Pool) Skips { return Skips{pool: pool} }

const skipsSQL = `
SELECT DISTINCT topic, partition, "offset"
FROM skipped_events
WHERE topic = ANY ($1)`

// Skipped implements projections.Skips.
func (s Skips) Skipped(ctx context.Context, topics ...event.Topic) ([]event.Position, error) {
	rows, err := s.pool.Query(ctx, skipsSQL, topics)
	if err != nil {
		return nil, fmt.Errorf("listing skipped events: %w", err)
	}
	var all []event.Position
	var p event.Position
	_, err = pgx.ForEachRow(rows, []any{&p.Topic, &p.Partition, &p.Offset}, func() error {
		all = append(all, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing skipped events: %w", err)
	}
	return all, nil
}
