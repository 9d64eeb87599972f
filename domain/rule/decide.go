package rule

import (
	"fmt"
	"math"
	"strconv"
	"time"

	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
)

// Series are the totals that a rule's value is made of: of the tick or window
// that ends now, and of the one that ended a window before.
type Series struct {
	Now, Before Sample
	// Whole says that the rule has been looked at for long enough for Before to
	// mean something.
	Whole bool
}

// Value is what a rule sees; false where there is none: a rate of nothing, a
// change from nothing.
func (r Rule) Value(s Series) (float64, bool) {
	now, ok := r.level(s.Now)
	if r.Condition != ChangePct {
		return now, ok
	}
	before, known := r.level(s.Before)
	if !ok || !known || !s.Whole || before == 0 {
		return 0, false
	}
	return round((now - before) / math.Abs(before) * 100), true
}

func (r Rule) level(s Sample) (float64, bool) {
	switch r.Metric {
	case DropRate, WaitTime:
		if s.N == 0 {
			return 0, false
		}
		average := s.Sum / float64(s.N)
		if r.Metric == DropRate {
			average *= 100
		}
		return round(average), true
	case PauseTime:
		return round(s.Max), true
	default:
		return float64(s.N), true
	}
}

// round keeps three decimals: a sum over partitions depends on their order in its
// last bits, and must not.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// State is how a rule stands between ticks.
type State struct {
	// AlertID is the alert that the rule has raised and not ended; empty if none.
	AlertID string
	// Since is the tick at which it was raised.
	Since time.Time
}

// Decide says what follows for a rule from its value at a tick. An alert is
// raised when the condition begins to hold and ends when it ceases to, whatever
// people did to it meanwhile: somebody who resolves it by hand is not told the
// same again until the condition has ended and begins anew.
func (r Rule) Decide(s State, tick time.Time, value float64, known bool) (State, event.Payload) {
	holds := r.Enabled && known && r.Condition.Holds(value, r.Threshold)
	switch {
	case holds && s.AlertID == "":
		s = State{AlertID: r.AlertID(tick), Since: tick}
		return s, alert.Triggered{
			Rule: r.Name, RuleID: r.ID, Metric: string(r.Metric), Condition: string(r.Condition), Threshold: r.Threshold, Value: value,
			WindowSec: r.WindowSec, Severity: r.Severity, Campaign: r.Campaign,
		}
	case !holds && s.AlertID != "":
		note := "The condition has ended."
		switch {
		case !r.Enabled:
			note = "The rule was disabled."
		case known:
			note = fmt.Sprintf("The condition has ended: the value is %s.", strconv.FormatFloat(value, 'f', -1, 64))
		}
		return State{}, alert.Resolved{Note: note}
	}
	return s, nil
}

// AlertID is the id of the alert that a rule raises at a tick.
func (r Rule) AlertID(tick time.Time) string {
	return event.DeriveID("alert", "rule", r.Org, r.ID, tick.UTC().Format(time.RFC3339Nano))
}

// Fact makes the event of what Decide said about an alert, at a tick. It is the
// same whoever says it.
func Fact(org, alertID string, tick, now time.Time, p event.Payload) (event.Event, error) {
	return event.New(event.Envelope{
		ID: event.DeriveID(string(p.EventType()), alertID), Source: "hub", Subject: alertID, Org: org, Actor: "hub",
		Origin: event.OriginLive, OccurredAt: tick, RecordedAt: now,
	}, p)
}
