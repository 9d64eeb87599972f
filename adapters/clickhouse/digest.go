package clickhouse

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/projections"
)

// Digest returns, for each table of a generation, the number of its logical
// rows and a hash of every column of every row, independent of their order: a
// sum and a parity of the hashes of the rows, so that a row that stands twice
// changes it. Columns with a time to live count as empty from the beginning of
// the day on which they end, because merges empty them when they get to it.
func (s *Sink) Digest(ctx context.Context, generation int) ([]projections.TableDigest, error) {
	if _, err := s.store.find(ctx, s.model, generation); err != nil {
		return nil, err
	}
	var list []projections.TableDigest
	for _, t := range s.tables {
		d, err := s.digest(ctx, t, generation)
		if err != nil {
			return nil, fmt.Errorf("computing the digest of %s: %w", t.name, err)
		}
		list = append(list, d)
	}
	return list, nil
}

func (s *Sink) digest(ctx context.Context, t logicalTable, generation int) (projections.TableDigest, error) {
	name := t.name + "_" + suffix(generation)
	columns, err := s.columns(ctx, name)
	if err != nil {
		return projections.TableDigest{}, err
	}
	final := ""
	if !t.gated {
		final = " FINAL"
	}
	// tuple, because a hash of a bare NULL is NULL.
	sql := fmt.Sprintf(`
SELECT count(), sum(hash), groupBitXor(hash)
FROM
(
    SELECT sipHash64(tuple(%s)) AS hash
    FROM %s%s
)`, strings.Join(columns, ", "), quoteName(name), final)
	var rows, sum, parity uint64
	if err := s.store.row(ctx, sql, nil, &rows, &sum, &parity); err != nil {
		return projections.TableDigest{}, err
	}
	return projections.TableDigest{Table: t.name, Rows: int64(rows), Hash: fmt.Sprintf("%016x%016x", sum, parity)}, nil
}

// columns are the expressions that are hashed.
func (s *Sink) columns(ctx context.Context, table string) ([]string, error) {
	days, err := s.store.shortestLife(ctx)
	if err != nil {
		return nil, err
	}
	const sql = `
SELECT name
FROM system.columns
WHERE database = ? AND table = ?
ORDER BY position`
	var list []string
	err = s.store.query(ctx, sql, []any{s.store.database, table}, func(r driver.Rows) error {
		var name string
		if err := r.Scan(&name); err != nil {
			return err
		}
		expr := quoteName(name)
		if slices.Contains(mortal, name) && strings.HasPrefix(table, "delivery_attempts_") {
			expr = fmt.Sprintf("if(toDate(recorded_at) + %d <= today(), '', %s)", days, expr)
		}
		list = append(list, expr)
		return nil
	})
	return list, err
}
