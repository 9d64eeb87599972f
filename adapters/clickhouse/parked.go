package clickhouse

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// parkedRow is a record that a read model could not take in whole. One whose
// envelope is sound is in events all the same; what lacks is its effect on the
// state of its call or agent, which a rebuild adds once the cause is mended.
type parkedRow struct {
	projections.Parked
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
	text("event_id", func(r *parkedRow) string { return r.ID }),
	text("type", func(r *parkedRow) string { return string(r.Type) }),
	text("entity_id", func(r *parkedRow) string { return r.Subject }),
	text("reason", func(r *parkedRow) string { return r.Reason }),
}}

func park(model string, generation int, rec event.Recorded, reason error) parkedRow {
	return parkedRow{projections.Parked{Recorded: rec, Reason: reason.Error()}, model, generation}
}

// undecided is what is parked and not skipped: an operator skips an event where it can
// be skipped, once for all read models.
func (s *Sink) undecided(ctx context.Context) (string, error) {
	if s.skips == nil {
		return "", nil
	}
	skipped, err := s.skips.Skipped(ctx, s.topics...)
	if err != nil || len(skipped) == 0 {
		return "", err
	}
	tuples := make([]string, len(skipped))
	for i, p := range skipped {
		tuples[i] = fmt.Sprintf("('%s', %d, %d)", p.Topic, p.Partition, p.Offset)
	}
	return "AND (topic, `partition`, `offset`) NOT IN (" + strings.Join(tuples, ", ") + ") ", nil
}

// ParkedCount implements projections.ParkedCounter.
func (s *Sink) ParkedCount(ctx context.Context) (int64, error) {
	g, err := s.store.live(ctx, s.model)
	if err != nil {
		return 0, err
	}
	undecided, err := s.undecided(ctx)
	if err != nil {
		return 0, err
	}
	sql := "" +
		"SELECT count() " +
		"FROM sink_parked FINAL " +
		"WHERE model = ? AND generation = ? " + undecided
	var n uint64
	if err := s.store.row(ctx, sql, []any{s.model, g.Number}, &n); err != nil {
		return 0, fmt.Errorf("counting what %s parked: %w", s.model, err)
	}
	return int64(n), nil
}

// Parked implements projections.ParkedLister. Times and data are not kept beside
// the reason.
func (s *Sink) Parked(ctx context.Context, after event.Position, limit int) ([]projections.Parked, error) {
	g, err := s.store.live(ctx, s.model)
	if err != nil {
		return nil, err
	}
	undecided, err := s.undecided(ctx)
	if err != nil {
		return nil, err
	}
	sql := "" +
		"SELECT topic, `partition`, `offset`, org_id, event_id, type, entity_id, reason " +
		"FROM sink_parked FINAL " +
		"WHERE model = ? AND generation = ? " + undecided
	args := []any{s.model, g.Number}
	if after != (event.Position{}) {
		sql += "AND (topic, `partition`, `offset`) > (?, ?, ?) "
		args = append(args, string(after.Topic), after.Partition, after.Offset)
	}
	sql += "" +
		"ORDER BY topic, `partition`, `offset` " +
		"LIMIT ?"
	var list []projections.Parked
	err = s.store.query(ctx, sql, append(args, limit), func(r driver.Rows) error {
		var p projections.Parked
		var topic, typ string
		var partition uint16
		var offset uint64
		if err := r.Scan(&topic, &partition, &offset, &p.Org, &p.ID, &typ, &p.Subject, &p.Reason); err != nil {
			return err
		}
		p.Position = event.Position{Topic: event.Topic(topic), Partition: int(partition), Offset: int64(offset)}
		p.Type = event.Type(typ)
		list = append(list, p)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("listing what %s parked: %w", s.model, err)
	}
	return list, nil
}

func storedTime(rec event.Recorded) time.Time { return projections.StoredTime(rec.RecordedAt) }
