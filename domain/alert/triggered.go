package alert

import (
	"encoding/json"

	"trunkline.dev/trunkline/domain/event"
)

// Triggered says that a threshold was crossed. After the alert's end it opens the alert
// again: some sources keep the id of an alarm. One that happened before the one that is
// known, and comes late, is history only, but for its note.
type Triggered struct {
	Rule string `json:"rule"`
	// RuleID is the hub's own rule that was crossed; empty for what others report.
	RuleID    string  `json:"rule_id,omitempty"`
	Metric    string  `json:"metric"`
	Condition string  `json:"condition"`
	Threshold float64 `json:"threshold"`
	Value     float64 `json:"value"`
	WindowSec int64   `json:"window_sec,omitempty"`
	Severity  string  `json:"severity"`
	Campaign  string  `json:"campaign,omitempty"`
	Note      string  `json:"note,omitempty" pii:"content"`
	// SourceData are unknown fields of an inbound webhook, kept as they came.
	SourceData map[string]json.RawMessage `json:"source_data,omitempty" pii:"content"`
}

// EventType returns alert.triggered.v1.
func (Triggered) EventType() event.Type { return "alert.triggered.v1" }

func (f Triggered) fold(a *Alert, e event.Envelope) {
	again := a.ResolvedAt != nil && e.OccurredAt.After(*a.ResolvedAt)
	if again {
		a.Status, a.AcknowledgedAt, a.ResolvedAt = "", nil, nil
	}
	if again || !e.OccurredAt.Before(a.TriggeredAt) {
		a.Rule, a.RuleID, a.Metric, a.Condition, a.WindowSec = f.Rule, f.RuleID, f.Metric, f.Condition, f.WindowSec
		a.Threshold, a.Value, a.Severity, a.Campaign = f.Threshold, f.Value, f.Severity, f.Campaign
		a.TriggeredAt = e.OccurredAt
	}
	if a.Status == "" {
		a.Status = StatusTriggered
	}
	a.note(f.Note, e)
}
