package readmodel

import (
	"context"
	"encoding/json"
	"errors"
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
func (r *Reader) Known(ctx context.Context, topic event.Topic, keys []projections.Key, have ...event.Position) (map[projections.Key]projections.Loaded, error) {
	_, table, err := historyOf(topic)
	if err != nil {
		return nil, err
	}
	orgs, ids := split(keys)
	found := make(map[projections.Key]projections.Loaded) // most that are asked for are new
	var b pgx.Batch                                       // of one connection, see having
	queueReached(&b, have...)
	r.asked.by(len(keys))
	b.Queue(r.asked.planned(loadSQL(table)), orgs, ids).Query(func(rows pgx.Rows) error { return scanLoaded(rows, found) })
	b.Queue(liveParkedSQL, projections.Of(topic), orgs, ids).Query(func(rows pgx.Rows) error { return scanParkedIDs(rows, found) })
	if err := r.db.SendBatch(ctx, &b).Close(); err != nil {
		return nil, fmt.Errorf("reading %d entities of %s: %w", len(keys), table, err)
	}
	return found, nil
}

// CallLeads returns leads of calls as known now; one that is not there is absent.
// It fails with projections.ErrBehind when the live generations do not have the
// effect of the events at the positions.
func (r *Reader) CallLeads(ctx context.Context, keys []projections.Key, have ...event.Position) (leads map[projections.Key]*lead.Lead, err error) {
	err = r.having(ctx, have, func(r *Reader) error {
		leads, err = r.callLeads(ctx, keys)
		return err
	})
	return leads, err
}

func (r *Reader) callLeads(ctx context.Context, keys []projections.Key) (map[projections.Key]*lead.Lead, error) {
	const sql = `
SELECT l.org_id, l.id, l.state
FROM unnest($1::text[], $2::text[]) AS k (org_id, id)
JOIN leads l ON l.org_id = k.org_id AND l.id = k.id`
	keys = slices.DeleteFunc(slices.Clone(keys), func(k projections.Key) bool { return !storable(k.Org, k.ID) })
	if len(keys) == 0 {
		return nil, nil
	}
	orgs, ids := split(keys)
	rows, err := r.db.Query(ctx, r.asked.planned(sql), orgs, ids)
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

// Earlier returns the events of an event's entity that made the versions below
// one, the last few of them, in order. It fails with projections.ErrBehind when
// the live generation has not come up to the event.
func (r *Reader) Earlier(ctx context.Context, e event.Recorded, version int64, few int) (events []event.Recorded, err error) {
	topic := e.Position.Topic
	history, table, err := historyOf(topic)
	if err != nil {
		return nil, err
	}
	before := e.Position
	before.Offset--
	err = r.having(ctx, []event.Position{before}, func(r *Reader) error {
		past, err := r.past(ctx, topic, history, table, e.Org, e.Subject, max(version-1-int64(few), 0), few)
		if errors.Is(err, ErrNotFound) {
			return nil
		}
		for _, p := range past {
			if p.Version < version {
				events = append(events, p.Recorded)
			}
		}
		return err
	})
	return events, err
}

func split(keys []projections.Key) (orgs, ids []string) {
	orgs, ids = make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		orgs[i], ids[i] = k.Org, k.ID
	}
	return orgs, ids
}
