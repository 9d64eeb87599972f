package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// copyFrom is the number of rows from which COPY is cheaper than an INSERT that
// rides along with the other statements.
const copyFrom = 60

// The compare-and-set. It comes first, so that a former owner learns its fate
// before it has written anything.
const advanceSQL = `
UPDATE checkpoints
SET next = $7, recorded_at = CASE WHEN next = $7 THEN recorded_at ELSE $8 END
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4 AND next = $5 AND epoch = $6 AND revision = $9`

const duplicateSQL = `
INSERT INTO duplicates (topic, partition, "offset", org_id, entity_id, event_id)
SELECT *
FROM unnest($1::text[], $2::integer[], $3::bigint[], $4::text[], $5::text[], $6::text[])
ON CONFLICT DO NOTHING`

const parkSQL = `
INSERT INTO parked_events (projection, generation, topic, partition, "offset", org_id, entity_id, event_id, reason, behind, fault, envelope, data)
SELECT $1, $2, u.*
FROM unnest($3::text[], $4::integer[], $5::bigint[], $6::text[], $7::text[], $8::text[], $9::text[], $10::boolean[], $11::boolean[], $12::text[], $13::bytea[]) AS u
ON CONFLICT (projection, generation, topic, partition, "offset")
DO UPDATE SET reason = EXCLUDED.reason, behind = EXCLUDED.behind`

const rememberSQL = `
INSERT INTO recent_events (projection, generation, topic, partition, from_offset, ids)
VALUES ($1, $2, $3, $4, $5, $6)`

const forgetSQL = `
DELETE FROM recent_events
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4 AND from_offset < $5`

// Commit implements projections.Store. The transaction needs no flush of its
// own: rows and checkpoint are lost together or not at all, and the log still
// has what they were made of.
func (s *Store) Commit(ctx context.Context, ref projections.Ref, b projections.Batch) error {
	t, err := s.of(ref)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if err := s.ensureMonths(ctx, t.history, b.History); err != nil {
		return refused(err)
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("getting a connection: %w", err)
	}
	defer conn.Release() // a connection inside a transaction is closed, not reused
	err = s.write(ctx, conn, t, ref, b)
	if err == nil {
		if _, err = conn.Exec(ctx, "COMMIT"); err == nil {
			t.written.by(max(len(b.Entities), len(b.History)))
			return nil
		}
	}
	rollback(ctx, conn)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == "42P01" {
		s.forgetMonths() // another process has dropped one
	}
	return refused(err)
}

// rollback has its own time: the caller's context may have ended.
func rollback(ctx context.Context, conn *pgxpool.Conn) {
	ctx, done := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer done()
	_, _ = conn.Exec(ctx, "ROLLBACK")
}

// write writes a batch up to, not including, the commit.
func (s *Store) write(ctx context.Context, conn *pgxpool.Conn, t *tables, ref projections.Ref, b projections.Batch) error {
	if b.Amend != nil {
		return s.amend(ctx, conn, t, ref, b)
	}
	fresh, known := divide(b.Entities)
	err := s.advance(ctx, conn, t, ref, b, fresh, known)
	if pgErr, ok := errors.AsType[*pgconn.PgError](err); ok && pgErr.Code == uniqueViolation && len(fresh) > 0 {
		// A producer that deals keys out in its own way has put an entity into two
		// partitions, and the other one's projector was first.
		rollback(ctx, conn)
		return s.advance(ctx, conn, t, ref, b, nil, b.Entities)
	}
	return err
}

const uniqueViolation = "23505"

// divide tells the rows that can be inserted by COPY, if that pays, from those
// that may be there already.
func divide(rows []projections.EntityRow) (fresh, known []projections.EntityRow) {
	n := 0
	for i := range rows {
		if rows[i].Fresh {
			n++
		}
	}
	switch {
	case n < copyFrom:
		return nil, rows
	case n == len(rows):
		return rows, nil
	}
	fresh, known = make([]projections.EntityRow, 0, n), make([]projections.EntityRow, 0, len(rows)-n)
	for _, r := range rows {
		if r.Fresh {
			fresh = append(fresh, r)
		} else {
			known = append(known, r)
		}
	}
	return fresh, known
}

// advance writes a projector's batch, some of the entities by COPY.
func (s *Store) advance(ctx context.Context, conn *pgxpool.Conn, t *tables, ref projections.Ref, b projections.Batch, fresh, known []projections.EntityRow) error {
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue("SET LOCAL synchronous_commit = off")
	advanced := int64(0)
	batch.Queue(advanceSQL, ref.Model, ref.Generation, b.Topic, b.Partition, b.Tenure.Next, b.Tenure.Epoch, b.Next, dbtime.To(b.RecordedAt), b.Tenure.Revision)
	s.queueRows(&batch, t, ref, b, known)
	if len(b.Recent) > 0 {
		batch.Queue(rememberSQL, ref.Model, ref.Generation, b.Topic, b.Partition, b.Tenure.Next, packSeen(b.Recent))
	}
	// Old ids are swept now and then, by offsets, so that no clock decides.
	const sweep = projections.RepeatWindow / 4
	if t.history == "" && b.Tenure.Next/sweep != b.Next/sweep {
		batch.Queue(forgetSQL, ref.Model, ref.Generation, b.Topic, b.Partition, b.Next-2*projections.RepeatWindow)
	}
	results := conn.SendBatch(ctx, &batch)
	for i := range batch.Len() {
		tag, err := results.Exec()
		if err != nil {
			_ = results.Close()
			return err
		}
		if i == 2 {
			advanced = tag.RowsAffected()
		}
	}
	if err := results.Close(); err != nil {
		return err
	}
	if advanced != 1 {
		return s.fenced(ctx, conn, ref, b)
	}
	if len(fresh) > 0 {
		err := copyRows(ctx, conn.Conn().PgConn(), t.main, mainColumns(t.model), len(fresh), func(w *rowWriter, i int) { w.entity(t.model, fresh[i]) })
		if err != nil {
			return err
		}
	}
	return copyHistory(ctx, conn.Conn().PgConn(), t, b.History)
}

// fenced tells why the compare-and-set found nothing.
func (s *Store) fenced(ctx context.Context, conn *pgxpool.Conn, ref projections.Ref, b projections.Batch) error {
	const sql = `
SELECT next, epoch, revision
FROM checkpoints
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4`
	var next, epoch, revision int64
	err := conn.QueryRow(ctx, sql, ref.Model, ref.Generation, b.Topic, b.Partition).Scan(&next, &epoch, &revision)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return projections.ErrFenced
	case err != nil:
		return err
	case next != b.Tenure.Next || epoch != b.Tenure.Epoch:
		return projections.ErrFenced
	}
	skip, err := skipped(ctx, conn, ref.Model, b.Topic, b.Partition, next)
	if err != nil {
		return err
	}
	return &projections.Revised{Revision: revision, Skipped: skip}
}

// queueRows queues what both kinds of batch write.
func (s *Store) queueRows(batch *pgx.Batch, t *tables, ref projections.Ref, b projections.Batch, entities []projections.EntityRow) {
	if len(entities) > 0 {
		batch.Queue(t.upsertSQL, entityArgs(t.model, entities)...)
	}
	if n := len(b.History); n > 0 && n < copyFrom {
		for table, rows := range byMonth(t.history, b.History) {
			batch.Queue(insertSQL(table, historyColumns), historyArgs(rows)...)
		}
	}
	if len(b.Extra) > 0 {
		batch.Queue(t.extraSQL, extraArgs(t.model.Extra, b.Extra)...)
	}
	if len(b.Duplicates) > 0 {
		batch.Queue(duplicateSQL, duplicateArgs(b.Duplicates)...)
	}
	if len(b.Parked) > 0 {
		batch.Queue(parkSQL, append([]any{ref.Model, ref.Generation}, parkedArgs(b.Parked)...)...)
	}
}

// copyHistory writes many history rows, straight into their partitions.
func copyHistory(ctx context.Context, conn *pgconn.PgConn, t *tables, rows []projections.HistoryRow) error {
	if len(rows) < copyFrom {
		return nil
	}
	for table, rows := range byMonth(t.history, rows) {
		err := copyRows(ctx, conn, table, historyColumns, len(rows), func(w *rowWriter, i int) { w.history(rows[i]) })
		if err != nil {
			return err
		}
	}
	return nil
}

// byMonth divides rows among the partitions of a history; nearly always they go
// into one.
func byMonth(history string, rows []projections.HistoryRow) map[string][]projections.HistoryRow {
	parts := make(map[string][]projections.HistoryRow, 1)
	for len(rows) > 0 {
		month, n := monthOf(rows[0].RecordedAt), 1
		for n < len(rows) && monthOf(rows[n].RecordedAt).Equal(month) {
			n++
		}
		name := partitionName(history, month)
		if parts[name] == nil {
			parts[name] = rows[:n:n]
		} else {
			parts[name] = append(parts[name], rows[:n]...)
		}
		rows = rows[n:]
	}
	return parts
}

func duplicateArgs(all []projections.Duplicate) []any {
	n := len(all)
	topics, partitions, offsets := make([]string, n), make([]int32, n), make([]int64, n)
	orgs, ids, events := make([]string, n), make([]string, n), make([]string, n)
	for i, d := range all {
		topics[i], partitions[i], offsets[i] = string(d.Position.Topic), int32(d.Position.Partition), d.Position.Offset
		orgs[i], ids[i], events[i] = d.Org, d.ID, d.EventID
	}
	return []any{topics, partitions, offsets, orgs, ids, events}
}

func parkedArgs(all []projections.Parked) []any {
	n := len(all)
	topics, partitions, offsets := make([]string, n), make([]int32, n), make([]int64, n)
	orgs, ids, events, reasons := make([]string, n), make([]string, n), make([]string, n), make([]string, n)
	behind, faults, envelopes, data := make([]bool, n), make([]bool, n), make([]string, n), make([][]byte, n)
	for i, p := range all {
		topics[i], partitions[i], offsets[i] = string(p.Position.Topic), int32(p.Position.Partition), p.Position.Offset
		k := p.Entity()
		orgs[i], ids[i], events[i] = k.Org, k.ID, projections.Clean(p.ID)
		reasons[i], behind[i], faults[i] = p.Reason, p.Behind, p.Fault != nil
		envelopes[i], data[i] = encodeEnvelope(p.Envelope), p.Data
		if data[i] == nil {
			data[i] = []byte{}
		}
	}
	return []any{topics, partitions, offsets, orgs, ids, events, reasons, behind, faults, envelopes, data}
}

// encodeEnvelope keeps what can be kept of an envelope that may be anything: a
// time outside of what JSON takes is left out.
func encodeEnvelope(e event.Envelope) string {
	b, err := event.Marshal(e)
	if err != nil {
		e.OccurredAt, e.RecordedAt = time.Time{}, time.Time{}
		b, _ = event.Marshal(e)
	}
	return string(b)
}

func decodeEnvelope(s string) (event.Envelope, error) {
	var e event.Envelope
	if err := json.Unmarshal([]byte(s), &e); err != nil {
		return e, fmt.Errorf("reading the envelope of a parked event: %w", err)
	}
	e.OccurredAt, e.RecordedAt = event.Time(e.OccurredAt), event.Time(e.RecordedAt)
	return e, nil
}
