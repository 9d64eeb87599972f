package readmodel

import (
	"strings"
	"time"

	"trunkline.dev/trunkline/projections"
)

// entityArgs are the arrays of upsertSQL for entity rows.
func entityArgs(m projections.Model, rows []projections.EntityRow) []any {
	n := len(rows)
	orgs, ids, versions, states := make([]string, n), make([]string, n), make([]int64, n), make([]string, n)
	recent, partitions := make([][]byte, n), make([]int32, n)
	firstOffsets, lastOffsets := make([]int64, n), make([]int64, n)
	firstTimes, lastTimes := make([]time.Time, n), make([]time.Time, n)
	for i, r := range rows {
		orgs[i], ids[i], versions[i], states[i] = r.Org, r.ID, r.Version, string(r.State)
		recent[i], partitions[i] = packHashes(r.Recent), int32(r.First.Partition)
		firstOffsets[i], firstTimes[i] = r.First.Offset, r.First.RecordedAt
		lastOffsets[i], lastTimes[i] = r.Last.Offset, r.Last.RecordedAt
	}
	args := []any{orgs, ids, versions, states, recent, partitions, firstOffsets, firstTimes, lastOffsets, lastTimes}
	for c, col := range m.Columns {
		args = append(args, array(col.Kind, n, func(i int) any { return rows[i].Values[c] }))
	}
	return args
}

// extraArgs are the arrays of upsertSQL for rows of an extra table.
func extraArgs(x *projections.Extra, rows []projections.ExtraRow) []any {
	n := len(rows)
	args := []any{
		array(projections.Text, n, func(i int) any { return rows[i].Org }),
		array(projections.Text, n, func(i int) any { return rows[i].ID }),
	}
	for c, col := range x.Keys {
		args = append(args, array(col.Kind, n, func(i int) any { return rows[i].Keys[c] }))
	}
	for c, col := range x.Values {
		args = append(args, array(col.Kind, n, func(i int) any { return rows[i].Values[c] }))
	}
	return args
}

// array makes a typed array of n values of a kind.
func array(k projections.Kind, n int, at func(int) any) any {
	switch k {
	case projections.Time:
		return typed(n, at, func(v any) *time.Time {
			t, _ := v.(*time.Time)
			if t == nil || t.IsZero() {
				return nil
			}
			return t
		})
	case projections.Int:
		return typed(n, at, func(v any) int64 { return v.(int64) })
	case projections.Float:
		return typed(n, at, func(v any) float64 { return v.(float64) })
	case projections.Texts, projections.Search:
		return typed(n, at, func(v any) string { return strings.Join(v.([]string), "\n") })
	default:
		return typed(n, at, func(v any) string { return v.(string) })
	}
}

func typed[T any](n int, at func(int) any, as func(any) T) []T {
	all := make([]T, n)
	for i := range all {
		all[i] = as(at(i))
	}
	return all
}

// historyArgs are the arrays of insertSQL for history rows.
func historyArgs(rows []projections.HistoryRow) []any {
	n := len(rows)
	text := func(of func(projections.HistoryRow) string) []string {
		all := make([]string, n)
		for i, r := range rows {
			all[i] = of(r)
		}
		return all
	}
	opt := func(of func(projections.HistoryRow) string) []*string {
		all := make([]*string, n)
		for i, r := range rows {
			all[i] = null(of(r))
		}
		return all
	}
	versions, offsets, partitions := make([]int64, n), make([]int64, n), make([]int32, n)
	occurred, recorded := make([]time.Time, n), make([]time.Time, n)
	states := make([]*string, n)
	for i, r := range rows {
		versions[i], offsets[i], partitions[i] = r.Version, r.Position.Offset, int32(r.Position.Partition)
		occurred[i], recorded[i] = r.OccurredAt, r.RecordedAt
		states[i] = nullBytes(r.State)
	}
	type row = projections.HistoryRow
	return []any{
		text(func(r row) string { return r.Org }), text(func(r row) string { return r.Subject }), versions,
		text(func(r row) string { return r.ID }), text(func(r row) string { return string(r.Type) }), occurred, recorded,
		text(func(r row) string { return r.Source }), opt(func(r row) string { return r.Actor }),
		opt(func(r row) string { return r.CorrelationID }), opt(func(r row) string { return r.CausationID }),
		opt(func(r row) string { return string(r.Origin) }), opt(func(r row) string { return r.TraceParent }),
		partitions, offsets, text(func(r row) string { return string(r.Data) }), states,
	}
}

func null(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func nullBytes(b []byte) *string {
	if b == nil {
		return nil
	}
	s := string(b)
	return &s
}
