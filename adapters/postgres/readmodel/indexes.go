package readmodel

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/answer"
)

// A generation is built without the indexes that only readers use: to sort all
// keys once costs a fraction of putting each into its place, the more so when
// the index no longer fits the memory. What the projector itself looks up by is
// there from the start: the entities' key. The history's event ids are when it
// first asks for one (Repeats).

// Complete implements projections.Completer: it makes what is missing, one index
// at a time. The projectors' commits wait meanwhile.
func (g *Generations) Complete(ctx context.Context, generation int) error {
	ctx = answer.Long(ctx)
	for _, s := range g.shapes() {
		missing, err := g.missing(ctx, g.store.pool, s, generation)
		if err != nil {
			return fmt.Errorf("listing the indexes of %s: %w", s.of(generation), err)
		}
		for range missing {
			// Another process may do the same: each looks again when it is its turn.
			if err := g.inTx(ctx, "indexing", func(tx pgx.Tx) error { return g.index(ctx, tx, s, generation) }); err != nil {
				return err
			}
		}
	}
	return nil
}

// index makes the first of the missing indexes.
func (g *Generations) index(ctx context.Context, tx pgx.Tx, s shape, generation int) error {
	missing, err := g.missing(ctx, tx, s, generation)
	if err != nil || len(missing) == 0 {
		return err
	}
	_, err = tx.Exec(ctx, missing[0])
	return err
}

// The names that LIKE gives to indexes and those made by missing are the same:
// the table's name, then what the shape's index has behind the shape's.
const indexesSQL = `
SELECT c.relname, pg_get_indexdef(i.indexrelid), i.indisprimary, pg_get_constraintdef(k.oid)
FROM pg_index i
JOIN pg_class c ON c.oid = i.indexrelid
LEFT JOIN pg_constraint k ON k.conindid = i.indexrelid AND k.contype = 'p' AND k.conrelid = i.indrelid
WHERE i.indrelid = to_regclass($1)
ORDER BY i.indisprimary, c.relname`

type index struct {
	name, definition string
	primary          bool
	constraint       *string
}

func indexes(ctx context.Context, q querier, table string) ([]index, error) {
	rows, err := q.Query(ctx, indexesSQL, table)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (index, error) {
		var i index
		err := row.Scan(&i.name, &i.definition, &i.primary, &i.constraint)
		return i, err
	})
}

// missing returns the statements that give a table the indexes of its shape.
func (g *Generations) missing(ctx context.Context, q querier, s shape, generation int) ([]string, error) {
	wanted, err := indexes(ctx, q, s.like)
	if err != nil {
		return nil, err
	}
	made, err := indexes(ctx, q, s.of(generation))
	if err != nil {
		return nil, err
	}
	table := s.of(generation)
	have := make(map[string]bool, len(made))
	primary := false
	for _, i := range made {
		have[i.name] = true
		primary = primary || i.primary
	}
	var missing []string
	for _, i := range wanted {
		name := strings.Replace(i.name, s.like, table, 1)
		switch {
		case i.primary && !primary:
			missing = append(missing, fmt.Sprintf("ALTER TABLE %s ADD CONSTRAINT %s %s", table, name, *i.constraint))
		case !i.primary && !have[name]:
			missing = append(missing, strings.ReplaceAll(i.definition, s.like, table))
		}
	}
	return missing, nil
}

// primaryKey is the statement that gives a table the key of its shape.
func primaryKey(ctx context.Context, tx pgx.Tx, s shape, generation int) (string, error) {
	all, err := indexes(ctx, tx, s.like)
	if err != nil {
		return "", err
	}
	for _, i := range all {
		if i.primary {
			return fmt.Sprintf("ALTER TABLE %s ADD %s", s.of(generation), *i.constraint), nil
		}
	}
	return "", fmt.Errorf("%s has no primary key", s.like)
}

// makeAskable gives the history of a generation the index that Repeats uses.
// Most builds never ask: only an entity of more events than it remembers does.
// Where the index is there it waits for nobody who makes others.
func (s *Store) makeAskable(ctx context.Context, t *tables) error {
	if t.askable.Load() {
		return nil
	}
	index := t.history + "_event_id_idx"
	var made bool
	if err := s.pool.QueryRow(ctx, "SELECT to_regclass($1) IS NOT NULL", index).Scan(&made); err != nil {
		return fmt.Errorf("looking for the index of %s: %w", t.history, err)
	}
	if !made {
		g := &Generations{store: s, model: t.model}
		err := g.inTx(answer.Long(ctx), "indexing the event ids", func(tx pgx.Tx) error {
			_, err := tx.Exec(answer.Long(ctx), fmt.Sprintf("CREATE INDEX IF NOT EXISTS %s ON %s (event_id)", index, t.history))
			return err
		})
		if err != nil {
			return err
		}
	}
	t.askable.Store(true)
	return nil
}
