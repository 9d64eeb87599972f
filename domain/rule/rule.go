// Package rule holds alert rules: thresholds over the hub's own streams, and how
// what happened decides whether one is crossed. It is arithmetic over the log: a
// rule is looked at in fixed moments (ticks), what counts for a tick follows from
// where and when events stand in the log, and the alert's id follows from rule
// and tick. So whoever reads the same log raises the same alerts.
package rule

import (
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Metric is what a rule looks at.
type Metric string

// The metrics. Those of the first group have a value at every moment; those of
// the second are of what happened within the rule's window.
const (
	// QueueDepth counts inbound calls that ring: started, not answered, not ended.
	QueueDepth Metric = "queue_depth"
	// OpenCalls counts calls that began at least a window ago and have not ended.
	OpenCalls Metric = "open_calls"
	// PauseTime is how many seconds the longest pause lasts by now.
	PauseTime Metric = "pause_time"
	// AgentCount counts agents that are logged in, paused ones too.
	AgentCount Metric = "agent_count"
	// RecordingsExpiring counts recordings that are not fetched and whose source's
	// link ends within the window.
	RecordingsExpiring Metric = "recordings_expiring"

	// DropRate is the share of ended calls, in percent, that were dropped: inbound
	// and never answered, or said so by the source.
	DropRate Metric = "drop_rate"
	// WaitTime is how many seconds answered calls waited for their answer, on
	// average.
	WaitTime Metric = "wait_time"
	// DeliveryFailures counts attempts of webhooks that failed.
	DeliveryFailures Metric = "delivery_failures"
)

// Metrics are all metrics, in the order in which they are documented.
func Metrics() []Metric {
	return []Metric{QueueDepth, WaitTime, DropRate, OpenCalls, AgentCount, PauseTime, DeliveryFailures, RecordingsExpiring}
}

// Windowed reports whether a metric is of what happened within the window.
func (m Metric) Windowed() bool { return m == DropRate || m == WaitTime || m == DeliveryFailures }

// Campaigned reports whether a metric can be that of one campaign.
func (m Metric) Campaigned() bool { return m != DeliveryFailures && m != RecordingsExpiring }

// Topic is where a metric comes from.
func (m Metric) Topic() event.Topic {
	switch m {
	case AgentCount, PauseTime:
		return event.Agents
	case DeliveryFailures:
		return event.Deliveries
	default:
		return event.Calls
	}
}

// ReadMetric reads a metric as people write it: "Queue depth" is queue_depth.
func ReadMetric(s string) (Metric, bool) {
	m := Metric(strings.NewReplacer(" ", "_", "-", "_").Replace(strings.ToLower(strings.TrimSpace(s))))
	return m, slices.Contains(Metrics(), m)
}

// Condition is how a value is compared with the threshold.
type Condition string

// The conditions. ChangePct compares with one window before, in percent: at
// least so much more, or for a negative threshold at least so much less.
const (
	Above     Condition = ">"
	Below     Condition = "<"
	Equal     Condition = "="
	AtLeast   Condition = ">="
	AtMost    Condition = "<="
	ChangePct Condition = "change_pct"
)

// Conditions are all conditions.
func Conditions() []Condition { return []Condition{Above, Below, Equal, AtLeast, AtMost, ChangePct} }

// Holds reports whether a value meets the threshold; of ChangePct the value is
// the change.
func (c Condition) Holds(value, threshold float64) bool {
	switch c {
	case Above:
		return value > threshold
	case Below:
		return value < threshold
	case Equal:
		return value == threshold
	case AtLeast:
		return value >= threshold
	case AtMost:
		return value <= threshold
	case ChangePct:
		if threshold < 0 {
			return value <= threshold
		}
		return value >= threshold
	}
	return false
}

// Rule is one threshold of an org.
type Rule struct {
	ID        string    `json:"id"`
	Org       string    `json:"org_id"`
	Name      string    `json:"name"`
	Metric    Metric    `json:"metric"`
	Condition Condition `json:"condition"`
	Threshold float64   `json:"threshold"`
	// WindowSec is the span that the metric or the change is of.
	WindowSec int64 `json:"window_sec"`
	// Campaign limits the metric to one campaign; empty is all.
	Campaign string `json:"campaign,omitempty"`
	Severity string `json:"severity"`
	// Enabled is false for a rule that is not looked at; its open alert ends.
	Enabled   bool      `json:"enabled"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
}

// Window is the span that the metric or the change is of.
func (r Rule) Window() time.Duration { return time.Duration(r.WindowSec) * time.Second }

// Changed says that a rule was made, changed or deleted.
type Changed struct {
	tenant.Change
	// After is the rule as it is from now on; absent when it was deleted.
	After *Rule `json:"after,omitempty"`
}

// EventType returns rule.changed.v1.
func (Changed) EventType() event.Type { return "rule.changed.v1" }
