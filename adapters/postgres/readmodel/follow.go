package readmodel

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

var _ projections.Known = (*Reader)(nil)

const liveParkedSQL = `
SELECT p.org_id, p.entity_id, p.event_id
FROM unnest($2::text[], $3::text[]) AS k (org_id, entity_id)
JOIN generations g ON g.projection = $1 AND g.status = 'live'
JOIN parked_events p ON p.projection = g.projection AND p.generation = g.generation AND p.org_id = k.org_id AND p.entity_id = k.entity_id`

// Known implements projections.Known.
func (r *Reader) Known(ctx context.Context, topic event.Topic, keys []projections.Key) (map[projections.Key]projections.Loaded, error) {
	_, table, err := historyOf(topic)
	if err != nil {
		return nil, err
	}
	orgs, ids := split(keys)
	found := make(map[projections.Key]projections.Loaded) // most that are asked for are new
	var b pgx.Batch
	r.asked.by(len(keys))
	b.Queue(r.asked.planned(loadSQL(table)), orgs, ids).Query(func(rows pgx.Rows) error { return scanLoaded(rows, found) })
	b.Queue(liveParkedSQL, projections.Of(topic), orgs, ids).Query(func(rows pgx.Rows) error { return scanParkedIDs(rows, found) })
	if err := r.pool.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("reading %d entities of %s: %w", len(keys), table, err)
	}
	return found, nil
}

// CallLeads returns leads of calls as known now; one that is not there is absent.
func (r *Reader) CallLeads(ctx context.Context, keys []projections.Key) (map[projections.Key]*lead.Lead, error) {
	const sql = `
SELECT l.org_id, l.id, l.state
FROM unnest($1::text[], $2::text[]) AS k (org_id, id)
JOIN leads l ON l.org_id = k.org_id AND l.id = k.id`
	keys = slices.DeleteFunc(slices.Clone(keys), func(k projections.Key) bool { return !storable(k.Org, k.ID) })
	if len(keys) == 0 {
		return nil, nil
	}
	orgs, ids := split(keys)
	rows, err := r.pool.Query(ctx, r.asked.planned(sql), orgs, ids)
	if err != nil {
		return nil, fmt.Errorf("reading leads: %w", err)
	}
	leads := make(map[projections.Key]*lead.Lead, len(keys))
	var k projections.Key
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&k.Org, &k.ID, &state}, func() error {
		l := new(lead.Lead)
		if err := json.Unmarshal(state, l); err != nil {
			return err
		}
		leads[k] = l
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading leads: %w", err)
	}
	return leads, nil
}

func split(keys []projections.Key) (orgs, ids []string) {
	orgs, ids = make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		orgs[i], ids[i] = k.Org, k.ID
	}
	return orgs, ids
}
