package readmodel

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/projections"
)

// monthOf is the beginning of a time's month, UTC.
func monthOf(t time.Time) time.Time {
	t = t.UTC()
	return time.Date(t.Year(), t.Month(), 1, 0, 0, 0, 0, time.UTC)
}

func partitionName(history string, month time.Time) string {
	return history + month.Format("_200601")
}

// One process makes a partition while the others wait. It is made apart and
// attached: CREATE TABLE … PARTITION OF would lock out the readers.
const makePartition = `
DO $$
BEGIN
  PERFORM pg_advisory_xact_lock(hashtextextended('trunkline partition %[1]s', 0));
  IF to_regclass('%[1]s') IS NULL THEN
    CREATE TABLE %[1]s (LIKE %[2]s INCLUDING ALL);
    ALTER TABLE %[2]s ATTACH PARTITION %[1]s FOR VALUES FROM ('%[3]s') TO ('%[4]s');
  END IF;
END $$`

// ensureMonths makes the history partitions that rows need. Names and bounds
// come from our own numbers only.
func (s *Store) ensureMonths(ctx context.Context, history string, rows []projections.HistoryRow) error {
	var last time.Time
	for _, r := range rows {
		month := monthOf(r.RecordedAt)
		if month.Equal(last) {
			continue
		}
		last = month
		name := partitionName(history, month)
		s.mu.Lock()
		_, known := s.months[name]
		s.mu.Unlock()
		if known {
			continue
		}
		const bound = "2006-01-02 15:04:05+00"
		sql := fmt.Sprintf(makePartition, name, history, month.Format(bound), month.AddDate(0, 1, 0).Format(bound))
		if _, err := s.pool.Exec(ctx, sql); err != nil {
			return fmt.Errorf("making the partition %s: %w", name, err)
		}
		s.mu.Lock()
		s.months[name] = struct{}{}
		s.mu.Unlock()
	}
	return nil
}

// forgetMonth is called when a partition was dropped.
func (s *Store) forgetMonth(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.months, name)
}

func (s *Store) forgetMonths() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.months)
}
