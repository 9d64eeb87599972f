// Package reactor is what consumers of the log share that keep rows of their own
// beside a checkpoint and are no read models: the timers, the recordings, the
// alert rules. Its one invariant: rows and checkpoint are durable together, and
// only for the owner of a partition.
package reactor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Tenure is the ownership of one partition by a reactor. It is used by one
// goroutine at a time.
type Tenure struct {
	pool        *pgxpool.Pool
	name        string
	topic       event.Topic
	partition   int
	next, epoch int64
	last        projections.Mark
	quiet       projections.Quiet
}

// Claim makes the caller the owner of a partition; the former owner's next
// Commit fails with projections.ErrFenced. It waits for the disk, unlike Commit:
// an epoch that a crash of Postgres took back would be given out twice.
func Claim(ctx context.Context, pool *pgxpool.Pool, name, owner string, topic event.Topic, partition int) (*Tenure, error) {
	t := &Tenure{pool: pool, name: name, topic: topic, partition: partition}
	var recordedAt *time.Time
	if err := pool.QueryRow(ctx, claimSQL, name, topic, partition, owner).Scan(&t.next, &recordedAt, &t.epoch); err != nil {
		return nil, fmt.Errorf("claiming %s/%d for the %s: %w", topic, partition, name, err)
	}
	t.last = projections.Mark{Partition: partition, Offset: t.next - 1, RecordedAt: dbtime.From(recordedAt)}
	return t, nil
}

// Next is the offset to read from.
func (t *Tenure) Next() int64 { return t.next }

// Last implements projections.Session.
func (t *Tenure) Last() projections.Mark { return t.last }

// Partition is the partition that is owned.
func (t *Tenure) Partition() int { return t.partition }

// Close implements projections.Session; a tenure holds nothing.
func (*Tenure) Close() {}

// New are the events that have not had their effect.
func (t *Tenure) New(events []event.Recorded) []event.Recorded {
	for len(events) > 0 && events[0].Position.Offset < t.next {
		events = events[1:]
	}
	return events
}

// Commit makes the effect of new events durable with the checkpoint behind the
// last of them. load queues what has to be read first, in the same round trip as
// the compare-and-set, and may be nil. write has the effect. It does not wait for
// the disk: if Postgres crashes, rows and checkpoint go back together.
func (t *Tenure) Commit(ctx context.Context, events []event.Recorded, load func(*pgx.Batch), write func(context.Context, pgx.Tx) error) error {
	last := events[len(events)-1]
	return t.MoveTo(ctx, last.Position.Offset+1, last.RecordedAt, load, write)
}

// MoveTo is Commit for who folds in memory and makes it durable now and then: it
// moves the checkpoint to an offset, which may be where it is. recordedAt is that of
// the record before it, zero where it is not known.
func (t *Tenure) MoveTo(ctx context.Context, next int64, recordedAt time.Time, load func(*pgx.Batch), write func(context.Context, pgx.Tx) error) error {
	err := t.move(ctx, next, recordedAt, load, write)
	if err == nil {
		t.next = next
		t.quiet.Broken()
	}
	return err
}

func (t *Tenure) move(ctx context.Context, next int64, recordedAt time.Time, load func(*pgx.Batch), write func(context.Context, pgx.Tx) error) error {
	return pgx.BeginFunc(ctx, t.pool, func(tx pgx.Tx) error {
		moved := int64(0)
		var batch pgx.Batch
		batch.Queue("SET LOCAL synchronous_commit = off")
		// The compare-and-set comes first, so that a former owner learns its fate
		// before it has read or written anything.
		batch.Queue(advanceSQL, t.name, t.topic, t.partition, t.next, t.epoch, next, dbtime.To(recordedAt)).
			Exec(func(tag pgconn.CommandTag) error {
				moved = tag.RowsAffected()
				return nil
			})
		if load != nil {
			load(&batch)
		}
		if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
			return err
		}
		if moved != 1 {
			return projections.ErrFenced
		}
		return write(ctx, tx)
	})
}

// Confirm implements projections.Session: the compare-and-set once more.
func (t *Tenure) Confirm(ctx context.Context) error {
	if !t.quiet.Due() {
		return nil
	}
	return t.move(ctx, t.next, time.Time{}, nil, func(context.Context, pgx.Tx) error { return nil })
}

// Checkpoints returns the next offset of each partition of a topic.
func Checkpoints(ctx context.Context, pool *pgxpool.Pool, name string, topic event.Topic) (map[int]int64, error) {
	have := make(map[int]int64)
	rows, err := pool.Query(ctx, checkpointsSQL, name, topic)
	if err == nil {
		var partition int
		var next int64
		_, err = pgx.ForEachRow(rows, []any{&partition, &next}, func() error {
			have[partition] = next
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints of the %s: %w", name, err)
	}
	return have, nil
}

const (
	claimSQL = `
INSERT INTO checkpoints AS c (projection, generation, topic, partition, next, epoch, revision, owner)
VALUES ($1, 1, $2, $3, 0, 1, 0, $4)
ON CONFLICT (projection, generation, topic, partition)
DO UPDATE SET epoch = c.epoch + 1, owner = EXCLUDED.owner
RETURNING next, recorded_at, epoch`

	advanceSQL = `
UPDATE checkpoints
SET next = $6, recorded_at = CASE WHEN next = $6 THEN recorded_at ELSE $7 END
WHERE projection = $1 AND generation = 1 AND topic = $2 AND partition = $3 AND next = $4 AND epoch = $5`

	checkpointsSQL = `
SELECT partition, next
FROM checkpoints
WHERE projection = $1 AND generation = 1 AND topic = $2`
)
