package clickhouse

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

type eventRow struct {
	*event.Recorded
	epoch uint64
}

var eventTable = table[eventRow]{name: "events", gated: true, columns: []column[eventRow]{
	text("org_id", func(r *eventRow) string { return r.Org }),
	text("event_id", func(r *eventRow) string { return r.ID }),
	text("type", func(r *eventRow) string { return string(r.Type) }),
	text("entity_id", func(r *eventRow) string { return r.Subject }),
	moment("occurred_at", func(r *eventRow) time.Time { return projections.StoredTime(r.OccurredAt) }),
	moment("recorded_at", func(r *eventRow) time.Time { return projections.StoredTime(r.RecordedAt) }),
	text("topic", func(r *eventRow) string { return string(r.Position.Topic) }),
	count16("partition", func(r *eventRow) uint16 { return uint16(r.Position.Partition) }),
	count64("offset", func(r *eventRow) uint64 { return uint64(r.Position.Offset) }),
	text("source", func(r *eventRow) string { return r.Source }),
	text("actor", func(r *eventRow) string { return r.Actor }),
	text("correlation_id", func(r *eventRow) string { return r.CorrelationID }),
	text("causation_id", func(r *eventRow) string { return r.CausationID }),
	text("origin", func(r *eventRow) string { return string(r.Origin) }),
	text("traceparent", func(r *eventRow) string { return r.TraceParent }),
	bytesOf("data", func(r *eventRow) []byte { return r.Data }),
	count64("sink_epoch", func(r *eventRow) uint64 { return r.epoch }),
}}

type callRow = projections.CallRow

var callTable = table[callRow]{name: "calls", columns: []column[callRow]{
	text("org_id", func(r *callRow) string { return r.Org }),
	text("call_id", func(r *callRow) string { return r.CallID }),
	text("external_id", func(r *callRow) string { return r.ExternalID }),
	text("connection_id", func(r *callRow) string { return r.ConnectionID }),
	text("direction", func(r *callRow) string { return r.Direction }),
	text("from_number", func(r *callRow) string { return r.From }),
	text("to_number", func(r *callRow) string { return r.To }),
	text("lead_id", func(r *callRow) string { return r.LeadID }),
	text("agent_id", func(r *callRow) string { return r.AgentID }),
	text("agent_name", func(r *callRow) string { return r.AgentName }),
	text("list_id", func(r *callRow) string { return r.ListID }),
	text("campaign", func(r *callRow) string { return r.Campaign }),
	text("status", func(r *callRow) string { return r.Status }),
	maybe("started_at", func(r *callRow) *time.Time { return r.StartedAt }),
	maybe("answered_at", func(r *callRow) *time.Time { return r.AnsweredAt }),
	maybe("ended_at", func(r *callRow) *time.Time { return r.EndedAt }),
	maybeNumber("duration_sec", func(r *callRow) *int64 { return r.DurationSec }),
	text("disposition", func(r *callRow) string { return r.Disposition }),
	maybe("disposition_at", func(r *callRow) *time.Time { return r.DispositionAt }),
	count32("notes", func(r *callRow) uint32 { return r.Notes }),
	flag("has_recording", func(r *callRow) bool { return r.HasRecording }),
	flag("has_transcript", func(r *callRow) bool { return r.HasTranscript }),
	text("summary", func(r *callRow) string { return r.Summary }),
	texts("tags", func(r *callRow) []string { return r.Tags }),
	text("original_call_id", func(r *callRow) string { return r.OriginalCallID }),
	text("custom", func(r *callRow) string { return r.Custom }),
	moment("first_seen_at", func(r *callRow) time.Time { return r.FirstSeenAt }),
	moment("updated_at", func(r *callRow) time.Time { return r.UpdatedAt }),
	count64("version", func(r *callRow) uint64 { return r.Version }),
	count16("partition", func(r *callRow) uint16 { return uint16(r.Position.Partition) }),
	count64("offset", func(r *callRow) uint64 { return uint64(r.Position.Offset) }),
	bytesOf("state", func(r *callRow) []byte { return r.State }),
}}

type agentRow = projections.AgentStateRow

var agentTable = table[agentRow]{name: "agent_states", columns: []column[agentRow]{
	text("org_id", func(r *agentRow) string { return r.Org }),
	text("agent_id", func(r *agentRow) string { return r.AgentID }),
	count32("seq", func(r *agentRow) uint32 { return r.Seq }),
	text("state", func(r *agentRow) string { return r.State }),
	text("reason", func(r *agentRow) string { return r.Reason }),
	text("campaign", func(r *agentRow) string { return r.Campaign }),
	text("agent_name", func(r *agentRow) string { return r.Name }),
	text("agent_email", func(r *agentRow) string { return r.Email }),
	moment("started_at", func(r *agentRow) time.Time { return r.StartedAt }),
	maybe("ended_at", func(r *agentRow) *time.Time { return r.EndedAt }),
	moment("first_seen_at", func(r *agentRow) time.Time { return r.FirstSeenAt }),
	count64("version", func(r *agentRow) uint64 { return r.Version }),
	count16("partition", func(r *agentRow) uint16 { return uint16(r.Position.Partition) }),
	count64("offset", func(r *agentRow) uint64 { return uint64(r.Position.Offset) }),
	bytesOf("agent", func(r *agentRow) []byte { return r.Agent }),
}}
