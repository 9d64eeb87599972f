package readmodel

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// ArchivedBy answers JanitorConfig.Archived from the checkpoints of the
// analytics store's projection: it has what was recorded before a time when it
// has come beyond the last such event of each partition.
func ArchivedBy(pool *pgxpool.Pool, analytics projections.Checkpoints, projection string) func(context.Context, event.Topic, time.Time) (bool, error) {
	return func(ctx context.Context, topic event.Topic, before time.Time) (bool, error) {
		history, _, err := historyOf(topic)
		if err != nil {
			return false, err
		}
		have, err := analytics.Checkpoints(ctx, projection)
		if err != nil {
			return false, fmt.Errorf("asking the archive for its checkpoints: %w", err)
		}
		sql := fmt.Sprintf("SELECT partition, max(\"offset\")\nFROM %s\nWHERE recorded_at < $1\nGROUP BY partition", history)
		rows, err := pool.Query(ctx, sql, before)
		if err != nil {
			return false, fmt.Errorf("reading the end of the old history: %w", err)
		}
		archived := true
		var partition int
		var last int64
		_, err = pgx.ForEachRow(rows, []any{&partition, &last}, func() error {
			archived = archived && have[topic][partition] > last
			return nil
		})
		if err != nil {
			return false, fmt.Errorf("reading the end of the old history: %w", err)
		}
		return archived, nil
	}
}
