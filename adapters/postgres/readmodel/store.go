// Package readmodel keeps the folded read models in Postgres, and reads them:
// the store that the projector writes through, the generations of each model,
// and the queries of the API. The log is the truth; every table here can be
// dropped and is built again. Its one invariant: the rows of a generation are
// the effect of exactly the events below its checkpoints.
package readmodel

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgerr"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Store implements projections.Store on Postgres.
type Store struct {
	pool   *pgxpool.Pool
	owner  string
	models map[string]projections.Model

	mu     sync.Mutex
	tables map[projections.Ref]*tables
	months map[string]struct{}
}

var _ projections.Store = (*Store)(nil)

// NewStore returns a store of the given read models. owner names this process
// in the checkpoints, for the operator.
func NewStore(pool *pgxpool.Pool, models []projections.Model, owner string) *Store {
	s := &Store{
		pool: pool, owner: owner, models: make(map[string]projections.Model, len(models)),
		tables: make(map[projections.Ref]*tables), months: make(map[string]struct{}),
	}
	for _, m := range models {
		s.models[m.Name] = m
	}
	return s
}

func (s *Store) of(ref projections.Ref) (*tables, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t, ok := s.tables[ref]; ok {
		return t, nil
	}
	m, ok := s.models[ref.Model]
	if !ok {
		return nil, fmt.Errorf("%w: %q", projections.ErrUnknownProjection, ref.Model)
	}
	t := tablesOf(m, ref.Generation)
	s.tables[ref] = t
	return t, nil
}

// patience bounds each call to a database that answers nothing at all; the
// projector claims anew then. A commit waits for a switch for three seconds.
const patience = 30 * time.Second

// The row lock on the generation orders a claim and a switch: a generation that
// was just retired cannot be claimed.
const claimSQL = `
WITH writable AS (
  SELECT 1
  FROM generations
  WHERE projection = $1 AND generation = $2 AND status <> 'retired'
  FOR SHARE
)
INSERT INTO checkpoints AS c (projection, generation, topic, partition, next, epoch, revision, owner)
SELECT $1, $2, $3, $4, 0, 1, 0, $5
FROM writable
ON CONFLICT (projection, generation, topic, partition)
DO UPDATE SET epoch = c.epoch + 1, owner = EXCLUDED.owner
RETURNING next, recorded_at, epoch, revision`

const skippedSQL = `
SELECT "offset"
FROM skipped_events
WHERE projection = $1 AND topic = $2 AND partition = $3 AND "offset" >= $4`

const recentSQL = `
SELECT ids
FROM recent_events
WHERE projection = $1 AND generation = $2 AND topic = $3 AND partition = $4
ORDER BY from_offset`

// Claim implements projections.Store.
func (s *Store) Claim(ctx context.Context, ref projections.Ref, topic event.Topic, partition int) (projections.Tenure, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var t projections.Tenure
	var recordedAt *time.Time
	err := s.pool.QueryRow(ctx, claimSQL, ref.Model, ref.Generation, topic, partition, s.owner).Scan(&t.Next, &recordedAt, &t.Epoch, &t.Revision)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return t, projections.ErrRetired
	case err != nil:
		return t, fmt.Errorf("taking the checkpoint: %w", err)
	}
	t.Last = projections.Mark{Partition: partition, Offset: t.Next - 1, RecordedAt: dbtime.From(recordedAt)}
	t.Skipped, err = skipped(ctx, s.pool, ref.Model, topic, partition, t.Next)
	if err != nil || s.models[ref.Model].History != "" {
		return t, err
	}
	rows, err := s.pool.Query(ctx, recentSQL, ref.Model, ref.Generation, topic, partition)
	if err != nil {
		return t, fmt.Errorf("reading recent ids: %w", err)
	}
	ids, err := pgx.CollectRows(rows, pgx.RowTo[[]byte])
	if err != nil {
		return t, fmt.Errorf("reading recent ids: %w", err)
	}
	for _, b := range ids {
		t.Recent = append(t.Recent, unpackSeen(b)...)
	}
	return t, nil
}

func skipped(ctx context.Context, q querier, model string, topic event.Topic, partition int, from int64) (map[int64]struct{}, error) {
	rows, err := q.Query(ctx, skippedSQL, model, topic, partition, from)
	if err != nil {
		return nil, fmt.Errorf("reading skipped events: %w", err)
	}
	offsets, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("reading skipped events: %w", err)
	}
	all := make(map[int64]struct{}, len(offsets))
	for _, o := range offsets {
		all[o] = struct{}{}
	}
	return all, nil
}

const parkedIDsSQL = `
SELECT p.org_id, p.entity_id, p.event_id
FROM unnest($3::text[], $4::text[]) AS k (org_id, entity_id)
JOIN parked_events p ON p.projection = $1 AND p.generation = $2 AND p.org_id = k.org_id AND p.entity_id = k.entity_id
ORDER BY p.topic, p.partition, p."offset"`

// Load implements projections.Store.
func (s *Store) Load(ctx context.Context, ref projections.Ref, keys []projections.Key) (map[projections.Key]projections.Loaded, error) {
	t, err := s.of(ref)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	orgs, ids := split(keys)
	found := make(map[projections.Key]projections.Loaded) // most that are asked for are new
	var b pgx.Batch
	b.Queue(t.written.planned(t.loadSQL), orgs, ids).Query(func(rows pgx.Rows) error { return scanLoaded(rows, found) })
	b.Queue(parkedIDsSQL, ref.Model, ref.Generation, orgs, ids).Query(func(rows pgx.Rows) error { return scanParkedIDs(rows, found) })
	if err := s.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("loading %d rows of %s: %w", len(keys), t.main, err)
	}
	return found, nil
}

func scanLoaded(rows pgx.Rows, into map[projections.Key]projections.Loaded) error {
	for rows.Next() {
		var k projections.Key
		var l projections.Loaded
		var recent []byte
		var partition int
		err := rows.Scan(&k.Org, &k.ID, &l.Version, &l.State, &recent, &partition, &l.First.Offset, &l.First.RecordedAt, &l.Last.Offset, &l.Last.RecordedAt)
		if err != nil {
			return err
		}
		l.First.Partition, l.Last.Partition = partition, partition
		l.First.RecordedAt, l.Last.RecordedAt = l.First.RecordedAt.UTC(), l.Last.RecordedAt.UTC()
		l.Recent = unpackHashes(recent)
		into[k] = l
	}
	return rows.Err()
}

func scanParkedIDs(rows pgx.Rows, into map[projections.Key]projections.Loaded) error {
	var k projections.Key
	var id string
	_, err := pgx.ForEachRow(rows, []any{&k.Org, &k.ID, &id}, func() error {
		l := into[k]
		l.Parked = append(l.Parked, id)
		into[k] = l
		return nil
	})
	return err
}

// Repeats implements projections.Store.
func (s *Store) Repeats(ctx context.Context, ref projections.Ref, asks []projections.Ask) (map[projections.Ask]bool, error) {
	t, err := s.of(ref)
	if err != nil {
		return nil, err
	}
	// Before the patience begins: an index takes as long as the history is large.
	if err := s.makeAskable(ctx, t); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	orgs, ids, events := make([]string, len(asks)), make([]string, len(asks)), make([]string, len(asks))
	since, n := make([]time.Time, len(asks)), make([]int32, len(asks))
	for i, a := range asks {
		orgs[i], ids[i], events[i], since[i], n[i] = a.Org, a.ID, a.EventID, a.Since, int32(i)
	}
	rows, err := s.pool.Query(ctx, t.written.planned(t.repeatsSQL), orgs, ids, events, since, n)
	if err != nil {
		return nil, fmt.Errorf("asking %s for repeats: %w", t.history, err)
	}
	found, err := pgx.CollectRows(rows, pgx.RowTo[int32])
	if err != nil {
		return nil, fmt.Errorf("asking %s for repeats: %w", t.history, err)
	}
	all := make(map[projections.Ask]bool, len(found))
	for _, i := range found {
		all[asks[i]] = true
	}
	return all, nil
}

// Generations implements projections.Store.
func (s *Store) Generations(ctx context.Context, model string) ([]projections.Generation, error) {
	rows, err := s.pool.Query(ctx, `SELECT generation, status FROM generations WHERE projection = $1 ORDER BY generation`, model)
	if err != nil {
		return nil, fmt.Errorf("listing generations of %s: %w", model, err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowToStructByPos[projections.Generation])
	if err != nil {
		return nil, fmt.Errorf("listing generations of %s: %w", model, err)
	}
	return all, nil
}

// refused turns an error about a value into ErrRefused.
func refused(err error) error {
	if pg, ok := pgerr.Refused(err); ok {
		return fmt.Errorf("%w: %s (%s)", projections.ErrRefused, pg.Message, pg.Code)
	}
	return err
}
