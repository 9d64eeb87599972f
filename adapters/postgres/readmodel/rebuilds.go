package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/projections"
)

// Rebuilds implements projections.Rebuilds. It speaks of projections of any
// store.
type Rebuilds struct{ pool *pgxpool.Pool }

var _ projections.Rebuilds = Rebuilds{}

// NewRebuilds returns the store of rebuilds.
func NewRebuilds(pool *pgxpool.Pool) Rebuilds { return Rebuilds{pool: pool} }

// Get implements projections.Rebuilds. Generation 0 is a lease without a
// rebuild.
func (s Rebuilds) Get(ctx context.Context, projection string) (projections.Rebuild, bool, error) {
	const sql = `
SELECT projection, generation, stage, auto_switch, detail, started_at, changed_at
FROM rebuilds
WHERE projection = $1 AND generation > 0`
	var b projections.Rebuild
	err := s.pool.QueryRow(ctx, sql, projection).Scan(&b.Projection, &b.Generation, &b.Stage, &b.AutoSwitch, &b.Detail, &b.StartedAt, &b.ChangedAt)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return b, false, nil
	case err != nil:
		return b, false, fmt.Errorf("reading the rebuild of %s: %w", projection, err)
	}
	b.StartedAt, b.ChangedAt = b.StartedAt.UTC(), b.ChangedAt.UTC()
	return b, true, nil
}

// Put implements projections.Rebuilds.
func (s Rebuilds) Put(ctx context.Context, b projections.Rebuild) error {
	const sql = `
INSERT INTO rebuilds AS r (projection, generation, stage, auto_switch, detail, started_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (projection) DO UPDATE
SET generation = EXCLUDED.generation, stage = EXCLUDED.stage, auto_switch = EXCLUDED.auto_switch, detail = EXCLUDED.detail,
  started_at = EXCLUDED.started_at, changed_at = EXCLUDED.changed_at,
  lease_until = CASE WHEN $8 THEN r.lease_until ELSE '-infinity' END`
	_, err := s.pool.Exec(ctx, sql, b.Projection, b.Generation, b.Stage, b.AutoSwitch, b.Detail, b.StartedAt, b.ChangedAt, b.Moves())
	if err != nil {
		return fmt.Errorf("storing the rebuild of %s: %w", b.Projection, err)
	}
	return nil
}

// Lease implements projections.Rebuilds. The database's clock decides, so that
// processes need not agree on theirs.
func (s Rebuilds) Lease(ctx context.Context, projection, owner string, d time.Duration) (bool, error) {
	const sql = `
INSERT INTO rebuilds AS r (projection, generation, stage, auto_switch, detail, started_at, changed_at, lease_owner, lease_until)
VALUES ($1, 0, 'dropped', false, '', now(), now(), $2, now() + make_interval(secs => $3))
ON CONFLICT (projection) DO UPDATE
SET lease_owner = EXCLUDED.lease_owner, lease_until = EXCLUDED.lease_until
WHERE r.lease_owner = EXCLUDED.lease_owner OR r.lease_until < now()`
	tag, err := s.pool.Exec(ctx, sql, projection, owner, d.Seconds())
	if err != nil {
		return false, fmt.Errorf("leasing the rebuild of %s: %w", projection, err)
	}
	return tag.RowsAffected() == 1, nil
}
