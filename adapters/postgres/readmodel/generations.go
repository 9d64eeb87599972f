package readmodel

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/answer"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Generations are the builds of one folded read model in Postgres.
type Generations struct {
	store      *Store
	model      projections.Model
	cacheBytes int
}

var (
	_ projections.Generations   = (*Generations)(nil)
	_ projections.Comparer      = (*Generations)(nil)
	_ projections.ParkedCounter = (*Generations)(nil)
	_ projections.Completer     = (*Generations)(nil)
	_ projections.Pacer         = (*Generations)(nil)
)

// AllGenerations returns the generations of each of the read models, in their
// order. cacheBytes is that of projections.NewEntityApplier.
func (s *Store) AllGenerations(models []projections.Model, cacheBytes int) []*Generations {
	all := make([]*Generations, len(models))
	for i, m := range models {
		all[i] = &Generations{store: s, model: m, cacheBytes: cacheBytes}
	}
	return all
}

// Projection implements projections.Generations.
func (g *Generations) Projection() string { return g.model.Name }

// Topics implements projections.Generations.
func (g *Generations) Topics() []event.Topic { return []event.Topic{g.model.Topic} }

// Pace implements projections.Pacer.
func (g *Generations) Pace() time.Duration { return g.model.Pace }

// List implements projections.Generations.
func (g *Generations) List(ctx context.Context) ([]projections.Generation, error) {
	return g.store.Generations(ctx, g.model.Name)
}

// Applier implements projections.Generations.
func (g *Generations) Applier(generation int) projections.Applier {
	return projections.NewEntityApplier(g.model, generation, g.store, g.cacheBytes)
}

// Ensure makes the first generation, live, where there is none yet. It is
// called at every start; several processes may call it at once.
func (g *Generations) Ensure(ctx context.Context) error {
	return g.inTx(ctx, "making the first generation", func(tx pgx.Tx) error {
		var exists bool
		if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT 1 FROM generations WHERE projection = $1)`, g.model.Name).Scan(&exists); err != nil || exists {
			return err
		}
		if err := g.makeTables(ctx, tx, 1, projections.Live); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, `INSERT INTO generations (projection, generation, status) VALUES ($1, 1, 'live')`, g.model.Name); err != nil {
			return err
		}
		return g.pointViews(ctx, tx, 1)
	})
}

// Create implements projections.Generations.
func (g *Generations) Create(ctx context.Context) (projections.Generation, error) {
	made := projections.Generation{Status: projections.Building}
	err := g.inTx(ctx, "making a generation", func(tx pgx.Tx) error {
		const next = `SELECT coalesce(max(generation), 0) + 1 FROM generations WHERE projection = $1`
		if err := tx.QueryRow(ctx, next, g.model.Name).Scan(&made.Number); err != nil {
			return err
		}
		if err := g.makeTables(ctx, tx, made.Number, projections.Building); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `INSERT INTO generations (projection, generation, status) VALUES ($1, $2, 'building')`, g.model.Name, made.Number)
		return err
	})
	return made, err
}

// inTx runs f alone among the processes that change this model's generations.
// A long query of somebody else must not make all others wait behind a view:
// the change gives up instead, and is asked for again.
func (g *Generations) inTx(ctx context.Context, act string, f func(pgx.Tx) error) error {
	err := pgx.BeginFunc(ctx, g.store.pool, func(tx pgx.Tx) error {
		// Another may hold it for as long as an index takes.
		if _, err := tx.Exec(answer.Long(ctx), `SELECT pg_advisory_xact_lock(hashtextextended('trunkline generations ' || $1, 0))`, g.model.Name); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SET LOCAL lock_timeout = '4s'"); err != nil {
			return err
		}
		return f(tx)
	})
	if err != nil {
		return fmt.Errorf("%s of %s: %w", act, g.model.Name, err)
	}
	return nil
}

// shapes are the tables of a generation and what they are made like.
func (g *Generations) shapes() []shape {
	all := []shape{{g.model.Table, g.model.Table + "_shape", " WITH (fillfactor = 85)"}}
	if g.model.History != "" {
		all = append(all, shape{g.model.History, "history_shape", " PARTITION BY RANGE (recorded_at)"})
	}
	if x := g.model.Extra; x != nil {
		all = append(all, shape{x.Table, x.Table + "_shape", " WITH (fillfactor = 85)"})
	}
	return all
}

type shape struct{ table, like, options string }

func (s shape) of(generation int) string { return fmt.Sprintf("%s_g%d", s.table, generation) }

// makeTables makes the empty tables of a generation, without the indexes that
// only readers use if it is to be built first.
func (g *Generations) makeTables(ctx context.Context, tx pgx.Tx, generation int, status projections.GenerationStatus) error {
	for _, s := range g.shapes() {
		bare := ""
		if status == projections.Building {
			bare = " EXCLUDING INDEXES"
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE TABLE %s (LIKE %s INCLUDING ALL%s)%s", s.of(generation), s.like, bare, s.options)); err != nil {
			return err
		}
		if status != projections.Building || s.table == g.model.History {
			continue
		}
		key, err := primaryKey(ctx, tx, s, generation)
		if err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, key); err != nil {
			return err
		}
	}
	return nil
}

// pointViews makes the views show a generation. They list their columns, so
// that a statement prepared before gives the same columns after.
func (g *Generations) pointViews(ctx context.Context, tx pgx.Tx, generation int) error {
	for _, s := range g.shapes() {
		columns, err := columnsOf(ctx, tx, s.of(generation))
		if err != nil {
			return err
		}
		list := strings.Join(columns, ", ")
		if s.table == g.model.History {
			list += fmt.Sprintf(", '%s'::text AS topic", g.model.Topic)
		}
		if _, err := tx.Exec(ctx, fmt.Sprintf("CREATE OR REPLACE VIEW %s AS SELECT %s FROM %s", s.table, list, s.of(generation))); err != nil {
			return err
		}
	}
	return nil
}

func columnsOf(ctx context.Context, tx pgx.Tx, table string) ([]string, error) {
	const sql = `
SELECT quote_ident(attname)
FROM pg_attribute
WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped
ORDER BY attnum`
	rows, err := tx.Query(ctx, sql, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// Checkpoints implements projections.Generations.
func (g *Generations) Checkpoints(ctx context.Context, generation int) (map[event.Topic]map[int]int64, error) {
	const sql = `SELECT topic, partition, next FROM checkpoints WHERE projection = $1 AND generation = $2`
	rows, err := g.store.pool.Query(ctx, sql, g.model.Name, generation)
	if err != nil {
		return nil, fmt.Errorf("reading checkpoints of %s: %w", g.model.Name, err)
	}
	all := make(map[event.Topic]map[int]int64)
	var topic event.Topic
	var partition int
	var next int64
	_, err = pgx.ForEachRow(rows, []any{&topic, &partition, &next}, func() error {
		if all[topic] == nil {
			all[topic] = make(map[int]int64)
		}
		all[topic][partition] = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading checkpoints of %s: %w", g.model.Name, err)
	}
	return all, nil
}

// catchUp bounds how long a switch holds the live generation for the new one.
const catchUp = 3 * time.Second

// ErrBehind says that a generation has not come as far as the live one.
var ErrBehind = errors.New("the generation is behind the live one")

// Switch implements projections.Generations. The live generation's checkpoints
// are locked until the new one has come as far, so that nobody sees less after
// the switch than before it; ErrBehind when that takes too long. A roll back to
// a retired generation does not wait: it catches up in the open.
func (g *Generations) Switch(ctx context.Context, generation int, ends map[event.Topic]map[int]int64) error {
	// Before the transaction: its locks would keep the projectors from catching up.
	if err := g.Complete(ctx, generation); err != nil {
		return err
	}
	return g.inTx(ctx, "switching", func(tx pgx.Tx) error {
		var status string
		err := tx.QueryRow(ctx, `SELECT status FROM generations WHERE projection = $1 AND generation = $2`, g.model.Name, generation).Scan(&status)
		if err != nil {
			return fmt.Errorf("finding generation %d: %w", generation, err)
		}
		if projections.GenerationStatus(status) == projections.Live {
			return nil
		}
		if status == string(projections.Building) {
			if err := g.awaitEqual(ctx, tx, generation, ends); err != nil {
				return err
			}
		}
		// The epoch ends the tenures of the former one: it cannot run ahead of what
		// is shown now while its projectors have not heard yet.
		for _, sql := range []string{
			`UPDATE checkpoints c SET epoch = epoch + 1 FROM generations g
			WHERE g.projection = $1 AND g.status = 'live' AND c.projection = g.projection AND c.generation = g.generation AND g.generation <> $2`,
			`UPDATE generations SET status = 'retired' WHERE projection = $1 AND status = 'live' AND generation <> $2`,
			`UPDATE generations SET status = 'live' WHERE projection = $1 AND generation = $2`,
		} {
			if _, err := tx.Exec(ctx, sql, g.model.Name, generation); err != nil {
				return err
			}
		}
		return g.pointViews(ctx, tx, generation)
	})
}

const lockLiveSQL = `
SELECT c.generation
FROM checkpoints c
JOIN generations g ON g.projection = c.projection AND g.generation = c.generation
WHERE g.projection = $1 AND g.status = 'live'
FOR UPDATE OF c`

// behindSQL: least leaves out what is NULL.
const behindSQL = `
SELECT count(*)
FROM checkpoints l
JOIN generations g ON g.projection = l.projection AND g.generation = l.generation AND g.status = 'live'
LEFT JOIN checkpoints n ON n.projection = l.projection AND n.generation = $2 AND n.topic = l.topic AND n.partition = l.partition
LEFT JOIN unnest($3::text[], $4::int[], $5::bigint[]) AS e (topic, partition, upto) ON e.topic = l.topic AND e.partition = l.partition
WHERE l.projection = $1 AND coalesce(n.next, 0) < least(l.next, e.upto)`

func (g *Generations) awaitEqual(ctx context.Context, tx pgx.Tx, generation int, ends map[event.Topic]map[int]int64) error {
	var topics []string
	var partitions []int
	var upto []int64
	for topic, parts := range ends {
		for partition, end := range parts {
			topics, partitions, upto = append(topics, string(topic)), append(partitions, partition), append(upto, end)
		}
	}
	if _, err := tx.Exec(ctx, lockLiveSQL, g.model.Name); err != nil {
		return err
	}
	late := time.NewTimer(catchUp)
	defer late.Stop()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		var behind int
		if err := tx.QueryRow(ctx, behindSQL, g.model.Name, generation, topics, partitions, upto).Scan(&behind); err != nil {
			return err
		}
		if behind == 0 {
			return nil
		}
		select {
		case <-late.C:
			return ErrBehind
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// Drop implements projections.Generations.
func (g *Generations) Drop(ctx context.Context, generation int) error {
	ctx = answer.Long(ctx)
	return g.inTx(ctx, "dropping a generation", func(tx pgx.Tx) error {
		tag, err := tx.Exec(ctx, `DELETE FROM generations WHERE projection = $1 AND generation = $2 AND status <> 'live'`, g.model.Name, generation)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return fmt.Errorf("generation %d is live or unknown", generation)
		}
		for _, table := range []string{"checkpoints", "parked_events", "recent_events"} {
			if _, err := tx.Exec(ctx, fmt.Sprintf("DELETE FROM %s WHERE projection = $1 AND generation = $2", table), g.model.Name, generation); err != nil {
				return err
			}
		}
		for _, s := range g.shapes() {
			if _, err := tx.Exec(ctx, "DROP TABLE "+s.of(generation)); err != nil {
				return err
			}
		}
		return nil
	})
}

// ParkedCount implements projections.ParkedCounter.
func (g *Generations) ParkedCount(ctx context.Context) (int64, error) {
	const sql = `
SELECT count(*)
FROM parked_events p
JOIN generations g ON g.projection = p.projection AND g.generation = p.generation AND g.status = 'live'
WHERE p.projection = $1`
	var n int64
	if err := g.store.pool.QueryRow(ctx, sql, g.model.Name).Scan(&n); err != nil {
		return 0, fmt.Errorf("counting parked events of %s: %w", g.model.Name, err)
	}
	return n, nil
}
