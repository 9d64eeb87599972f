package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Views returns, for each event in its order, what a webhook of it is rendered
// from: the states before and after it, and the lead of a call as known now.
// Version 0 marks an event that no state has: a repeat, or one that is parked or
// skipped. Names of orgs and lists and recording URLs are left to the caller. It
// takes one query per topic, and one for leads, however many events there are.
//
// It fails with projections.ErrBehind when the live generations do not have the
// effect of the events at the positions. Without those of the events themselves
// among them an event that is not folded yet looks like one that no state has.
func (r *Reader) Views(ctx context.Context, events []event.Recorded, have ...event.Position) (views []delivery.View, err error) {
	err = r.having(ctx, have, func(r *Reader) error {
		views, err = r.views(ctx, events)
		return err
	})
	return views, err
}

func (r *Reader) views(ctx context.Context, events []event.Recorded) ([]delivery.View, error) {
	views := make([]delivery.View, len(events))
	byTopic := make(map[event.Topic][]int)
	for i, e := range events {
		views[i] = delivery.View{Event: e, OrgID: e.Org}
		byTopic[e.Position.Topic] = append(byTopic[e.Position.Topic], i)
	}
	for topic, at := range byTopic {
		if err := r.viewTopic(ctx, topic, views, at); err != nil {
			return nil, err
		}
	}
	if err := r.viewLeads(ctx, views); err != nil {
		return nil, err
	}
	return views, nil
}

// stretch is the part of an entity's history that some views need: the rows
// above a snapshot, or from the beginning.
type stretch struct {
	from, to int64 // the versions of the snapshot, 0 for none, and of the last row
	state    []byte
	rows     []Past
}

// complete reports whether nothing of it has left the hot window, also from
// between its rows (see unbroken).
func (w *stretch) complete() bool {
	return (w.from == 0 || w.state != nil) && int64(len(w.rows)) == w.to-w.from
}

func (r *Reader) viewTopic(ctx context.Context, topic event.Topic, views []delivery.View, at []int) error {
	history, table, err := historyOf(topic)
	if err != nil {
		return err
	}
	wanted, err := r.stretches(ctx, topic, history, views, at)
	if err != nil {
		return err
	}
	whole := func(k projections.Key) error {
		all, err := r.past(ctx, topic, history, table, k.Org, k.ID, 0, 0)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		wanted[k] = &stretch{rows: all}
		return nil
	}
	for k, w := range wanted {
		if w.complete() {
			continue
		}
		if err := whole(k); err != nil {
			return err
		}
	}
	setVersions(views, at, wanted)
	old, err := r.left(ctx, topic, views, at)
	if err != nil {
		return err
	}
	for _, k := range old {
		if err := whole(k); err != nil {
			return err
		}
	}
	setVersions(views, at, wanted)
	return viewFold(topic, views, at, wanted)
}

// setVersions finds the version of each event among the rows, by its position:
// a repeat has the id of a row, and another position.
func setVersions(views []delivery.View, at []int, wanted map[projections.Key]*stretch) {
	places := make(map[event.Position]int64)
	for _, w := range wanted {
		for _, p := range w.rows {
			places[p.Position] = p.Version
		}
	}
	for _, i := range at {
		views[i].Version = places[views[i].Event.Position]
	}
}

// stretches reads what the events' views need, by the events' ids. The state
// before the lowest and after the highest version is needed: the fold begins at
// the snapshot below the lowest.
func (r *Reader) stretches(ctx context.Context, topic event.Topic, history string, views []delivery.View, at []int) (map[projections.Key]*stretch, error) {
	ids := make([]string, len(at))
	for n, i := range at {
		ids[n] = views[i].Event.ID
	}
	sql := fmt.Sprintf(`
WITH k AS MATERIALIZED (
  SELECT org_id, entity_id, min((version - 1) / %[3]d * %[3]d) AS from_version, max(version) AS to_version
  FROM %[2]s
  WHERE event_id = ANY ($1)
  GROUP BY org_id, entity_id
)
SELECT k.org_id, k.entity_id, k.from_version, k.to_version, CASE WHEN h.version = k.from_version THEN h.state END, %[1]s
FROM k
JOIN %[2]s h ON h.org_id = k.org_id AND h.entity_id = k.entity_id AND h.version BETWEEN greatest(k.from_version, 1) AND k.to_version
ORDER BY k.org_id, k.entity_id, h.version`, pastColumns, history, projections.SnapshotEvery)
	rows, err := r.db.Query(ctx, sql, ids)
	if err != nil {
		return nil, fmt.Errorf("reading histories from %s: %w", history, err)
	}
	defer rows.Close()
	wanted := make(map[projections.Key]*stretch)
	for rows.Next() {
		var k projections.Key
		var from, to int64
		var state *string
		var p Past
		if err := rows.Scan(append([]any{&k.Org, &k.ID, &from, &to, &state}, pastScan(&p)...)...); err != nil {
			return nil, fmt.Errorf("reading histories from %s: %w", history, err)
		}
		w := wanted[k]
		if w == nil {
			w = &stretch{from: from, to: to}
			wanted[k] = w
		}
		if state != nil {
			w.state = []byte(*state) // the row itself is folded into it already
			continue
		}
		settle(&p, topic, k.Org, k.ID)
		w.rows = append(w.rows, p)
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("reading histories from %s: %w", history, err)
	}
	return wanted, nil
}

// left are the entities of those events that have left the hot window
// themselves, as the events of a replay may have.
func (r *Reader) left(ctx context.Context, topic event.Topic, views []delivery.View, at []int) ([]projections.Key, error) {
	const sql = `SELECT history_from FROM generations WHERE projection = $1 AND status = 'live'`
	if r.older == nil {
		return nil, nil
	}
	var from *time.Time
	var keys []projections.Key
	for _, i := range at {
		v := views[i]
		if v.Version != 0 {
			continue
		}
		if from == nil {
			if err := r.db.QueryRow(ctx, sql, projections.Of(topic)).Scan(&from); err != nil {
				return nil, fmt.Errorf("asking where the history of %s begins: %w", topic, err)
			}
			if from == nil {
				return nil, nil // nothing has left yet
			}
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Event.Subject}
		if v.Event.RecordedAt.Before(*from) && !slices.Contains(keys, k) {
			keys = append(keys, k)
		}
	}
	return keys, nil
}

// viewFold folds each entity once and hands out the states on the way.
func viewFold(topic event.Topic, views []delivery.View, at []int, wanted map[projections.Key]*stretch) error {
	byKey := make(map[projections.Key]map[int64][]int)
	for _, i := range at {
		v := views[i]
		if v.Version == 0 {
			continue
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Event.Subject}
		if byKey[k] == nil {
			byKey[k] = make(map[int64][]int)
		}
		byKey[k][v.Version] = append(byKey[k][v.Version], i)
	}
	for k, versions := range byKey {
		w := wanted[k]
		state, _ := catalog.Entity(topic)
		if w.state != nil {
			if err := event.Unmarshal(w.state, state); err != nil {
				return fmt.Errorf("reading a snapshot of %s: %w", k.ID, err)
			}
		}
		for _, p := range w.rows {
			payload, err := catalog.Decode(p.Type, p.Data)
			if err != nil {
				return fmt.Errorf("decoding %s: %w", p.Position, err)
			}
			mine := versions[p.Version]
			var before event.Entity
			if len(mine) > 0 && p.Version > 1 {
				if before, err = clone(topic, state); err != nil {
					return err
				}
			}
			if err := state.Apply(p.Envelope, payload); err != nil {
				return fmt.Errorf("folding %s: %w", p.Position, err)
			}
			for _, i := range mine {
				after, err := clone(topic, state)
				if err != nil {
					return err
				}
				views[i].Payload = payload
				views[i].SetStates(before, after)
			}
		}
	}
	return nil
}

// clone copies a state deeply: what is handed out must not change by the
// events that follow.
func clone(topic event.Topic, s event.Entity) (event.Entity, error) {
	b, err := event.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("copying a state: %w", err)
	}
	c, _ := catalog.Entity(topic)
	if err := json.Unmarshal(b, c); err != nil {
		return nil, fmt.Errorf("copying a state: %w", err)
	}
	return c, nil
}

// viewLeads adds the leads of calls.
func (r *Reader) viewLeads(ctx context.Context, views []delivery.View) error {
	wanted := make(map[projections.Key]struct{})
	for _, v := range views {
		if v.Call != nil && v.Call.LeadID != "" {
			wanted[projections.Key{Org: v.Event.Org, ID: v.Call.LeadID}] = struct{}{}
		}
	}
	leads, err := r.callLeads(ctx, slices.Collect(maps.Keys(wanted)))
	if err != nil {
		return err
	}
	for i := range views {
		if c := views[i].Call; c != nil {
			views[i].CallLead = leads[projections.Key{Org: views[i].Event.Org, ID: c.LeadID}]
		}
	}
	return nil
}
