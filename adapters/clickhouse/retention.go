package clickhouse

import (
	"context"
	"fmt"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// mortal are the columns of delivery_attempts that have a time to live.
var mortal = []string{"request_headers", "request_body", "response_headers", "response_body"}

// lives returns the time to live in days of each table of attempts.
func (s *Store) lives(ctx context.Context) (map[string]int, error) {
	const sql = `
SELECT name, toInt64(extract(create_table_query, 'toIntervalDay\\(([0-9]+)\\)'))
FROM system.tables
WHERE database = ? AND match(name, '^delivery_attempts_g[0-9]+$')`
	found := make(map[string]int)
	err := s.query(ctx, sql, []any{s.database}, func(r driver.Rows) error {
		var name string
		var days int64
		if err := r.Scan(&name, &days); err != nil {
			return err
		}
		found[name] = int(days)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the times to live: %w", err)
	}
	return found, nil
}

// shortestLife is the one that all generations are compared by.
func (s *Store) shortestLife(ctx context.Context) (int, error) {
	lives, err := s.lives(ctx)
	if err != nil {
		return 0, err
	}
	shortest := s.cfg.BodyDays
	for _, days := range lives {
		shortest = min(shortest, days)
	}
	return shortest, nil
}

// retain brings the times to live of existing tables to the setting.
func (s *Store) retain(ctx context.Context) error {
	lives, err := s.lives(ctx)
	if err != nil {
		return err
	}
	for table, days := range lives {
		if days == s.cfg.BodyDays {
			continue
		}
		for _, column := range mortal {
			sql := fmt.Sprintf("ALTER TABLE %s MODIFY COLUMN %s TTL toDateTime(recorded_at) + INTERVAL %d DAY",
				quoteName(table), column, s.cfg.BodyDays)
			if err := s.exec(ctx, sql); err != nil {
				return fmt.Errorf("changing the time to live of %s: %w", table, err)
			}
		}
	}
	return nil
}
