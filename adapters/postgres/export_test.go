package postgres

import (
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// OpenWithin is Open with another limit for statements.
var OpenWithin = open

// ClockAt is a clock on a machine that says another time.
func ClockAt(pool *pgxpool.Pool, local func() time.Time) *Clock {
	return &Clock{pool: pool, local: local}
}
