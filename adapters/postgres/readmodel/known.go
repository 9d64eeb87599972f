package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Known implements commands.Known: an entity that is not found at once may be
// in the log and not yet in the read model, so the answer "no" is given only
// after the read model has come to where the log ended when it was asked.
type Known struct {
	reader   *Reader
	ends     projections.Ends
	progress projections.Progress
	patience time.Duration
}

var _ commands.Known = (*Known)(nil)

// KnownPatience is the usual bound of the wait of Known.
const KnownPatience = time.Second

// NewKnown returns a Known that waits for the read model at most so long.
func NewKnown(r *Reader, ends projections.Ends, progress projections.Progress, patience time.Duration) *Known {
	return &Known{reader: r, ends: ends, progress: progress, patience: patience}
}

// Subject implements commands.Known. When the read model does not catch up in
// time it fails, with an error that is context.DeadlineExceeded: no is an
// answer that must be right.
func (k *Known) Subject(ctx context.Context, org string, topic event.Topic, id string) (bool, error) {
	_, table, err := historyOf(topic)
	if err != nil {
		return false, err
	}
	return k.waiting(ctx, topic, func(ctx context.Context, r *Reader) (bool, error) {
		_, _, err := r.known(ctx, topic, table, org, id)
		if errors.Is(err, ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	})
}

// waiting looks for something, and where it is not found once more when the read model
// has come to where the log ends.
func (k *Known) waiting(ctx context.Context, topic event.Topic, find func(context.Context, *Reader) (bool, error)) (bool, error) {
	look := func(have ...event.Position) (found bool, err error) {
		err = k.reader.having(ctx, have, func(r *Reader) error {
			found, err = find(ctx, r)
			return err
		})
		return found, err
	}
	found, err := look()
	if found || err != nil {
		return found, err
	}
	ends, err := k.ends.Ends(ctx, topic)
	if err != nil {
		return false, fmt.Errorf("asking where %s ends: %w", topic, err)
	}
	var last []event.Position
	for partition, end := range ends[topic] {
		if end > 0 {
			last = append(last, event.Position{Topic: topic, Partition: partition, Offset: end - 1})
		}
	}
	wait, cancel := context.WithTimeout(ctx, k.patience)
	defer cancel()
	err = projections.Reach(wait, k.progress, last, func() (err error) {
		found, err = look(last...)
		return err
	})
	return found, err
}

// Duplicates implements projections.Duplicates.
type Duplicates struct{ pool *pgxpool.Pool }

var _ projections.Duplicates = Duplicates{}

// NewDuplicates returns the list of what stands in the log twice.
func NewDuplicates(pool *pgxpool.Pool) Duplicates { return Duplicates{pool: pool} }

const duplicatesSQL = `
SELECT "offset"
FROM duplicates
WHERE topic = $1 AND partition = $2 AND "offset" >= $3 AND "offset" < $4`

// Duplicates implements projections.Duplicates.
func (d Duplicates) Duplicates(ctx context.Context, topic event.Topic, partition int, from, to int64) (map[int64]struct{}, error) {
	all := make(map[int64]struct{})
	var b pgx.Batch // of one connection, see having
	queueReached(&b, event.Position{Topic: topic, Partition: partition, Offset: to - 1})
	b.Queue(duplicatesSQL, topic, partition, from, to).Query(func(rows pgx.Rows) error {
		var offset int64
		_, err := pgx.ForEachRow(rows, []any{&offset}, func() error {
			all[offset] = struct{}{}
			return nil
		})
		return err
	})
	if err := d.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("listing duplicates of %s/%d: %w", topic, partition, err)
	}
	return all, nil
}
