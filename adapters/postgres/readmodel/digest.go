package readmodel

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/answer"
	"trunkline.dev/trunkline/projections"
)

// Digest implements projections.Generations: the sum of a hash of each row's
// text, so that the order does not matter. History below the hot window of any
// generation is left out of all, because it may be dropped in one and not yet in
// another.
func (g *Generations) Digest(ctx context.Context, generation int) ([]projections.TableDigest, error) {
	ctx = answer.Long(ctx)
	var all []projections.TableDigest
	err := pgx.BeginTxFunc(ctx, g.store.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		from, err := g.historyFrom(ctx, tx)
		if err != nil {
			return err
		}
		for _, s := range g.shapes() {
			where := ""
			if s.table == g.model.History {
				where = "WHERE t.recorded_at >= " + quoteTime(from)
			}
			d, err := digest(ctx, tx, s.table, s.of(generation), where)
			if err != nil {
				return err
			}
			all = append(all, d)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("digesting generation %d of %s: %w", generation, g.model.Name, err)
	}
	return all, nil
}

func digest(ctx context.Context, tx pgx.Tx, name, table, where string) (projections.TableDigest, error) {
	d := projections.TableDigest{Table: name}
	sql := fmt.Sprintf("SELECT count(*), coalesce(sum(hashtextextended(t::text, 0)::numeric), 0)::text\nFROM %s t\n%s", table, where)
	err := tx.QueryRow(ctx, sql).Scan(&d.Rows, &d.Hash)
	return d, err
}

func (g *Generations) historyFrom(ctx context.Context, tx pgx.Tx) (time.Time, error) {
	var from *time.Time
	if err := tx.QueryRow(ctx, `SELECT max(history_from) FROM generations WHERE projection = $1`, g.model.Name).Scan(&from); err != nil || from == nil {
		return time.Time{}, err
	}
	return *from, nil
}

func quoteTime(t time.Time) string {
	if t.IsZero() {
		return "'-infinity'"
	}
	return "'" + t.UTC().Format("2006-01-02 15:04:05.999999+00") + "'"
}

// maxDifferences bounds how many rows Compare describes per table.
const maxDifferences = 5

// Compare implements projections.Comparer. One snapshot shows both generations
// and their checkpoints. A row that one of them has changed beyond the other's
// checkpoint says nothing and is left out of both.
func (g *Generations) Compare(ctx context.Context, a, b int) (projections.Comparison, error) {
	ctx = answer.Long(ctx)
	var c projections.Comparison
	err := pgx.BeginTxFunc(ctx, g.store.pool, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		common, err := g.common(ctx, tx, a, b)
		if err != nil {
			return err
		}
		from, err := g.historyFrom(ctx, tx)
		if err != nil {
			return err
		}
		for _, s := range g.shapes() {
			q := g.comparing(s, common, from)
			if err := q.run(ctx, tx, &c, s.table, s.of(a), s.of(b), g.mainOf(a), g.mainOf(b)); err != nil {
				return err
			}
		}
		return g.compareParked(ctx, tx, &c, common, a, b)
	})
	if err != nil {
		return projections.Comparison{}, fmt.Errorf("comparing generations %d and %d of %s: %w", a, b, g.model.Name, err)
	}
	return c, nil
}

func (g *Generations) mainOf(generation int) string {
	return fmt.Sprintf("%s_g%d", g.model.Table, generation)
}

// common is a VALUES list of each partition and the lower of the checkpoints.
func (g *Generations) common(ctx context.Context, tx pgx.Tx, a, b int) (string, error) {
	const sql = `
SELECT coalesce(string_agg(format('(%s, %s::bigint)', partition, next), ', '), '(-1, 0::bigint)')
FROM (
  SELECT partition, CASE WHEN count(*) = 2 THEN min(next) ELSE 0 END AS next
  FROM checkpoints
  WHERE projection = $1 AND generation IN ($2, $3)
  GROUP BY partition
) c`
	var values string
	err := tx.QueryRow(ctx, sql, g.model.Name, a, b).Scan(&values)
	return values, err
}

// comparison says how rows of a table are chosen and named.
type comparison struct {
	settled string // condition on t and its generation's other tables; %[1]s is the other generation's entity table
	key     []string
}

func (g *Generations) comparing(s shape, common string, from time.Time) comparison {
	switch s.table {
	case g.model.History:
		return comparison{
			settled: fmt.Sprintf(`EXISTS (SELECT 1 FROM (VALUES %s) AS c (partition, next) WHERE c.partition = t.partition AND t."offset" < c.next) AND t.recorded_at >= %s`, common, quoteTime(from)),
			key:     []string{"org_id", "entity_id", "version"},
		}
	case g.model.Table:
		return comparison{
			settled: fmt.Sprintf(`EXISTS (SELECT 1 FROM (VALUES %[1]s) AS c (partition, next) WHERE c.partition = t.log_partition AND t.last_offset < c.next)
  AND NOT EXISTS (SELECT 1 FROM %%[1]s o JOIN (VALUES %[1]s) AS c (partition, next) ON c.partition = o.log_partition WHERE o.org_id = t.org_id AND o.id = t.id AND o.last_offset >= c.next)`, common),
			key: []string{"org_id", "id"},
		}
	default:
		x := g.model.Extra
		key := []string{"org_id", x.Entity}
		for _, k := range x.Keys {
			key = append(key, k.Name)
		}
		touched := `NOT EXISTS (SELECT 1 FROM %%[%[2]d]s o JOIN (VALUES %[1]s) AS c (partition, next) ON c.partition = o.log_partition WHERE o.org_id = t.org_id AND o.id = t.%[3]s AND o.last_offset >= c.next)`
		return comparison{
			settled: fmt.Sprintf(touched, common, 1, x.Entity) + "\n  AND " + fmt.Sprintf(touched, common, 2, x.Entity),
			key:     key,
		}
	}
}

func (q comparison) run(ctx context.Context, tx pgx.Tx, c *projections.Comparison, name, a, b, mainA, mainB string) error {
	condition := func(own, other string) string {
		if strings.Contains(q.settled, "%[2]s") {
			return fmt.Sprintf(q.settled, other, own)
		}
		if strings.Contains(q.settled, "%[1]s") {
			return fmt.Sprintf(q.settled, other)
		}
		return q.settled
	}
	whereA, whereB := condition(mainA, mainB), condition(mainB, mainA)
	da, err := digest(ctx, tx, name, a, "WHERE "+whereA)
	if err != nil {
		return err
	}
	db, err := digest(ctx, tx, name, b, "WHERE "+whereB)
	if err != nil {
		return err
	}
	t := projections.TableComparison{Table: name, A: da, B: db}
	c.Tables = append(c.Tables, t)
	if da.Rows == db.Rows && da.Hash == db.Hash {
		return nil
	}
	return q.describe(ctx, tx, c, name, a, b, whereA, whereB)
}

// describe says in words which rows differ, first by key, and where.
func (q comparison) describe(ctx context.Context, tx pgx.Tx, c *projections.Comparison, name, a, b, whereA, whereB string) error {
	key := strings.Join(q.key, ", ")
	sql := fmt.Sprintf(`
SELECT to_jsonb(x), to_jsonb(y)
FROM (SELECT * FROM %[1]s t WHERE %[2]s) x
FULL JOIN (SELECT * FROM %[3]s t WHERE %[4]s) y USING (%[5]s)
WHERE x::text IS DISTINCT FROM y::text
ORDER BY %[5]s
LIMIT %[6]d`, a, whereA, b, whereB, key, maxDifferences)
	rows, err := tx.Query(ctx, sql)
	if err != nil {
		return err
	}
	var x, y map[string]any
	_, err = pgx.ForEachRow(rows, []any{&x, &y}, func() error {
		c.Differences = append(c.Differences, difference(name, q.key, a, b, x, y))
		x, y = nil, nil
		return nil
	})
	return err
}

func (g *Generations) compareParked(ctx context.Context, tx pgx.Tx, c *projections.Comparison, common string, a, b int) error {
	t := projections.TableComparison{Table: "parked_events"}
	for generation, d := range map[int]*projections.TableDigest{a: &t.A, b: &t.B} {
		sql := fmt.Sprintf(`
SELECT count(*), coalesce(sum(hashtextextended(p.topic || p.partition || '@' || p."offset" || p.reason, 0)::numeric), 0)::text
FROM parked_events p
JOIN (VALUES %s) AS c (partition, next) ON c.partition = p.partition AND p."offset" < c.next
WHERE p.projection = $1 AND p.generation = $2`, common)
		d.Table = t.Table
		if err := tx.QueryRow(ctx, sql, g.model.Name, generation).Scan(&d.Rows, &d.Hash); err != nil {
			return err
		}
	}
	c.Tables = append(c.Tables, t)
	if t.A != t.B {
		c.Differences = append(c.Differences, fmt.Sprintf("parked_events: generation %d has %d parked events, generation %d has %d, or for other reasons", a, t.A.Rows, b, t.B.Rows))
	}
	return nil
}
