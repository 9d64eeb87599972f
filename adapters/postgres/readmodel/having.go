package readmodel

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// querier is a pool, or one connection of it.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// having runs read with a reader that has the effect of the events at the
// positions; ErrBehind if the live generations have not come so far. All goes
// over one connection: a Postgres that is killed goes back to what it had
// flushed, but no connection outlives it, so what was seen on one stays true of
// it.
func (r *Reader) having(ctx context.Context, have []event.Position, read func(*Reader) error) error {
	b := newReached(have)
	if b == nil {
		return read(r)
	}
	return pgx.BeginTxFunc(ctx, r.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		rows, err := tx.Query(ctx, notReachedSQL, b.args()...)
		if err == nil {
			err = b.check(rows)
		}
		if err != nil {
			return err
		}
		on := *r
		on.db = tx
		return read(&on)
	})
}

// queueReached makes a batch fail with ErrBehind as having does: it goes over one
// connection, so what it reads after that has the effect of the events.
func queueReached(b *pgx.Batch, have ...event.Position) {
	if want := newReached(have); want != nil {
		b.Queue(notReachedSQL, want.args()...).Query(want.check)
	}
}

// reached are positions to be looked for among the checkpoints.
type reached struct {
	projections, topics []string
	partitions          []int
	offsets             []int64
}

// newReached returns nil when there is nothing to look for.
func newReached(positions []event.Position) *reached {
	r := new(reached)
	for _, at := range positions {
		if name := projections.Of(at.Topic); name != "" {
			r.projections, r.topics = append(r.projections, name), append(r.topics, string(at.Topic))
			r.partitions, r.offsets = append(r.partitions, at.Partition), append(r.offsets, at.Offset)
		}
	}
	if len(r.topics) == 0 {
		return nil
	}
	return r
}

func (r *reached) args() []any { return []any{r.projections, r.topics, r.partitions, r.offsets} }

// notReachedSQL finds the positions that are not reached.
const notReachedSQL = `
SELECT n.topic, n.partition, n."offset", coalesce(c.next, 0)
FROM unnest($1::text[], $2::text[], $3::int[], $4::bigint[]) AS n (projection, topic, partition, "offset")
LEFT JOIN generations g ON g.projection = n.projection AND g.status = 'live'
LEFT JOIN checkpoints c ON c.projection = g.projection AND c.generation = g.generation AND c.topic = n.topic AND c.partition = n.partition
WHERE coalesce(c.next, 0) <= n."offset"`

// check reads what notReachedSQL found.
func (r *reached) check(rows pgx.Rows) error {
	var at event.Position
	var next int64
	var behind error
	_, err := pgx.ForEachRow(rows, []any{&at.Topic, &at.Partition, &at.Offset, &next}, func() error {
		behind = fmt.Errorf("%w: %s at %d, want %d", projections.ErrBehind, at, next, at.Offset)
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading checkpoints: %w", err)
	}
	return behind
}
