package clickhouse

import (
	"context"
	"fmt"
	"math"
	"slices"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// EventsBetween returns events of an org and a topic recorded in [since, until),
// at most limit, that follow a mark. Their order is that of the table, so a day
// is read once however many pages it has.
func (s *Store) EventsBetween(ctx context.Context, org string, topic event.Topic, since, until time.Time, after projections.EventMark, limit int) ([]event.Recorded, error) {
	const sql = selectEvents +
		"WHERE org_id = ? AND topic = ? AND entity_id >= ? AND (entity_id, `partition`, `offset`) > (?, ?, ?) " +
		"AND recorded_at >= fromUnixTimestamp64Micro(?) AND recorded_at < fromUnixTimestamp64Micro(?) " +
		"ORDER BY entity_id, `partition`, `offset` " +
		"LIMIT ?"
	args := []any{
		org, string(topic), after.EntityID, after.EntityID, after.Partition, after.Offset,
		projections.StoredTime(since).UnixMicro(), projections.StoredTime(until).UnixMicro(), limit,
	}
	var list []event.Recorded
	err := s.query(ctx, sql, args, func(r driver.Rows) error {
		e, err := scanEvent(r)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading events of %s in ClickHouse: %w", topic, err)
	}
	return list, nil
}

// Outcomes returns what the delivery log says of deliveries to a webhook.
func (s *Store) Outcomes(ctx context.Context, org, webhookID string, wanted []projections.DeliveryKey) (map[string]projections.DeliveryOutcome, error) {
	found := make(map[string]projections.DeliveryOutcome, len(wanted))
	if len(wanted) == 0 {
		return found, nil
	}
	first, last := int64(math.MaxInt64), int64(math.MinInt64)
	keys, err := ext.NewTable("wanted", ext.Column("delivery_id", "String"))
	if err != nil {
		return nil, err
	}
	for _, k := range wanted {
		at := projections.StoredTime(k.EventAt).UnixMicro()
		first, last = min(first, at), max(last, at)
		if err := keys.Append(k.ID); err != nil {
			return nil, err
		}
	}
	const where = `
WHERE org_id = ? AND webhook_id = ?
  AND event_at >= fromUnixTimestamp64Micro(?) AND event_at <= fromUnixTimestamp64Micro(?)
  AND delivery_id IN (SELECT delivery_id FROM wanted)`
	const sql = `
SELECT delivery_id, status, reason, attempts, last_attempt_at, delivery_id NOT IN (
    SELECT delivery_id
    FROM delivery_attempts` + where + ` AND replay_id = ''
    UNION ALL
    SELECT delivery_id
    FROM delivery_outcomes` + where + ` AND replay_id = ''
) AS replayed
FROM deliveries` + where
	args := []any{org, webhookID, first, last}
	err = s.query(ch.Context(ctx, ch.WithExternalTable(keys)), sql, slices.Concat(args, args, args), func(r driver.Rows) error {
		var id, status string
		var o projections.DeliveryOutcome
		var attempts uint64
		var replayed uint8
		var at *time.Time
		if err := r.Scan(&id, &status, &o.Reason, &attempts, &at, &replayed); err != nil {
			return err
		}
		o.Status, o.Attempts, o.Replayed = delivery.Status(status), int64(attempts), replayed == 1
		if at != nil {
			o.LastAttemptAt = at.UTC()
		}
		found[id] = o
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading deliveries of %s: %w", webhookID, err)
	}
	return found, nil
}

// LoggedBetween counts the deliveries to a webhook, of events recorded in
// [since, until), that the delivery log knows. What only a replay sent was not
// owed.
func (s *Store) LoggedBetween(ctx context.Context, org, webhookID string, since, until time.Time) (int64, error) {
	const where = " WHERE org_id = ? AND webhook_id = ? AND event_at >= fromUnixTimestamp64Micro(?) AND event_at < fromUnixTimestamp64Micro(?) AND replay_id = ''"
	const sql = "SELECT uniqExact(delivery_id) FROM (" +
		"SELECT delivery_id FROM delivery_attempts" + where + " UNION ALL SELECT delivery_id FROM delivery_outcomes" + where + ")"
	args := []any{org, webhookID, projections.StoredTime(since).UnixMicro(), projections.StoredTime(until).UnixMicro()}
	var n uint64
	if err := s.row(ctx, sql, append(args, args...), &n); err != nil {
		return 0, fmt.Errorf("counting deliveries of %s: %w", webhookID, err)
	}
	return int64(n), nil
}
