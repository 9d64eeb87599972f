// Package dbtime says what time it is, and how a time that may be unknown stands in the
// database: the zero time is NULL.
package dbtime

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// NowSQL asks the database what time it is: of what one hub wrote and another reads,
// whose machines need not agree, its clock says when it is due.
const NowSQL = `
SELECT clock_timestamp()`

// Now asks a pool or a transaction.
func Now(ctx context.Context, of interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
},
) (now time.Time, err error) {
	if err := of.QueryRow(ctx, NowSQL).Scan(&now); err != nil {
		return time.Time{}, fmt.Errorf("asking the database for the time: %w", err)
	}
	return now.UTC(), nil
}

// From reads NULL as the zero time, and a time in UTC.
func From(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.UTC()
}

// To writes the zero time as NULL.
func To(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
