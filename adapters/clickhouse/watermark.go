package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Watermark says how fresh a table is.
type Watermark struct {
	Table string
	Rows  int64
	// Newest is recorded_at of the newest event in the table (of agent_states the
	// begin of the newest interval), zero if it is empty.
	Newest time.Time
}

// Watermarks returns the freshness of the public tables. What it reads is kept
// beside the parts, so it costs the same at any size, but for the tables of
// states, whose rows are counted.
func (s *Store) Watermarks(ctx context.Context) ([]Watermark, error) {
	const sql = `
SELECT name, n, newest
FROM
(
    SELECT 'events' AS name, count() AS n, max(recorded_at) AS newest FROM events
    UNION ALL
    SELECT 'calls', count(), max(updated_at) FROM calls
    UNION ALL
    SELECT 'agent_states', count(), max(started_at) FROM agent_states
    UNION ALL
    SELECT 'delivery_attempts', count(), max(recorded_at) FROM delivery_attempts
    UNION ALL
    SELECT 'delivery_outcomes', count(), max(recorded_at) FROM delivery_outcomes
)
ORDER BY name`
	var list []Watermark
	err := s.query(ctx, sql, nil, func(r driver.Rows) error {
		var w Watermark
		var rows uint64
		if err := r.Scan(&w.Table, &rows, &w.Newest); err != nil {
			return err
		}
		if w.Rows = int64(rows); rows == 0 {
			w.Newest = time.Time{}
		}
		w.Newest = event.Time(w.Newest)
		list = append(list, w)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the watermarks of ClickHouse: %w", err)
	}
	return list, nil
}

// Archived reports whether all events of a topic that were recorded before a
// time and are below the given ends of the log are in ClickHouse, so that
// another store may forget its copy. It asks the checkpoints of the live
// analytics, not the rows: an event that is parked counts as kept.
func (s *Store) Archived(ctx context.Context, topic event.Topic, before time.Time, ends map[int]int64) (bool, error) {
	const sql = "" +
		"SELECT `partition`, max(next), argMax(recorded_at, next) " +
		"FROM sink_checkpoints " +
		"WHERE model = ? AND generation = ? AND topic = ? " +
		"GROUP BY `partition`"
	g, err := s.live(ctx, projections.AnalyticsName)
	if err != nil {
		return false, err
	}
	kept := make(map[int]bool)
	args := []any{projections.AnalyticsName, g.Number, string(topic)}
	err = s.query(ctx, sql, args, func(r driver.Rows) error {
		var partition uint16
		var next uint64
		var recorded time.Time
		if err := r.Scan(&partition, &next, &recorded); err != nil {
			return err
		}
		p := int(partition)
		kept[p] = int64(next) >= ends[p] || !recorded.Add(-clockSkew).Before(before)
		return nil
	})
	if err != nil {
		return false, fmt.Errorf("reading how far %s is in ClickHouse: %w", topic, err)
	}
	for p, end := range ends {
		if end > 0 && !kept[p] {
			return false, nil
		}
	}
	return true, nil
}

// clockSkew is how far recorded_at of two neighbours in the log may be in the
// wrong order: they may come from two hubs.
const clockSkew = time.Hour

// EventCount counts what is known of one topic of an org.
type EventCount struct {
	Topic    event.Topic
	Events   int64
	Entities int64
}

// EventCounts counts the events and entities of an org per topic, for the
// reconciliation with the log and with Postgres.
func (s *Store) EventCounts(ctx context.Context, org string) ([]EventCount, error) {
	const sql = `
SELECT topic, count(), uniqExact(entity_id)
FROM events
WHERE org_id = ?
GROUP BY topic
ORDER BY topic`
	var list []EventCount
	err := s.query(ctx, sql, []any{org}, func(r driver.Rows) error {
		var topic string
		var events, entities uint64
		if err := r.Scan(&topic, &events, &entities); err != nil {
			return err
		}
		list = append(list, EventCount{event.Topic(topic), int64(events), int64(entities)})
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting events in ClickHouse: %w", err)
	}
	return list, nil
}

// EntityEvents counts the events of each entity of a topic of an org.
func (s *Store) EntityEvents(ctx context.Context, org string, topic event.Topic) (map[string]int64, error) {
	const sql = `
SELECT entity_id, count()
FROM events
WHERE org_id = ? AND topic = ?
GROUP BY entity_id`
	counts := make(map[string]int64)
	err := s.query(ctx, sql, []any{org, string(topic)}, func(r driver.Rows) error {
		var id string
		var n uint64
		if err := r.Scan(&id, &n); err != nil {
			return err
		}
		counts[id] = int64(n)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting events per entity in ClickHouse: %w", err)
	}
	return counts, nil
}

// AttemptCount counts the attempts made to one webhook with one outcome.
type AttemptCount struct {
	WebhookID string
	Outcome   string
	Attempts  int64
	// Deliveries is how many deliveries they belong to.
	Deliveries int64
}

// AttemptCounts counts the attempts of an org per webhook and outcome.
func (s *Store) AttemptCounts(ctx context.Context, org string) ([]AttemptCount, error) {
	const sql = `
SELECT webhook_id, outcome, count(), uniqExact(delivery_id)
FROM delivery_attempts
WHERE org_id = ?
GROUP BY webhook_id, outcome
ORDER BY webhook_id, outcome`
	var list []AttemptCount
	err := s.query(ctx, sql, []any{org}, func(r driver.Rows) error {
		var c AttemptCount
		var attempts, deliveries uint64
		if err := r.Scan(&c.WebhookID, &c.Outcome, &attempts, &deliveries); err != nil {
			return err
		}
		c.Attempts, c.Deliveries = int64(attempts), int64(deliveries)
		list = append(list, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("counting attempts in ClickHouse: %w", err)
	}
	return list, nil
}
