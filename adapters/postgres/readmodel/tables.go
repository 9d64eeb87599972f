package readmodel

import (
	"fmt"
	"strings"
	"sync/atomic"

	"trunkline.dev/trunkline/projections"
)

// tables are the names and statements of one generation. Statements are put
// together once per process, from the model's declaration; no value of an event
// ever becomes part of one.
type tables struct {
	model                projections.Model
	main, history, extra string

	loadSQL, repeatsSQL string
	upsertSQL           string
	extraSQL            string

	// written counts the rows that this process has put in.
	written growth
	// askable says that the history has its index of event ids.
	askable atomic.Bool
}

func tablesOf(m projections.Model, generation int) *tables {
	name := func(table string) string { return fmt.Sprintf("%s_g%d", table, generation) }
	t := &tables{model: m, main: name(m.Table)}
	t.loadSQL = loadSQL(t.main)
	t.upsertSQL = upsertSQL(t.main, []string{"org_id", "id"}, mainColumns(m), "")
	if m.History != "" {
		t.history = name(m.History)
		t.repeatsSQL = fmt.Sprintf(`
SELECT k.n
FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::integer[]) AS k (org_id, entity_id, event_id, since, n)
WHERE EXISTS (
  SELECT 1
  FROM %s h
  WHERE h.event_id = k.event_id AND h.org_id = k.org_id AND h.entity_id = k.entity_id AND h.recorded_at >= k.since
)`, t.history)
	}
	if x := m.Extra; x != nil {
		t.extra = name(x.Table)
		key, all := []string{"org_id", x.Entity}, []sqlColumn{{"org_id", "text"}, {x.Entity, "text"}}
		for _, c := range x.Keys {
			key = append(key, c.Name)
			all = append(all, sqlColumn{c.Name, typeOf(c.Kind)})
		}
		for _, c := range x.Values {
			all = append(all, sqlColumn{c.Name, typeOf(c.Kind)})
		}
		add := ""
		if x.Add {
			add = t.extra
		}
		t.extraSQL = upsertSQL(t.extra, key, all, add)
	}
	return t
}

// loadSQL reads entities for scanLoaded.
func loadSQL(table string) string {
	return fmt.Sprintf(`
SELECT t.org_id, t.id, t.version, t.state, t.recent_ids, t.log_partition, t.first_offset, t.first_recorded_at, t.last_offset, t.last_recorded_at
FROM unnest($1::text[], $2::text[]) AS k (org_id, id)
JOIN %s t ON t.org_id = k.org_id AND t.id = k.id`, table)
}

// sqlColumn is a column and the type of its elements in unnest.
type sqlColumn struct{ name, kind string }

// mainColumns are the columns of an entity table in the order of entityArgs.
func mainColumns(m projections.Model) []sqlColumn {
	all := []sqlColumn{
		{"org_id", "text"},
		{"id", "text"},
		{"version", "bigint"},
		{"state", "text"},
		{"recent_ids", "bytea"},
		{"log_partition", "integer"},
		{"first_offset", "bigint"},
		{"first_recorded_at", "timestamptz"},
		{"last_offset", "bigint"},
		{"last_recorded_at", "timestamptz"},
	}
	for _, c := range m.Columns {
		all = append(all, sqlColumn{c.Name, typeOf(c.Kind)})
	}
	return all
}

// typeOf is the element type in unnest. Lists travel as one text with a line
// each, because unnest would flatten an array of arrays.
func typeOf(k projections.Kind) string {
	switch k {
	case projections.Time:
		return "timestamptz"
	case projections.Int:
		return "bigint"
	case projections.Float:
		return "double precision"
	case projections.Texts:
		return "texts"
	case projections.Search:
		return "search"
	default:
		return "text"
	}
}

// upsertSQL inserts or replaces many rows in one statement, one array per
// column; with add, columns outside of the key are summed.
func upsertSQL(table string, key []string, columns []sqlColumn, add string) string {
	var names, params, selects, sets []string
	for i, c := range columns {
		names = append(names, c.name)
		kind, expr := c.kind, "u."+c.name
		switch c.kind {
		case "texts":
			kind, expr = "text", fmt.Sprintf(`string_to_array(u.%s, E'\n')`, c.name)
		case "search":
			kind, expr = "text", fmt.Sprintf(`array_to_tsvector(string_to_array(u.%s, E'\n'))`, c.name)
		}
		params = append(params, fmt.Sprintf("$%d::%s[]", i+1, kind))
		selects = append(selects, expr)
		if contains(key, c.name) {
			continue
		}
		if add != "" {
			sets = append(sets, fmt.Sprintf("%s = t.%s + EXCLUDED.%s", c.name, c.name, c.name))
		} else {
			sets = append(sets, fmt.Sprintf("%s = EXCLUDED.%s", c.name, c.name))
		}
	}
	return fmt.Sprintf(`
INSERT INTO %s AS t (%s)
SELECT %s
FROM unnest(%s) AS u (%s)
ON CONFLICT (%s) DO UPDATE SET %s`,
		table, strings.Join(names, ", "), strings.Join(selects, ", "), strings.Join(params, ", "), strings.Join(names, ", "),
		strings.Join(key, ", "), strings.Join(sets, ", "))
}

func contains(all []string, s string) bool {
	for _, a := range all {
		if a == s {
			return true
		}
	}
	return false
}

// historyColumns are the columns of a history in the order of historyArgs.
var historyColumns = []sqlColumn{
	{"org_id", "text"},
	{"entity_id", "text"},
	{"version", "bigint"},
	{"event_id", "text"},
	{"type", "text"},
	{"occurred_at", "timestamptz"},
	{"recorded_at", "timestamptz"},
	{"source", "text"},
	{"actor", "text"},
	{"correlation_id", "text"},
	{"causation_id", "text"},
	{"origin", "text"},
	{"traceparent", "text"},
	{"partition", "integer"},
	{`"offset"`, "bigint"},
	{"data", "text"},
	{"state", "text"},
}

// insertSQL inserts many rows in one statement.
func insertSQL(table string, columns []sqlColumn) string {
	var names, params []string
	for i, c := range columns {
		names = append(names, c.name)
		params = append(params, fmt.Sprintf("$%d::%s[]", i+1, c.kind))
	}
	return fmt.Sprintf("INSERT INTO %s (%s)\nSELECT *\nFROM unnest(%s)", table, strings.Join(names, ", "), strings.Join(params, ", "))
}
