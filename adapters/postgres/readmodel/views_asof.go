package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// AsOf brings the leads in views of calls back to what was known of them when
// the calls' events were recorded. Views of events that have just come need it
// not: what Views reads now is what was known. Of most leads nothing was said
// since, which one query tells. It fails as Views does.
func (r *Reader) AsOf(ctx context.Context, views []delivery.View, have ...event.Position) error {
	return r.having(ctx, have, func(r *Reader) error { return r.asOf(ctx, views) })
}

func (r *Reader) asOf(ctx context.Context, views []delivery.View) error {
	var orgs, ids []string
	var times []time.Time
	var numbers []int
	for i, v := range views {
		if v.CallLead == nil {
			continue
		}
		orgs, ids = append(orgs, v.Event.Org), append(ids, v.Call.LeadID)
		times, numbers = append(times, v.Event.RecordedAt), append(numbers, i)
	}
	if len(ids) == 0 {
		return nil
	}
	const sql = `
SELECT k.n
FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::int[]) AS k (org_id, id, at, n)
JOIN leads l ON l.org_id = k.org_id AND l.id = k.id
WHERE l.version <> coalesce((
    SELECT max(h.version)
    FROM lead_history h
    WHERE h.org_id = k.org_id AND h.entity_id = k.id AND h.recorded_at <= k.at
), 0)`
	rows, err := r.db.Query(ctx, sql, orgs, ids, times, numbers)
	if err != nil {
		return fmt.Errorf("looking for leads that changed since: %w", err)
	}
	changed, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		return fmt.Errorf("looking for leads that changed since: %w", err)
	}
	pasts := make(map[projections.Key][]Past)
	for _, i := range changed {
		v := &views[i]
		k := projections.Key{Org: v.Event.Org, ID: v.Call.LeadID}
		past, known := pasts[k]
		if !known {
			past, err = r.past(ctx, event.Leads, "lead_history", "leads", k.Org, k.ID, 0, 0)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			pasts[k] = past
		}
		if v.CallLead, err = leadAsOf(past, v.Event.RecordedAt); err != nil {
			return err
		}
	}
	return nil
}

// leadAsOf folds a lead's history up to the last event that was recorded by a
// time; nil when there was none.
func leadAsOf(past []Past, at time.Time) (*lead.Lead, error) {
	last := 0
	for i, p := range past {
		if !p.RecordedAt.After(at) {
			last = i + 1
		}
	}
	if last == 0 {
		return nil, nil //nolint:nilnil // no lead was known then
	}
	state := new(lead.Lead)
	for _, p := range past[:last] {
		if err := catalog.Apply(state, p.Recorded); err != nil {
			return nil, fmt.Errorf("folding %s: %w", p.Position, err)
		}
	}
	return state, nil
}
