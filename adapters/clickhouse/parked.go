package clickhouse

import (
	"context"
	"fmt"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Parked is a record that a read model could not take in whole. One whose
// envelope is sound is in events all the same; what lacks is its effect on the
// state of its call or agent, which a rebuild adds once the cause is mended.
type Parked struct {
	Position event.Position
	Org      string
	EventID  string
	Type     event.Type
	EntityID string
	Reason   string
}

type parkedRow struct {
	Parked
	model      string
	generation int
}

var parkedTable = table[parkedRow]{name: "sink_parked", columns: []column[parkedRow]{
	text("model", func(r *parkedRow) string { return r.model }),
	count32("generation", func(r *parkedRow) uint32 { return uint32(r.generation) }),
	text("topic", func(r *parkedRow) string { return string(r.Position.Topic) }),
	count16("partition", func(r *parkedRow) uint16 { return uint16(r.Position.Partition) }),
	count64("offset", func(r *parkedRow) uint64 { return uint64(r.Position.Offset) }),
	text("org_id", func(r *parkedRow) string { return r.Org }),
	text("event_id", func(r *parkedRow) string { return r.EventID }),
	text("type", func(r *parkedRow) string { return string(r.Type) }),
	text("entity_id", func(r *parkedRow) string { return r.EntityID }),
	text("reason", func(r *parkedRow) string { return r.Reason }),
}}

func park(model string, generation int, rec event.Recorded, reason error) parkedRow {
	return parkedRow{Parked{rec.Position, rec.Org, rec.ID, rec.Type, rec.Subject, reason.Error()}, model, generation}
}

// Parked lists what the live generation of a projection could not take in,
// oldest first, up to limit.
func (s *Store) Parked(ctx context.Context, projection string, limit int) ([]Parked, error) {
	const sql = "" +
		"SELECT topic, `partition`, `offset`, org_id, event_id, type, entity_id, reason " +
		"FROM sink_parked FINAL " +
		"WHERE model = ? AND generation = ? " +
		"ORDER BY topic, `partition`, `offset` " +
		"LIMIT ?"
	g, err := s.live(ctx, projection)
	if err != nil {
		return nil, err
	}
	var list []Parked
	err = s.query(ctx, sql, []any{projection, g.Number, limit}, func(r driver.Rows) error {
		var p Parked
		var topic, typ string
		var partition uint16
		var offset uint64
		if err := r.Scan(&topic, &partition, &offset, &p.Org, &p.EventID, &typ, &p.EntityID, &p.Reason); err != nil {
			return err
		}
		p.Position = event.Position{Topic: event.Topic(topic), Partition: int(partition), Offset: int64(offset)}
		p.Type = event.Type(typ)
		list = append(list, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing what %s parked: %w", projection, err)
	}
	return list, nil
}

func storedTime(rec event.Recorded) time.Time { return projections.StoredTime(rec.RecordedAt) }
