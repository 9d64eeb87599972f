package deliveries

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// rowArrays are rows as the columns that the statements unnest.
type rowArrays struct {
	keys, ids, replays, orgs, endpoints, topics, orderKeys, statuses, errs []string
	events, types, entities, correlations, dialects, names, headers        []string
	partitions, ranks, attempts                                            []int
	offsets, sequences, previous                                           []int64
	firsts                                                                 []bool
	due, eventAt, createdAt                                                []time.Time
	firstAttempts                                                          []*time.Time
	bodies                                                                 [][]byte
}

func (a *rowArrays) add(o dispatch.Owed, first bool) error {
	headers, err := event.Marshal(o.Headers)
	if err != nil {
		return fmt.Errorf("encoding headers of a delivery: %w", err)
	}
	body := o.Body
	if body == nil {
		body = []byte{}
	}
	a.keys, a.ids, a.replays = append(a.keys, o.Key()), append(a.ids, o.ID), append(a.replays, o.ReplayID)
	a.orgs, a.endpoints = append(a.orgs, o.Org), append(a.endpoints, o.EndpointID)
	a.topics, a.partitions = append(a.topics, string(o.Topic)), append(a.partitions, o.Partition)
	a.offsets, a.ranks = append(a.offsets, o.Offset), append(a.ranks, o.Rank)
	a.orderKeys, a.firsts = append(a.orderKeys, o.OrderKey), append(a.firsts, first)
	a.statuses, a.due = append(a.statuses, string(o.Status)), append(a.due, o.NextAttemptAt)
	a.attempts, a.firstAttempts = append(a.attempts, o.Attempts), append(a.firstAttempts, dbtime.To(o.FirstAttemptAt))
	a.errs = append(a.errs, o.LastError)
	a.events, a.types = append(a.events, o.EventID), append(a.types, string(o.EventType))
	a.eventAt, a.entities = append(a.eventAt, o.EventAt), append(a.entities, o.EntityID)
	a.correlations, a.dialects = append(a.correlations, o.CorrelationID), append(a.dialects, o.Dialect)
	a.names, a.sequences = append(a.names, o.Name), append(a.sequences, o.Sequence)
	a.previous, a.headers = append(a.previous, o.Previous), append(a.headers, string(headers))
	a.bodies, a.createdAt = append(a.bodies, body), append(a.createdAt, o.CreatedAt)
	return nil
}

// chunkBytes bounds the bodies of one insert: what pgx encodes of a statement is in
// memory several times over, and stays with the connection until its next use.
const chunkBytes = 1 << 20

// chunks are rows in as many arrays as their bodies ask for.
type chunks struct {
	all   []*rowArrays
	bytes int
}

func (c *chunks) add(o dispatch.Owed, first bool) error {
	if len(c.all) == 0 || c.bytes+len(o.Body) > chunkBytes {
		c.all, c.bytes = append(c.all, new(rowArrays)), 0
	}
	c.bytes += len(o.Body)
	return c.all[len(c.all)-1].add(o, first)
}

// insert are the arguments of insertSQL and offerSQL.
func (a *rowArrays) insert() []any {
	return []any{
		a.keys, a.ids, a.replays, a.orgs, a.endpoints, a.topics, a.partitions, a.offsets, a.ranks, a.orderKeys, a.firsts, a.statuses, a.due,
		a.attempts, a.firstAttempts, a.errs, a.events, a.types, a.eventAt, a.entities, a.correlations, a.dialects, a.names,
		a.sequences, a.previous, a.headers, a.bodies, a.createdAt,
	}
}

// update are the arguments of updateSQL.
func (a *rowArrays) update() []any {
	return []any{a.keys, a.orderKeys, a.statuses, a.due, a.attempts, a.firstAttempts, a.errs}
}

// keyArrays are order keys whose first row may have changed.
type keyArrays struct {
	topics, endpoints, keys []string
	ids                     []int
}

func (a *keyArrays) add(o dispatch.Owed, key string) {
	a.topics, a.ids = append(a.topics, string(o.Topic)), append(a.ids, o.Partition)
	a.endpoints, a.keys = append(a.endpoints, o.EndpointID), append(a.keys, key)
}

// collect adds what a statement returns.
func (a *keyArrays) collect(rows pgx.Rows) error {
	var o dispatch.Owed
	_, err := pgx.ForEachRow(rows, []any{&o.Topic, &o.Partition, &o.EndpointID, &o.OrderKey}, func() error {
		a.add(o, o.OrderKey)
		return nil
	})
	return err
}

// endArrays are rows that are deleted, with how they ended.
type endArrays struct {
	keys, statuses, reasons, ids []string
	// counted: some belong to a replay.
	counted bool
}

func (a *endArrays) add(o dispatch.Owed) {
	a.keys = append(a.keys, o.Key())
	a.statuses, a.reasons = append(a.statuses, string(o.Status)), append(a.reasons, o.LastError)
	a.counted = a.counted || o.ReplayID != ""
}

// run deletes them and notes the keys that are free.
func (a *endArrays) run(ctx context.Context, tx pgx.Tx, freed *keyArrays) error {
	var rows pgx.Rows
	var err error
	switch {
	case a.counted:
		rows, err = tx.Query(ctx, deleteCountedSQL, a.keys, a.statuses, a.reasons)
	case len(a.keys) > 0:
		rows, err = tx.Query(ctx, deleteSQL, a.keys)
	default:
		return nil
	}
	if err != nil {
		return err
	}
	return freed.collect(rows)
}

// markArrays are what a commit notes beside its rows.
type markArrays struct {
	replays, topics []string
	ids             []int
	next            []int64
	keys, verdicts  []string
}

func (a *markArrays) add(p dispatch.Part) {
	for _, st := range p.Started {
		a.replays, a.topics = append(a.replays, dispatch.StartID(st.EndpointID)), append(a.topics, string(p.Topic))
		a.ids, a.next = append(a.ids, p.ID), append(a.next, st.Next)
	}
	for _, d := range p.Decided {
		a.keys, a.verdicts = append(a.keys, d.Key), append(a.verdicts, string(d.Verdict))
	}
}

func (a *markArrays) queue(b *pgx.Batch) {
	if len(a.replays) > 0 {
		b.Queue(startedSQL, a.replays, a.topics, a.ids, a.next)
	}
	if len(a.keys) > 0 {
		b.Queue(decidedSQL, a.keys, a.verdicts)
	}
}

// scanRow reads rowColumns.
func scanRow(r pgx.CollectableRow) (dispatch.Owed, error) { return scanRowAfter(r) }

// scanRowAfter reads rowColumns behind other columns.
func scanRowAfter(r pgx.CollectableRow, before ...any) (dispatch.Owed, error) {
	var (
		o                            dispatch.Owed
		headers                      []byte
		status                       string
		due, first, eventAt, created *time.Time
	)
	err := r.Scan(append(before,
		&o.ID, &o.ReplayID, &o.Org, &o.EndpointID, &o.Topic, &o.Partition, &o.Offset, &o.Rank, &o.OrderKey, &status, &due,
		&o.Attempts, &first, &o.LastError, &o.EventID, &o.EventType, &eventAt, &o.EntityID, &o.CorrelationID, &o.Dialect, &o.Name,
		&o.Sequence, &o.Previous, &headers, &o.Body, &created,
	)...)
	if err != nil {
		return o, err
	}
	if len(headers) > 0 {
		var h []delivery.Header
		if err := json.Unmarshal(headers, &h); err != nil {
			return o, fmt.Errorf("decoding headers of a delivery: %w", err)
		}
		o.Headers = h
	}
	o.Status = delivery.Status(status)
	o.NextAttemptAt, o.FirstAttemptAt, o.EventAt, o.CreatedAt = dbtime.From(due), dbtime.From(first), dbtime.From(eventAt), dbtime.From(created)
	return o, nil
}
