package readmodel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

const parkedSQL = `
SELECT topic, partition, "offset", reason, behind, fault, envelope, data
FROM parked_events
WHERE projection = $1 AND generation = $2
  AND ($3::text IS NULL OR (org_id = $3 AND entity_id = $4))
  AND (topic, partition, "offset") > ($5::text, $6::integer, $7::bigint)
ORDER BY topic, partition, "offset"
LIMIT $8`

// Parked implements projections.Store.
func (s *Store) Parked(ctx context.Context, ref projections.Ref, q projections.ParkedQuery) ([]projections.Parked, error) {
	var org, id *string
	if q.Key != nil {
		org, id = &q.Key.Org, &q.Key.ID
	}
	var limit *int
	if q.Limit > 0 {
		limit = &q.Limit
	}
	after := q.After
	if after == (event.Position{}) {
		after.Offset = -1
	}
	rows, err := s.pool.Query(ctx, parkedSQL, ref.Model, ref.Generation, org, id, after.Topic, after.Partition, after.Offset, limit)
	if err != nil {
		return nil, fmt.Errorf("listing parked events of %s: %w", ref.Model, err)
	}
	all, err := pgx.CollectRows(rows, scanParked)
	if err != nil {
		return nil, fmt.Errorf("listing parked events of %s: %w", ref.Model, err)
	}
	return all, nil
}

func scanParked(row pgx.CollectableRow) (projections.Parked, error) {
	var p projections.Parked
	var envelope string
	var fault bool
	var data []byte
	err := row.Scan(&p.Position.Topic, &p.Position.Partition, &p.Position.Offset, &p.Reason, &p.Behind, &fault, &envelope, &data)
	if err != nil {
		return p, err
	}
	p.Envelope, err = decodeEnvelope(envelope)
	if err != nil {
		return p, err
	}
	p.Data = data
	if fault {
		p.Fault = errors.New(p.Reason)
	}
	return p, nil
}

// Every generation's projector has to look again: the skip list is theirs too.
const reviseSQL = `
UPDATE checkpoints
SET revision = revision + 1
WHERE projection = $1 AND topic = $2 AND partition = $3`

const expectSQL = `
SELECT "offset"
FROM parked_events
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4 AND org_id = $5 AND entity_id = $6
ORDER BY "offset"`

const releaseSQL = `
DELETE FROM parked_events
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4 AND "offset" = ANY ($5)`

const skipSQL = `
INSERT INTO skipped_events (projection, topic, partition, "offset", event_id, reason, actor, skipped_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
ON CONFLICT DO NOTHING`

// amend writes an operator's change up to, not including, the commit. The row
// lock on the checkpoint keeps the projector out meanwhile.
func (s *Store) amend(ctx context.Context, conn *pgxpool.Conn, t *tables, ref projections.Ref, b projections.Batch) error {
	if _, err := conn.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	if _, err := conn.Exec(ctx, reviseSQL, ref.Model, b.Topic, b.Partition); err != nil {
		return err
	}
	rows, err := conn.Query(ctx, expectSQL, ref.Model, ref.Generation, b.Topic, b.Partition, b.Amend.Org, b.Amend.ID)
	if err != nil {
		return err
	}
	have, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return err
	}
	named := b.Amend.Key != projections.Key{}
	if named && !slices.Equal(have, b.Amend.Expect) {
		return projections.ErrRevised
	}
	var batch pgx.Batch
	s.queueRows(&batch, t, ref, b, b.Entities)
	batch.Queue(releaseSQL, ref.Model, ref.Generation, b.Topic, b.Partition, b.Amend.Release)
	if k := b.Amend.Skip; k != nil {
		batch.Queue(skipSQL, ref.Model, k.Position.Topic, k.Position.Partition, k.Position.Offset, k.EventID, k.Reason, k.Actor, k.At)
	}
	if err := conn.SendBatch(ctx, &batch).Close(); err != nil {
		return err
	}
	return copyHistory(ctx, conn.Conn().PgConn(), t, b.History)
}
