package readmodel

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Repeated counts the second copies, in the log, of events of an org and a topic
// recorded in [since, until). Those whose event has left the hot window are not
// counted.
func (r *Reader) Repeated(ctx context.Context, org string, topic event.Topic, since, until time.Time) (int64, error) {
	history, _, err := historyOf(topic)
	if err != nil {
		return 0, err
	}
	sql := fmt.Sprintf(`
SELECT count(*)
FROM duplicates d
WHERE d.topic = $1
  AND d.org_id = $2
  AND EXISTS (
    SELECT
    FROM %s h
    WHERE h.event_id = d.event_id
      AND h.org_id = d.org_id
      AND h.recorded_at >= $3
      AND h.recorded_at < $4
  )`, history)
	var n int64
	if err := r.db.QueryRow(ctx, sql, topic, org, since, until).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting repeats in %s: %w", topic, err)
	}
	return n, nil
}
