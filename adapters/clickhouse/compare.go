package clickhouse

import (
	"context"
	"fmt"
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

var (
	_ projections.Comparer      = (*Sink)(nil)
	_ projections.ParkedCounter = (*Sink)(nil)
	_ projections.ParkedLister  = (*Sink)(nil)
)

// maxDifferences bounds how many rows Compare describes per table.
const maxDifferences = 5

// Compare compares two generations while both go on. Only what both have is
// compared: the rows of events below the lower checkpoint of each partition,
// and the states whose last event lies there in both. A state that one of them
// has carried on meanwhile says nothing about the other.
func (s *Sink) Compare(ctx context.Context, a, b int) (projections.Comparison, error) {
	var c projections.Comparison
	for _, g := range []int{a, b} {
		if _, err := s.store.find(ctx, s.model, g); err != nil {
			return c, err
		}
	}
	common, err := s.common(ctx, a, b)
	if err != nil {
		return c, fmt.Errorf("comparing generations %d and %d of %s: %w", a, b, s.model, err)
	}
	for _, t := range s.tables {
		if err := s.compare(ctx, t, common, a, b, &c); err != nil {
			return c, fmt.Errorf("comparing %s of generations %d and %d: %w", t.name, a, b, err)
		}
	}
	return c, nil
}

// common is an expression for the offset below which both generations have all
// of a row's partition.
func (s *Sink) common(ctx context.Context, a, b int) (string, error) {
	ca, err := s.Checkpoints(ctx, a)
	if err != nil {
		return "", err
	}
	cb, err := s.Checkpoints(ctx, b)
	if err != nil {
		return "", err
	}
	arms := []string{"0"}
	for _, topic := range s.topics {
		for partition, next := range ca[topic] {
			arms = append(arms, fmt.Sprintf("if(topic = '%s' AND `partition` = %d, %d, 0)", topic, partition, min(next, cb[topic][partition])))
		}
	}
	// A sum of one arm that holds and zeros; a partition that one of them has not
	// begun has nothing in common.
	return strings.Join(arms, " + "), nil
}

// compare adds the comparison of one table. Each side is read once, and rows
// that are left out are left out of both.
func (s *Sink) compare(ctx context.Context, t logicalTable, common string, a, b int, into *projections.Comparison) error {
	side := func(g int) (string, error) {
		table := t.name + "_" + suffix(g)
		columns, err := s.columns(ctx, table)
		if err != nil {
			return "", err
		}
		return fmt.Sprintf("SELECT %s AS k, sipHash64(tuple(%s)) AS h, %d AS g, `offset` < (%s) AS settled FROM %s%s",
			t.key(), strings.Join(columns, ", "), g, t.below(common), quoteName(table), t.final()), nil
	}
	sideA, err := side(a)
	if err != nil {
		return err
	}
	sideB, err := side(b)
	if err != nil {
		return err
	}
	sql := fmt.Sprintf(`
SELECT sumIf(na, settled), sumIf(nb, settled), groupBitXorIf(ha, settled), groupBitXorIf(hb, settled),
       groupArrayIf(%d)(toString(k), settled AND (na != nb OR ha != hb))
FROM
(
    SELECT k, countIf(g = %d) AS na, countIf(g = %d) AS nb, sumIf(h, g = %d) AS ha, sumIf(h, g = %d) AS hb, min(x.settled) AS settled
    FROM (%s UNION ALL %s) AS x
    GROUP BY k
)`, maxDifferences, a, b, a, b, sideA, sideB)
	return s.store.query(ctx, sql, nil, func(r driver.Rows) error {
		var na, nb, ha, hb uint64
		var differ []string
		if err := r.Scan(&na, &nb, &ha, &hb, &differ); err != nil {
			return err
		}
		into.Tables = append(into.Tables, projections.TableComparison{
			Table: t.name,
			A:     projections.TableDigest{Table: t.name, Rows: int64(na), Hash: fmt.Sprintf("%016x", ha)},
			B:     projections.TableDigest{Table: t.name, Rows: int64(nb), Hash: fmt.Sprintf("%016x", hb)},
		})
		for _, k := range differ {
			into.Differences = append(into.Differences, fmt.Sprintf("%s %s differs, or is in one generation only", t.name, k))
		}
		return nil
	})
}

// key names a row in both generations.
func (t logicalTable) key() string {
	switch t.name {
	case "calls":
		return "tuple(org_id, call_id)"
	case "agent_states":
		// By agent, not by interval: the next event may begin an interval.
		return "tuple(org_id, agent_id)"
	}
	return "tuple(topic, `partition`, `offset`)"
}

// below is the bound of a row's offset. Rows of states carry no topic: each kind
// of state has its own.
func (t logicalTable) below(common string) string {
	switch t.name {
	case "calls":
		return strings.ReplaceAll(common, "topic = ", "'"+string(event.Calls)+"' = ")
	case "agent_states":
		return strings.ReplaceAll(common, "topic = ", "'"+string(event.Agents)+"' = ")
	}
	return common
}

func (t logicalTable) final() string {
	if t.gated {
		return ""
	}
	return " FINAL"
}
