package readmodel

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// past returns up to limit events of an entity with versions above a given
// one, the hot ones from Postgres and the rest through the older history. No
// limit is 0.
func (r *Reader) past(ctx context.Context, topic event.Topic, history, table, org, id string, above int64, limit int) ([]Past, error) {
	version, last, err := r.known(ctx, topic, table, org, id)
	if err != nil {
		return nil, err
	}
	hot, err := r.hot(ctx, topic, history, org, id, above, limit)
	if err != nil {
		return nil, err
	}
	newest := version
	if n := len(hot); n > 0 && (n == limit || hot[n-1].Version > version) {
		newest = hot[n-1].Version
	}
	hot = unbroken(hot, newest)
	switch {
	case above >= version:
		return nil, nil
	case len(hot) > 0 && hot[0].Version == above+1:
		return hot, nil
	}
	// The oldest hot row tells up to where, and from which version down, the
	// older ones reach; without any hot row it is the entity's newest event.
	first, before := version+1, event.Position{Topic: topic, Partition: last.Partition, Offset: last.Offset + 1}
	if len(hot) > 0 {
		first, before = hot[0].Version, hot[0].Position
	}
	all, err := r.archived(ctx, org, id, first, before)
	if err != nil {
		return nil, err
	}
	all = append(all[above:], hot...)
	if limit > 0 && len(all) > limit {
		all = all[:limit]
	}
	return all, nil
}

// unbroken are the rows behind the last gap in the versions up to the newest. A
// month goes by the times at which its events were recorded, and clocks differ: an
// event of its last moments may stand in the log behind one of the next month's
// first, so what has gone is not always below what is here.
func unbroken(hot []Past, newest int64) []Past {
	for i := len(hot) - 1; i >= 0; i-- {
		if hot[i].Version != newest {
			return hot[i+1:]
		}
		newest--
	}
	return hot
}

// archived returns the events that made an entity's versions below one, out of
// what the older history has of it below a position. Versions are not kept there:
// they are counted, so it fails when there are not just as many events. An answer
// that is one short would call each event by the version of another.
func (r *Reader) archived(ctx context.Context, org, id string, below int64, before event.Position) ([]Past, error) {
	var events []event.Recorded
	if r.older != nil {
		var err error
		if events, err = r.older.OlderHistory(ctx, org, before.Topic, id, before); err != nil {
			return nil, fmt.Errorf("reading the older history of %s: %w", id, err)
		}
	}
	left, err := r.leftOut(ctx, before, events)
	if err != nil {
		return nil, err
	}
	all := make([]Past, 0, len(events))
	for _, e := range events {
		if _, ok := left[e.Position.Offset]; !ok {
			all = append(all, Past{Recorded: e, Version: int64(len(all) + 1)})
		}
	}
	if have := int64(len(all)); have != below-1 {
		return nil, fmt.Errorf("the older history of %s has %d of the %d events before %s", id, have, below-1, before)
	}
	return all, nil
}

// A skip holds for every generation.
const leftOutSQL = `
SELECT "offset"
FROM skipped_events
WHERE projection = $1 AND topic = $2 AND partition = $3 AND "offset" = ANY ($4)
UNION ALL
SELECT p."offset"
FROM parked_events p
JOIN generations g ON g.projection = p.projection AND g.generation = p.generation AND g.status = 'live'
WHERE p.projection = $1 AND p.topic = $2 AND p.partition = $3 AND p."offset" = ANY ($4)
UNION ALL
SELECT "offset"
FROM duplicates
WHERE topic = $2 AND partition = $3 AND "offset" = ANY ($4)`

// leftOut are the offsets of those events of a partition that are in no version:
// the older history has them, as the log does.
func (r *Reader) leftOut(ctx context.Context, in event.Position, events []event.Recorded) (map[int64]struct{}, error) {
	offsets := make([]int64, len(events))
	for i, e := range events {
		offsets[i] = e.Position.Offset
	}
	rows, err := r.db.Query(ctx, leftOutSQL, projections.Of(in.Topic), in.Topic, in.Partition, offsets)
	if err != nil {
		return nil, fmt.Errorf("reading what was left out of %s: %w", in.Topic, err)
	}
	left := make(map[int64]struct{})
	var offset int64
	_, err = pgx.ForEachRow(rows, []any{&offset}, func() error {
		left[offset] = struct{}{}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading what was left out of %s: %w", in.Topic, err)
	}
	return left, nil
}

// known returns an entity's version and newest position.
func (r *Reader) known(ctx context.Context, topic event.Topic, table, org, id string) (int64, event.Position, error) {
	last := event.Position{Topic: topic}
	if !storable(org, id) {
		return 0, last, ErrNotFound
	}
	var version int64
	err := r.db.QueryRow(ctx, fmt.Sprintf("SELECT version, log_partition, last_offset FROM %s WHERE org_id = $1 AND id = $2", table), org, id).
		Scan(&version, &last.Partition, &last.Offset)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, last, ErrNotFound
	case err != nil:
		return 0, last, fmt.Errorf("reading %s %s: %w", table, id, err)
	}
	return version, last, nil
}

func (r *Reader) hot(ctx context.Context, topic event.Topic, history, org, id string, above int64, limit int) ([]Past, error) {
	sql := fmt.Sprintf("SELECT %s\nFROM %s\nWHERE org_id = $1 AND entity_id = $2 AND version > $3\nORDER BY version\nLIMIT $4", pastColumns, history)
	var most *int
	if limit > 0 {
		most = &limit
	}
	rows, err := r.db.Query(ctx, sql, org, id, above, most)
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s: %w", id, err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (Past, error) {
		var p Past
		err := row.Scan(pastScan(&p)...)
		settle(&p, topic, org, id)
		return p, err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s: %w", id, err)
	}
	return all, nil
}
