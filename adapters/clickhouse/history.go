package clickhouse

import (
	"context"
	"fmt"
	"math"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
)

// History returns the events of one entity in the order of the log, each once.
// It is what reads of old history fall through to.
func (s *Store) History(ctx context.Context, org string, topic event.Topic, entityID string) ([]event.Recorded, error) {
	return s.history(ctx, org, topic, entityID, math.MaxInt64)
}

// OlderHistory returns the events of one entity below a position, each once, in
// log order (projections.OlderHistory). What Postgres skipped is in it.
func (s *Store) OlderHistory(ctx context.Context, org string, topic event.Topic, entityID string, before event.Position) ([]event.Recorded, error) {
	return s.history(ctx, org, topic, entityID, before.Offset)
}

// history needs no partition: the events of an entity share one.
func (s *Store) history(ctx context.Context, org string, topic event.Topic, entityID string, before int64) ([]event.Recorded, error) {
	const sql = selectEvents +
		"WHERE org_id = ? AND topic = ? AND entity_id = ? AND `offset` < ? " +
		"ORDER BY `partition`, `offset`"
	var list []event.Recorded
	err := s.query(ctx, sql, []any{org, string(topic), entityID, before}, func(r driver.Rows) error {
		e, err := scanEvent(r)
		list = append(list, e)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the history of %s in ClickHouse: %w", entityID, err)
	}
	return list, nil
}

// selectEvents begins a query for whole events; scanEvent reads its rows.
const selectEvents = "" +
	"SELECT event_id, type, source, entity_id, org_id, actor, correlation_id, causation_id, origin, traceparent, " +
	"occurred_at, recorded_at, data, topic, `partition`, `offset` " +
	"FROM events "

func scanEvent(r driver.Rows) (event.Recorded, error) {
	var e event.Recorded
	var typ, origin, data, topic string
	var partition uint16
	var offset uint64
	err := r.Scan(&e.ID, &typ, &e.Source, &e.Subject, &e.Org, &e.Actor, &e.CorrelationID, &e.CausationID, &origin,
		&e.TraceParent, &e.OccurredAt, &e.RecordedAt, &data, &topic, &partition, &offset)
	e.Type, e.Origin, e.Data = event.Type(typ), event.Origin(origin), []byte(data)
	e.OccurredAt, e.RecordedAt = e.OccurredAt.UTC(), e.RecordedAt.UTC()
	e.Position = event.Position{Topic: event.Topic(topic), Partition: int(partition), Offset: int64(offset)}
	return e, err
}
