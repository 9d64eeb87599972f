package readmodel

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// Views returns, for each event in its order, what a webhook of it is rendered
// from: the states before and after it, and the lead of a call as known now.
// The caller has waited until the projections have the events. Version 0 marks
// an event that no state has: a repeat, or one that is parked or skipped. Names
// of orgs and lists and recording URLs are left to the caller. It takes two
// queries per topic, and one for leads, however many events there are.
func (r *Reader) Views(ctx context.Context, events []event.Recorded) ([]delivery.View, error) {
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

// upTo is an entity of which the events up to a version are wanted.
type upTo struct {
	version int64
	from    int64 // the snapshot's version, 0 for none
	rows    []Past
	state   []byte
}

func (r *Reader) viewTopic(ctx context.Context, topic event.Topic, views []delivery.View, at []int) error {
	history, table, err := historyOf(topic)
	if err != nil {
		return err
	}
	if err := r.viewVersions(ctx, history, views, at); err != nil {
		return err
	}
	if err := r.viewOldVersions(ctx, topic, history, table, views, at); err != nil {
		return err
	}
	wanted := make(map[projections.Key]*upTo)
	for _, i := range at {
		v := &views[i]
		if v.Version == 0 {
			continue
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Event.Subject}
		// Both the state before the lowest and the state after the highest version
		// are needed: fold from the snapshot below the lowest.
		from := (v.Version - 1) / projections.SnapshotEvery * projections.SnapshotEvery
		w, ok := wanted[k]
		if !ok {
			w = &upTo{from: from}
			wanted[k] = w
		}
		w.from, w.version = min(w.from, from), max(w.version, v.Version)
	}
	if len(wanted) == 0 {
		return nil
	}
	if err := r.viewRows(ctx, topic, history, wanted); err != nil {
		return err
	}
	for k, w := range wanted {
		if err := r.viewOlder(ctx, topic, history, table, k, w); err != nil {
			return err
		}
	}
	return r.viewFold(topic, views, at, wanted)
}

// viewVersions finds the version of each event by its id; the position tells
// whether it is this event or the earlier one that it repeats.
func (r *Reader) viewVersions(ctx context.Context, history string, views []delivery.View, at []int) error {
	ids := make([]string, len(at))
	byID := make(map[string][]int, len(at))
	for n, i := range at {
		ids[n] = views[i].Event.ID
		byID[ids[n]] = append(byID[ids[n]], i)
	}
	rows, err := r.pool.Query(ctx, fmt.Sprintf(`SELECT event_id, version, partition, "offset" FROM %s WHERE event_id = ANY ($1)`, history), ids)
	if err != nil {
		return fmt.Errorf("reading versions from %s: %w", history, err)
	}
	var id string
	var version int64
	var p event.Position
	_, err = pgx.ForEachRow(rows, []any{&id, &version, &p.Partition, &p.Offset}, func() error {
		for _, i := range byID[id] {
			have := views[i].Event.Position
			if have.Partition == p.Partition && have.Offset == p.Offset {
				views[i].Version = version
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading versions from %s: %w", history, err)
	}
	return nil
}

// viewOldVersions finds the versions of events that have left the hot window
// themselves, as those of a replay may have.
func (r *Reader) viewOldVersions(ctx context.Context, topic event.Topic, history, table string, views []delivery.View, at []int) error {
	if r.older == nil {
		return nil
	}
	const sql = `SELECT history_from FROM generations WHERE projection = $1 AND status = 'live'`
	var from *time.Time
	known := make(map[projections.Key][]Past)
	for _, i := range at {
		v := &views[i]
		if v.Version != 0 {
			continue
		}
		if from == nil {
			if err := r.pool.QueryRow(ctx, sql, projections.Of(topic)).Scan(&from); err != nil {
				return fmt.Errorf("asking where %s begins: %w", history, err)
			}
			if from == nil {
				return nil
			}
		}
		if !v.Event.RecordedAt.Before(*from) {
			continue
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Event.Subject}
		if _, ok := known[k]; !ok {
			all, err := r.past(ctx, topic, history, table, k.Org, k.ID, 0, 0)
			if err != nil && !errors.Is(err, ErrNotFound) {
				return err
			}
			known[k] = all
		}
		for _, p := range known[k] {
			if p.Position == v.Event.Position {
				v.Version = p.Version
			}
		}
	}
	return nil
}

func (r *Reader) viewRows(ctx context.Context, topic event.Topic, history string, wanted map[projections.Key]*upTo) error {
	var orgs, ids []string
	var from, to []int64
	for k, w := range wanted {
		orgs, ids, from, to = append(orgs, k.Org), append(ids, k.ID), append(from, w.from), append(to, w.version)
	}
	// A snapshot is a row's state; the row itself is folded into it already.
	sql := fmt.Sprintf(`
SELECT k.org_id, k.id, CASE WHEN h.version = k.from_version THEN h.state END, %s
FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bigint[]) AS k (org_id, id, from_version, to_version)
JOIN %s h ON h.org_id = k.org_id AND h.entity_id = k.id AND h.version BETWEEN greatest(k.from_version, 1) AND k.to_version
ORDER BY k.org_id, k.id, h.version`, pastColumns, history)
	rows, err := r.pool.Query(ctx, sql, orgs, ids, from, to)
	if err != nil {
		return fmt.Errorf("reading histories from %s: %w", history, err)
	}
	defer rows.Close()
	for rows.Next() {
		var k projections.Key
		var state *string
		var p Past
		if err := rows.Scan(append([]any{&k.Org, &k.ID, &state}, pastScan(&p)...)...); err != nil {
			return fmt.Errorf("reading histories from %s: %w", history, err)
		}
		w := wanted[k]
		if state != nil {
			w.state = []byte(*state)
			continue
		}
		settle(&p, topic, k.Org, k.ID)
		w.rows = append(w.rows, p)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading histories from %s: %w", history, err)
	}
	return nil
}

// viewOlder fills in what has left the hot window.
func (r *Reader) viewOlder(ctx context.Context, topic event.Topic, history, table string, k projections.Key, w *upTo) error {
	complete := (w.from == 0 || w.state != nil) && len(w.rows) > 0 && w.rows[0].Version == w.from+1
	if complete {
		return nil
	}
	all, err := r.past(ctx, topic, history, table, k.Org, k.ID, 0, 0)
	if err != nil {
		return err
	}
	w.from, w.state, w.rows = 0, nil, nil
	for _, p := range all {
		if p.Version <= w.version {
			w.rows = append(w.rows, p)
		}
	}
	return nil
}

// viewFold folds each entity once and hands out the states on the way.
func (r *Reader) viewFold(topic event.Topic, views []delivery.View, at []int, wanted map[projections.Key]*upTo) error {
	at2 := make(map[projections.Key]map[int64][]int)
	for _, i := range at {
		v := views[i]
		if v.Version == 0 {
			continue
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Event.Subject}
		if at2[k] == nil {
			at2[k] = make(map[int64][]int)
		}
		at2[k][v.Version] = append(at2[k][v.Version], i)
	}
	for k, versions := range at2 {
		w := wanted[k]
		state, _ := catalog.Entity(topic)
		if w.state != nil {
			if err := json.Unmarshal(w.state, state); err != nil {
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
				setStates(&views[i], before, after)
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

func setStates(v *delivery.View, before, after event.Entity) {
	switch s := after.(type) {
	case *call.Call:
		v.Call = s
		v.CallBefore, _ = before.(*call.Call)
	case *lead.Lead:
		v.Lead = s
		v.LeadBefore, _ = before.(*lead.Lead)
	case *agent.Agent:
		v.Agent = s
		v.AgentBefore, _ = before.(*agent.Agent)
	case *alert.Alert:
		v.Alert = s
		v.AlertBefore, _ = before.(*alert.Alert)
	case *message.Message:
		v.Message = s
		v.MessageBefore, _ = before.(*message.Message)
	case *contact.Contact:
		v.Contact = s
		v.ContactBefore, _ = before.(*contact.Contact)
	}
}

// viewLeads adds the leads of calls.
func (r *Reader) viewLeads(ctx context.Context, views []delivery.View) error {
	var orgs, ids []string
	asked := make(map[projections.Key]*lead.Lead)
	for _, v := range views {
		if v.Call == nil || v.Call.LeadID == "" {
			continue
		}
		k := projections.Key{Org: v.Event.Org, ID: v.Call.LeadID}
		if _, ok := asked[k]; !ok && storable(k.Org, k.ID) {
			asked[k] = nil
			orgs, ids = append(orgs, k.Org), append(ids, k.ID)
		}
	}
	if len(ids) == 0 {
		return nil
	}
	const sql = `
SELECT l.org_id, l.id, l.state
FROM unnest($1::text[], $2::text[]) AS k (org_id, id)
JOIN leads l ON l.org_id = k.org_id AND l.id = k.id`
	rows, err := r.pool.Query(ctx, sql, orgs, ids)
	if err != nil {
		return fmt.Errorf("reading leads: %w", err)
	}
	var k projections.Key
	var state []byte
	_, err = pgx.ForEachRow(rows, []any{&k.Org, &k.ID, &state}, func() error {
		l := new(lead.Lead)
		if err := json.Unmarshal(state, l); err != nil {
			return err
		}
		asked[k] = l
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading leads: %w", err)
	}
	for i := range views {
		if c := views[i].Call; c != nil {
			views[i].CallLead = asked[projections.Key{Org: views[i].Event.Org, ID: c.LeadID}]
		}
	}
	return nil
}
