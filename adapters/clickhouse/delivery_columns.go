package clickhouse

import (
	"math"
	"time"

	"trunkline.dev/trunkline/projections"
)

type attemptRow struct {
	*projections.AttemptRow
	epoch uint64
}

var attemptTable = table[attemptRow]{name: "delivery_attempts", gated: true, columns: append(
	deliveryColumns(func(r *attemptRow) (*projections.DeliveryRow, uint64) { return &r.DeliveryRow, r.epoch }),
	count32("attempt", func(r *attemptRow) uint32 { return r.Attempt }),
	moment("started_at", func(r *attemptRow) time.Time { return r.StartedAt }),
	count64("duration_us", func(r *attemptRow) uint64 { return r.DurationUS }),
	count16("status_code", func(r *attemptRow) uint16 { return r.StatusCode }),
	text("outcome", func(r *attemptRow) string { return r.Outcome }),
	text("error", func(r *attemptRow) string { return r.Error }),
	maybe("next_attempt_at", func(r *attemptRow) *time.Time { return r.NextAttemptAt }),
	text("url", func(r *attemptRow) string { return r.URL }),
	bytesOf("request_headers", func(r *attemptRow) []byte { return r.RequestHeaders }),
	text("request_body", func(r *attemptRow) string { return r.RequestBody }),
	bytesOf("response_headers", func(r *attemptRow) []byte { return r.ResponseHeaders }),
	text("response_body", func(r *attemptRow) string { return r.ResponseBody }),
)}

type outcomeRow struct {
	*projections.OutcomeRow
	epoch uint64
}

var outcomeTable = table[outcomeRow]{name: "delivery_outcomes", gated: true, columns: append(
	deliveryColumns(func(r *outcomeRow) (*projections.DeliveryRow, uint64) { return &r.DeliveryRow, r.epoch }),
	text("status", func(r *outcomeRow) string { return string(r.Status) }),
	text("reason", func(r *outcomeRow) string { return r.Reason }),
	count32("attempts", func(r *outcomeRow) uint32 { return r.Attempts }),
)}

// deliveryColumns are what both tables have.
func deliveryColumns[R any](of func(*R) (*projections.DeliveryRow, uint64)) []column[R] {
	get := func(r *R) *projections.DeliveryRow { d, _ := of(r); return d }
	return []column[R]{
		text("org_id", func(r *R) string { return get(r).Org }),
		text("webhook_id", func(r *R) string { return get(r).WebhookID }),
		text("delivery_id", func(r *R) string { return get(r).DeliveryID }),
		text("event_id", func(r *R) string { return get(r).EventID }),
		text("event_type", func(r *R) string { return string(get(r).EventType) }),
		text("entity_id", func(r *R) string { return get(r).EntityID }),
		text("dialect", func(r *R) string { return get(r).Dialect }),
		text("dialect_event", func(r *R) string { return get(r).Name }),
		number("sequence", func(r *R) int64 { return get(r).Sequence }),
		count16("rank", func(r *R) uint16 { return uint16(min(max(0, get(r).Rank), math.MaxUint16)) }),
		text("replay_id", func(r *R) string { return get(r).ReplayID }),
		moment("event_at", func(r *R) time.Time { return get(r).EventAt }),
		text("event_topic", func(r *R) string { return string(get(r).Ref.Position.Topic) }),
		count16("event_partition", func(r *R) uint16 { return uint16(get(r).Ref.Position.Partition) }),
		count64("event_offset", func(r *R) uint64 { return uint64(get(r).Ref.Position.Offset) }),
		text("fact_id", func(r *R) string { return get(r).FactID }),
		moment("recorded_at", func(r *R) time.Time { return get(r).RecordedAt }),
		text("topic", func(r *R) string { return string(get(r).Position.Topic) }),
		count16("partition", func(r *R) uint16 { return uint16(get(r).Position.Partition) }),
		count64("offset", func(r *R) uint64 { return uint64(get(r).Position.Offset) }),
		count64("sink_epoch", func(r *R) uint64 { _, epoch := of(r); return epoch }),
	}
}
