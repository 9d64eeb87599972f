package clickhouse

import (
	"log/slog"
	"testing"

	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// When a process takes hundreds of partitions at a time, all of them ask at the same
// moments. Whoever waited five seconds for a connection was refused by the driver, and
// the partition was claimed anew, with more questions.
func TestWhoWaitsForAConnectionIsNotRefused(t *testing.T) {
	t.Parallel()
	s, err := Open(Config{URL: testenv.ClickHouse(t).URL(), BodyDays: 20_000, MaxConns: 1, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	var asking errgroup.Group
	for range 3 {
		asking.Go(func() error {
			return s.row(t.Context(), "SELECT sleep(2.9)", nil, new(uint8))
		})
	}
	must(t, asking.Wait())
}
