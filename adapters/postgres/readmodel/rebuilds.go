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
// store. A rebuild is told from the next by when it started: the number of a
// generation that was dropped is given again.
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
INSERT INTO rebuilds (projection, generation, stage, auto_switch, detail, started_at, changed_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (projection) DO UPDATE
SET generation = EXCLUDED.generation, stage = EXCLUDED.stage, auto_switch = EXCLUDED.auto_switch, detail = EXCLUDED.detail,
  started_at = EXCLUDED.started_at, changed_at = EXCLUDED.changed_at`
	_, err := s.pool.Exec(ctx, sql, b.Projection, b.Generation, b.Stage, b.AutoSwitch, b.Detail, b.StartedAt, b.ChangedAt)
	if err != nil {
		return fmt.Errorf("storing the rebuild of %s: %w", b.Projection, err)
	}
	return nil
}

// Move implements projections.Rebuilds. The row is locked while do works, in
// whatever store: who would end the rebuild otherwise waits, and finds it moved.
func (s Rebuilds) Move(ctx context.Context, from projections.Stage, b projections.Rebuild, do func(context.Context) error) (moved bool, err error) {
	const sql = `
UPDATE rebuilds
SET stage = $4, detail = $5, changed_at = $6, lease_until = CASE WHEN $7 THEN lease_until ELSE '-infinity' END
WHERE projection = $1 AND generation = $2 AND stage = $3 AND started_at = $8`
	var done error // is not wrapped: it is not of the row
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, sql, b.Projection, b.Generation, from, b.Stage, b.Detail, b.ChangedAt, b.Moves(), b.StartedAt)
		moved = err == nil && tag.RowsAffected() == 1
		if moved && do != nil {
			done = do(ctx)
			return done
		}
		return err
	})
	switch {
	case done != nil:
		return false, done
	case err != nil:
		return false, fmt.Errorf("moving the rebuild of %s: %w", b.Projection, err)
	}
	return moved, nil
}

// Lease implements projections.Rebuilds. The database's clock decides, so that
// processes need not agree on theirs.
func (s Rebuilds) Lease(ctx context.Context, b projections.Rebuild, owner string, d time.Duration) (bool, error) {
	const sql = `
INSERT INTO rebuilds AS r (projection, generation, stage, auto_switch, detail, started_at, changed_at, lease_owner, lease_until)
VALUES ($1, 0, 'dropped', false, '', now(), now(), $4, now() + make_interval(secs => $5))
ON CONFLICT (projection) DO UPDATE
SET lease_owner = EXCLUDED.lease_owner, lease_until = EXCLUDED.lease_until
WHERE r.generation = $2 AND r.stage = $3 AND (r.generation = 0 OR r.started_at = $6) AND (r.lease_owner = EXCLUDED.lease_owner OR r.lease_until < now())`
	tag, err := s.pool.Exec(ctx, sql, b.Projection, b.Generation, b.Stage, owner, d.Seconds(), b.StartedAt)
	if err != nil {
		return false, fmt.Errorf("leasing the rebuild of %s: %w", b.Projection, err)
	}
	return tag.RowsAffected() == 1, nil
}
