// Package outbox brings events that were written into a table, in the
// transaction that they speak of, to the log: at least once, under the ids that
// they got there, and by one process at a time.
package outbox

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
)

// Table is the SQL of one outbox. Its rows are known by two numbers.
type Table struct {
	// Waits tells whether there is a row: what an idle hub asks.
	Waits string
	// Lock takes the advisory lock of those who forward, for a transaction, and
	// tells whether it did.
	Lock string
	// Select returns the numbers and the event of the oldest $1 rows.
	Select string
	// Delete deletes the rows with the numbers $1::bigint[], $2::int[].
	Delete string
}

// Forward hands the oldest events, at most limit, to a function that appends
// them, and deletes them when it returned nil. It returns how many they were,
// and 0 while another process forwards.
func Forward(ctx context.Context, pool *pgxpool.Pool, t Table, limit int, to func(context.Context, []event.Event) error) (int, error) {
	var waits bool
	if err := pool.QueryRow(ctx, t.Waits).Scan(&waits); err != nil || !waits {
		return 0, err
	}
	tx, err := pool.Begin(ctx)
	if err != nil {
		return 0, err
	}
	defer func() { _ = tx.Rollback(context.WithoutCancel(ctx)) }()
	var ours bool
	if err := tx.QueryRow(ctx, t.Lock).Scan(&ours); err != nil || !ours {
		return 0, err
	}
	rows, err := tx.Query(ctx, t.Select, limit)
	if err != nil {
		return 0, err
	}
	var (
		events []event.Event
		majors []int64
		minors []int
		major  int64
		minor  int
		text   []byte
	)
	_, err = pgx.ForEachRow(rows, []any{&major, &minor, &text}, func() error {
		var e event.Event
		if err := json.Unmarshal(text, &e); err != nil {
			return fmt.Errorf("reading outbox entry %d/%d: %w", major, minor, err)
		}
		events, majors, minors = append(events, e), append(majors, major), append(minors, minor)
		return nil
	})
	if err != nil || len(events) == 0 {
		return 0, err
	}
	if err := to(ctx, events); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, t.Delete, majors, minors); err != nil {
		return 0, err
	}
	return len(events), tx.Commit(ctx)
}
