package readmodel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/projections"
	"trunkline.dev/trunkline/projections/appliertest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	appliertest.Run(t, func(t *testing.T) appliertest.Harness {
		r := newRig(t)
		return appliertest.Harness{
			Store: r.store, Rows: r.rows, Duplicates: readmodel.NewDuplicates(r.pool),
			Create: func(ctx context.Context, model string) (projections.Generation, error) {
				return r.models[model].Create(ctx)
			},
		}
	})
}

// rows dumps a generation.
func (r *rig) rows(ctx context.Context, ref projections.Ref) ([]string, error) {
	m := modelOf(ref.Model)
	tables := []string{m.Table}
	if m.History != "" {
		tables = append(tables, m.History)
	}
	if m.Extra != nil {
		tables = append(tables, m.Extra.Table)
	}
	var all []string
	for _, table := range tables {
		sql := fmt.Sprintf(`SELECT '%s ' || t::text FROM %s_g%d t`, table, table, ref.Generation)
		lines, err := r.lines(ctx, sql)
		if err != nil {
			return nil, err
		}
		all = append(all, lines...)
	}
	const parked = `
SELECT concat_ws(' ', 'parked', topic, partition, "offset", org_id, entity_id, event_id, reason, behind, fault, envelope, data)
FROM parked_events
WHERE projection = $1 AND generation = $2`
	lines, err := r.lines(ctx, parked, ref.Model, ref.Generation)
	if err != nil {
		return nil, err
	}
	all = append(all, lines...)
	slices.Sort(all)
	return all, nil
}

func (r *rig) lines(ctx context.Context, sql string, args ...any) ([]string, error) {
	rows, err := r.pool.Query(ctx, sql, args...)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

func modelOf(name string) projections.Model {
	all := projections.Models()
	return all[slices.IndexFunc(all, func(m projections.Model) bool { return m.Name == name })]
}

func TestDeclaredColumnsAreMigrated(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	for _, m := range projections.Models() {
		for _, c := range m.Columns {
			var null string
			sql := fmt.Sprintf("SELECT '' FROM (SELECT %s FROM %s LIMIT 0) t", c.Name, m.Table)
			if err := r.pool.QueryRow(t.Context(), sql).Scan(&null); err != nil && !errors.Is(err, pgx.ErrNoRows) {
				t.Errorf("column %s of %s: %v", c.Name, m.Table, err)
			}
		}
	}
}
