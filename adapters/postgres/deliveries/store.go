// Package deliveries keeps what is owed to receivers in Postgres: the
// checkpoints of planning, the unfinished deliveries and the health that
// endpoints are judged by. It is dispatch.Store and dispatch.Unfinished.
//
// It decides nothing. Its one invariant: checkpoint, rows and health of a batch
// are durable together, and only for the owner of the partition.
package deliveries

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// Store is a store in the database of a pool. It is safe for concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	sealer Sealer
}

var (
	_ dispatch.Store      = (*Store)(nil)
	_ dispatch.Unfinished = (*Store)(nil)
)

// New returns a store over a migrated database. Without a sealer there are no
// replays to receivers of their own.
func New(pool *pgxpool.Pool, sealer Sealer) *Store { return &Store{pool: pool, sealer: sealer} }

// Claim implements dispatch.Store. It waits for the disk, unlike Commit: an
// epoch that a crash of Postgres took back would be given out twice.
func (s *Store) Claim(ctx context.Context, p dispatch.Partition) (dispatch.Claimed, error) {
	var c dispatch.Claimed
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		var recordedAt *time.Time
		err := tx.QueryRow(ctx, claimSQL, p.Topic, p.ID).Scan(&c.Epoch, &c.Next, &recordedAt)
		if err != nil {
			return err
		}
		c.RecordedAt = dbtime.From(recordedAt)
		if c.Backlogs, err = backlogs(ctx, tx, p); err != nil {
			return err
		}
		c.Cancels, err = cancels(ctx, tx, undecidedSQL, dispatch.Ownership{Partition: p, Epoch: c.Epoch})
		return err
	})
	if err != nil {
		return dispatch.Claimed{}, fmt.Errorf("claiming deliveries of %s/%d: %w", p.Topic, p.ID, err)
	}
	return c, nil
}

// errFenced rolls a commit back.
var errFenced = errors.New("fenced")

// Commit implements dispatch.Store. It does not wait for the disk: if Postgres
// crashes, checkpoint and rows go back together, and the log is planned again.
func (s *Store) Commit(ctx context.Context, b dispatch.Batch) (fenced []dispatch.Partition, health map[string]delivery.Health, err error) {
	err = pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		done := false
		fenced, done, err = move(ctx, tx, b.Parts)
		if err != nil {
			return err
		}
		if len(fenced) > 0 {
			return errFenced
		}
		if done {
			health, err = readHealth(ctx, tx, endpointsOf(b.Health))
			return err
		}
		if err := write(ctx, tx, b.Parts); err != nil {
			return err
		}
		health, err = mergeHealth(ctx, tx, b.Health)
		return err
	})
	if errors.Is(err, errFenced) {
		return fenced, nil, nil
	}
	if isRefusal(err) {
		err = s.refused(ctx, b, err)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("committing deliveries: %w", err)
	}
	return nil, health, nil
}

// move advances the checkpoints, or tells which of them it could not; done says
// that the batch was committed before.
func move(ctx context.Context, tx pgx.Tx, parts []dispatch.Part) (fenced []dispatch.Partition, done bool, err error) {
	batch := &pgx.Batch{}
	batch.Queue("SET LOCAL synchronous_commit = off")
	var a partArrays
	for _, p := range parts {
		a.add(p)
	}
	if len(parts) > 0 {
		batch.Queue(moveSQL, a.topics, a.ids, a.epochs, a.seqs, a.froms, a.tos, a.recorded)
	}
	results := tx.SendBatch(ctx, batch)
	defer func() { err = errors.Join(err, results.Close()) }()
	if _, err := results.Exec(); err != nil || len(parts) == 0 {
		return nil, false, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, false, err
	}
	moved, err := pgx.CollectRows(rows, func(r pgx.CollectableRow) (p dispatch.Partition, err error) {
		return p, r.Scan(&p.Topic, &p.ID)
	})
	if err != nil || len(moved) == len(parts) {
		return nil, false, err
	}
	if err := results.Close(); err != nil {
		return nil, false, err
	}
	var before []dispatch.Partition
	rows, err = tx.Query(ctx, movedSQL, a.topics, a.ids, a.epochs, a.seqs, a.tos)
	if err != nil {
		return nil, false, err
	}
	if before, err = pgx.CollectRows(rows, func(r pgx.CollectableRow) (p dispatch.Partition, err error) {
		return p, r.Scan(&p.Topic, &p.ID)
	}); err != nil {
		return nil, false, err
	}
	if len(moved) == 0 && len(before) == len(parts) {
		return nil, true, nil
	}
	if len(moved) == 0 {
		// The batch was committed before, and some of its partitions were taken since.
		moved = before
	}
	for _, p := range parts {
		if !slices.Contains(moved, p.Partition) {
			fenced = append(fenced, p.Partition)
		}
	}
	return fenced, false, nil
}

type partArrays struct {
	topics                   []string
	ids                      []int
	epochs, seqs, froms, tos []int64
	recorded                 []*time.Time
}

func (a *partArrays) add(p dispatch.Part) {
	a.topics, a.ids = append(a.topics, string(p.Topic)), append(a.ids, p.ID)
	a.epochs, a.seqs = append(a.epochs, p.Epoch), append(a.seqs, p.Seq)
	a.froms, a.tos, a.recorded = append(a.froms, p.From), append(a.tos, p.To), append(a.recorded, dbtime.To(p.RecordedAt))
}

// write brings the rows of a batch to where they should be, in one round trip unless
// there are very many, and one for what is deleted: only the rows know their keys.
func write(ctx context.Context, tx pgx.Tx, parts []dispatch.Part) error {
	batch := &pgx.Batch{}
	var deletes endArrays
	var updates rowArrays
	var inserts chunks
	var freed keyArrays
	var marks markArrays
	for _, p := range parts {
		marks.add(p)
		for _, o := range p.Delete {
			deletes.add(o)
		}
		for _, o := range p.Update {
			if err := updates.add(o, false); err != nil {
				return err
			}
			if o.OrderKey != o.EntityKey() {
				freed.add(o, o.EntityKey())
				// It goes on alone, even if what was before it goes with this batch.
				freed.add(o, o.OrderKey)
			}
		}
		first := make(map[string]bool)
		for _, o := range p.Insert {
			key := o.EndpointID + "/" + o.OrderKey
			if err := inserts.add(o, !first[key]); err != nil {
				return err
			}
			first[key] = true
		}
	}
	if err := deletes.run(ctx, tx, &freed); err != nil {
		return err
	}
	if len(updates.keys) > 0 {
		batch.Queue(updateSQL, updates.update()...)
	}
	for i, rows := range inserts.all {
		if i > 0 {
			if err := tx.SendBatch(ctx, batch).Close(); err != nil {
				return err
			}
			batch = &pgx.Batch{}
		}
		batch.Queue(insertSQL, rows.insert()...)
	}
	if len(freed.endpoints) > 0 {
		batch.Queue(promoteSQL, freed.topics, freed.ids, freed.endpoints, freed.keys)
	}
	marks.queue(batch)
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, batch).Close()
}

// promote lets the first rows of keys go. Who offered a row may have seen one
// before it that a commit was just deleting, and that commit did not see the new
// row: so the owner looks once more when it is told.
func promote(ctx context.Context, tx executor, k keyArrays) error {
	_, err := tx.Exec(ctx, promoteSQL, k.topics, k.ids, k.endpoints, k.keys)
	return err
}
