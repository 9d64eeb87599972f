package timers

import (
	"cmp"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/projections"
)

// row is a call's timer and the partition that its events stand in.
type row struct {
	projections.Key
	projections.CallTimer
	partition int
}

func scan(r pgx.CollectableRow) (row, error) {
	var t row
	var ended, disposition, transcript *time.Time
	err := r.Scan(&t.Org, &t.ID, &t.partition, &t.Ended.EventID, &t.Ended.CorrelationID, &t.Ended.Origin, &ended,
		&t.Disposition.Over, &disposition, &t.Transcript.Over, &transcript, &t.RecordedAt)
	t.Ended.Since = dbtime.From(ended)
	t.Disposition.Due, t.Transcript.Due = dbtime.From(disposition), dbtime.From(transcript)
	t.RecordedAt = t.RecordedAt.UTC()
	return t, err
}

// columns are rows as the arrays of saveSQL, in the order of their keys, which
// is the order in which everybody locks them.
func columns(rows []row) []any {
	rows = slices.SortedFunc(slices.Values(rows), func(a, b row) int {
		return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.ID, b.ID))
	})
	n := len(rows)
	orgs, ids, partitions := make([]string, n), make([]string, n), make([]int, n)
	ended, correlations, origins, endedAt := make([]string, n), make([]string, n), make([]string, n), make([]*time.Time, n)
	haveDisposition, disposition := make([]bool, n), make([]*time.Time, n)
	haveTranscript, transcript := make([]bool, n), make([]*time.Time, n)
	recorded := make([]time.Time, n)
	for i, r := range rows {
		orgs[i], ids[i], partitions[i] = r.Org, r.ID, r.partition
		ended[i], correlations[i], origins[i], endedAt[i] = r.Ended.EventID, r.Ended.CorrelationID, string(r.Ended.Origin), dbtime.To(r.Ended.Since)
		haveDisposition[i], disposition[i] = r.Disposition.Over, dbtime.To(r.Disposition.Due)
		haveTranscript[i], transcript[i] = r.Transcript.Over, dbtime.To(r.Transcript.Due)
		recorded[i] = r.RecordedAt
	}
	return []any{orgs, ids, partitions, ended, correlations, origins, endedAt, haveDisposition, disposition, haveTranscript, transcript, recorded}
}
