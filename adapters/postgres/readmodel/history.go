package readmodel

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Past is an event with the version that it made.
type Past = projections.Past

// historyOf is the view with the history of a topic's entities.
func historyOf(topic event.Topic) (history, table string, err error) {
	for _, m := range projections.Models() {
		if m.Topic == topic && m.History != "" {
			return m.History, m.Table, nil
		}
	}
	return "", "", fmt.Errorf("topic %s has no history", topic)
}

const pastColumns = `version, event_id, type, occurred_at, recorded_at, source, coalesce(actor, ''), coalesce(correlation_id, ''),
  coalesce(causation_id, ''), coalesce(origin, ''), coalesce(traceparent, ''), partition, "offset", data`

// pastScan are the targets of pastColumns.
func pastScan(p *Past) []any {
	return []any{
		&p.Version, &p.ID, &p.Type, &p.OccurredAt, &p.RecordedAt, &p.Source, &p.Actor, &p.CorrelationID,
		&p.CausationID, &p.Origin, &p.TraceParent, &p.Position.Partition, &p.Position.Offset, (*rawText)(&p.Data),
	}
}

// rawText scans text into bytes that are the row's own.
type rawText []byte

// Scan implements sql.Scanner.
func (r *rawText) Scan(src any) error {
	switch v := src.(type) {
	case string:
		*r = rawText(v)
	case []byte:
		*r = append(rawText(nil), v...)
	default:
		return fmt.Errorf("cannot scan %T as text", src)
	}
	return nil
}

func settle(p *Past, topic event.Topic, org, id string) {
	p.Org, p.Subject, p.Position.Topic = org, id, topic
	p.OccurredAt, p.RecordedAt = p.OccurredAt.UTC(), p.RecordedAt.UTC()
}

// History lists what happened to an entity, oldest first. ErrNotFound when the
// org has none of the id.
func (r *Reader) History(ctx context.Context, org string, topic event.Topic, id string, p Page) (List[Past], error) {
	history, table, err := historyOf(topic)
	if err != nil {
		return List[Past]{}, err
	}
	c, err := readCursor(history, p.Cursor)
	if err != nil {
		return List[Past]{}, err
	}
	limit, long := limitOf(p), 0
	var list List[Past]
	err = r.each(ctx, topic, history, table, org, id, c.N, func(p Past) (more bool, err error) {
		long += len(p.Data)
		if n := len(list.Items); n == limit || n > 0 && long > pageBytes {
			list.Next = cursor{List: history, N: list.Items[n-1].Version}.String()
			return false, nil
		}
		list.Items = append(list.Items, p)
		return true, nil
	})
	if err != nil {
		return List[Past]{}, err
	}
	return list, nil
}

// piece is how many events of a history are in memory at once: one may be a megabyte.
const piece = 64

// each hands out the events of an entity with versions above a given one, oldest first,
// for as long as more is wanted.
func (r *Reader) each(ctx context.Context, topic event.Topic, history, table, org, id string, above int64, hand func(Past) (more bool, err error)) error {
	for {
		some, err := r.past(ctx, topic, history, table, org, id, above, piece)
		if err != nil {
			return err
		}
		for _, p := range some {
			if more, err := hand(p); err != nil || !more {
				return err
			}
			above = p.Version
		}
		if len(some) < piece {
			return nil
		}
	}
}

// Basis says which of an event's times an as-of question is about.
type Basis = projections.Basis

// The bases: what we knew then (the default), or what had happened by then as
// far as we know now.
const (
	ByRecorded = projections.ByRecorded
	ByOccurred = projections.ByOccurred
)

// CallAsOf returns a call as of a time, folded from its history with the code
// of the projector. ErrNotFound when nothing of it was known then.
func (r *Reader) CallAsOf(ctx context.Context, org, id string, at time.Time, basis Basis) (Item[call.Call], error) {
	return r.refold(ctx, org, id, 0, func(p Past) bool {
		if basis == ByOccurred {
			return !p.OccurredAt.After(at)
		}
		return !p.RecordedAt.After(at)
	})
}

// CallVersion returns a call after its n-th event. ErrNotFound when it has
// fewer.
func (r *Reader) CallVersion(ctx context.Context, org, id string, n int64) (Item[call.Call], error) {
	item, err := r.refold(ctx, org, id, n, func(Past) bool { return true })
	if err == nil && item.Version != n {
		return Item[call.Call]{}, ErrNotFound
	}
	return item, err
}

// refold folds the events of a call that are included, up to a version; 0 is the newest.
func (r *Reader) refold(ctx context.Context, org, id string, to int64, include func(Past) bool) (Item[call.Call], error) {
	var item Item[call.Call]
	err := r.each(ctx, event.Calls, "call_history", "calls", org, id, 0, func(p Past) (more bool, err error) {
		if include(p) {
			if err := catalog.Apply(&item.State, p.Recorded); err != nil {
				return false, fmt.Errorf("folding %s: %w", p.Position, err)
			}
			item.Version, item.Position = p.Version, p.Position
		}
		return p.Version != to, nil
	})
	if err != nil {
		return Item[call.Call]{}, err
	}
	if item.Version == 0 {
		return Item[call.Call]{}, ErrNotFound
	}
	return item, nil
}

// Versions returns the version that each event made, by event id; 1 is the
// first of its entity. An id that is not projected, or is a repeat of nothing
// known, is absent.
func (r *Reader) Versions(ctx context.Context, topic event.Topic, eventIDs []string) (map[string]int64, error) {
	history, _, err := historyOf(topic)
	if err != nil {
		return nil, err
	}
	rows, err := r.db.Query(ctx, fmt.Sprintf("SELECT event_id, version FROM %s WHERE event_id = ANY ($1)", history), eventIDs)
	if err != nil {
		return nil, fmt.Errorf("reading versions from %s: %w", history, err)
	}
	versions := make(map[string]int64, len(eventIDs))
	var id string
	var version int64
	_, err = pgx.ForEachRow(rows, []any{&id, &version}, func() error {
		versions[id] = version
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading versions from %s: %w", history, err)
	}
	return versions, nil
}

// Event returns the event of an id that the org has in a topic's history, with
// the version it made; ErrNotFound when there is none in the hot window.
func (r *Reader) Event(ctx context.Context, org string, topic event.Topic, eventID string) (Past, error) {
	history, _, err := historyOf(topic)
	if err != nil {
		return Past{}, err
	}
	if !storable(org, eventID) {
		return Past{}, ErrNotFound
	}
	var p Past
	var entity string
	sql := fmt.Sprintf("SELECT entity_id, %s\nFROM %s\nWHERE event_id = $1 AND org_id = $2\nORDER BY recorded_at\nLIMIT 1", pastColumns, history)
	err = r.db.QueryRow(ctx, sql, eventID, org).Scan(append([]any{&entity}, pastScan(&p)...)...)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return Past{}, ErrNotFound
	case err != nil:
		return Past{}, fmt.Errorf("reading event %s: %w", eventID, err)
	}
	settle(&p, topic, org, entity)
	return p, nil
}
