package rule_test

import (
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
)

var noon = time.Date(2026, 3, 7, 12, 0, 0, 0, time.UTC)

func TestMetricsAreReadAsPeopleWriteThem(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]rule.Metric{
		"queue_depth": rule.QueueDepth, "Queue depth": rule.QueueDepth, " drop-rate ": rule.DropRate, "AGENT_COUNT": rule.AgentCount, "queue": "", "": "",
	} {
		if got, ok := rule.ReadMetric(text); ok != (want != "") || ok && got != want {
			t.Errorf("%q is %q, %v", text, got, ok)
		}
	}
}

func TestWindowsAreWholeTicks(t *testing.T) {
	t.Parallel()
	for seconds, want := range map[int]int{1: 10, 4: 10, 10: 10, 14: 20, 15: 20, 20: 20, 300: 300, 86_399: 86_400} {
		if got := rule.Ticks(time.Duration(seconds)*time.Second, 10*time.Second); got != time.Duration(want)*time.Second {
			t.Errorf("%d s are %s, want %d s", seconds, got, want)
		}
	}
}

func TestConditions(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		is               rule.Condition
		value, threshold float64
		want             bool
	}{
		{rule.Above, 2, 1, true},
		{rule.Above, 1, 1, false},
		{rule.Below, 0, 1, true},
		{rule.Below, 1, 1, false},
		{rule.Equal, 1, 1, true},
		{rule.Equal, 1.5, 1, false},
		{rule.AtLeast, 1, 1, true},
		{rule.AtLeast, 0, 1, false},
		{rule.AtMost, 1, 1, true},
		{rule.AtMost, 2, 1, false},
		{rule.ChangePct, 50, 50, true},
		{rule.ChangePct, 49, 50, false},
		{rule.ChangePct, -60, 50, false},
		{rule.ChangePct, -60, -50, true},
		{rule.ChangePct, -40, -50, false},
		{"!", 1, 1, false},
	} {
		if got := c.is.Holds(c.value, c.threshold); got != c.want {
			t.Errorf("%g %s %g is %v", c.value, c.is, c.threshold, got)
		}
	}
}

func TestValues(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		rule   rule.Rule
		series rule.Series
		want   float64
		none   bool
	}{
		"a count":                {rule.Rule{Metric: rule.QueueDepth}, rule.Series{Now: rule.Sample{N: 7}}, 7, false},
		"a count of nothing":     {rule.Rule{Metric: rule.AgentCount}, rule.Series{}, 0, false},
		"the longest":            {rule.Rule{Metric: rule.PauseTime}, rule.Series{Now: rule.Sample{N: 2, Max: 90.5}}, 90.5, false},
		"a share":                {rule.Rule{Metric: rule.DropRate}, rule.Series{Now: rule.Sample{N: 3, Sum: 1}}, 33.333, false},
		"a share of nothing":     {rule.Rule{Metric: rule.DropRate}, rule.Series{}, 0, true},
		"an average":             {rule.Rule{Metric: rule.WaitTime}, rule.Series{Now: rule.Sample{N: 4, Sum: 10}}, 2.5, false},
		"a rise":                 {rule.Rule{Metric: rule.QueueDepth, Condition: rule.ChangePct}, rule.Series{Now: rule.Sample{N: 15}, Before: rule.Sample{N: 10}, Whole: true}, 50, false},
		"a fall":                 {rule.Rule{Metric: rule.AgentCount, Condition: rule.ChangePct}, rule.Series{Before: rule.Sample{N: 10}, Whole: true}, -100, false},
		"a change from nothing":  {rule.Rule{Metric: rule.QueueDepth, Condition: rule.ChangePct}, rule.Series{Now: rule.Sample{N: 15}, Whole: true}, 0, true},
		"a change not yet known": {rule.Rule{Metric: rule.QueueDepth, Condition: rule.ChangePct}, rule.Series{Now: rule.Sample{N: 15}, Before: rule.Sample{N: 10}}, 0, true},
		"a change of nothing":    {rule.Rule{Metric: rule.DropRate, Condition: rule.ChangePct}, rule.Series{Before: rule.Sample{N: 10, Sum: 1}, Whole: true}, 0, true},
	} {
		if got, ok := c.rule.Value(c.series); got != c.want || ok == c.none {
			t.Errorf("%s: %g, %v", name, got, ok)
		}
	}
}

var queue = rule.Rule{
	ID: "r1", Org: "org", Name: "Queue too long", Metric: rule.QueueDepth, Condition: rule.Above, Threshold: 20, WindowSec: 300, Campaign: "Q1", Severity: "high", Enabled: true,
}

func TestAnAlertIsRaisedOnceAndEndsWithTheCondition(t *testing.T) {
	t.Parallel()
	var s rule.State
	var said []event.Payload
	step := func(r rule.Rule, i int, value float64, known bool) {
		var p event.Payload
		if s, p = r.Decide(s, noon.Add(time.Duration(i)*10*time.Second), value, known); p != nil {
			said = append(said, p)
		}
	}
	for i, v := range []float64{3, 21, 25, 21, 20, 27} {
		step(queue, i, v, true)
	}
	step(queue, 6, 0, false)
	step(queue, 7, 30, true)
	off := queue
	off.Enabled = false
	step(off, 8, 30, true)
	raised := func(v float64) alert.Triggered {
		return alert.Triggered{Rule: "Queue too long", RuleID: "r1", Metric: "queue_depth", Condition: ">", Threshold: 20, Value: v, WindowSec: 300, Severity: "high", Campaign: "Q1"}
	}
	want := []event.Payload{
		raised(21),
		alert.Resolved{Note: "The condition has ended: the value is 20."},
		raised(27),
		alert.Resolved{Note: "The condition has ended."},
		raised(30),
		alert.Resolved{Note: "The rule was disabled."},
	}
	if diff := cmp.Diff(want, said); diff != "" {
		t.Errorf("(-want +said):\n%s", diff)
	}
}

func TestAlertsOfOtherTicksAndRulesDiffer(t *testing.T) {
	t.Parallel()
	other := queue
	other.ID = "r2"
	a, b, c := queue.AlertID(noon), queue.AlertID(noon.Add(time.Second)), other.AlertID(noon)
	if a == b || a == c || a != queue.AlertID(noon.In(time.FixedZone("x", 3600))) {
		t.Errorf("ids are %s, %s, %s", a, b, c)
	}
	first, err := rule.Fact("org", a, noon, noon.Add(time.Second), alert.Resolved{})
	if err != nil {
		t.Fatal(err)
	}
	again, _ := rule.Fact("org", a, noon, noon.Add(time.Hour), alert.Resolved{})
	raised, _ := rule.Fact("org", a, noon, noon, alert.Triggered{})
	if first.ID != again.ID || first.ID == raised.ID || first.Subject != a || !first.OccurredAt.Equal(noon) {
		t.Errorf("facts are %+v, %+v, %+v", first.Envelope, again.Envelope, raised.Envelope)
	}
}

// Whatever the values are: raised and ended take turns, and an alert is open
// exactly while the condition held at the last tick.
func TestRaisedAndEndedTakeTurns(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		r := queue
		r.Condition = rapid.SampledFrom(rule.Conditions()).Draw(t, "condition")
		var s rule.State
		open := false
		for i := range rapid.IntRange(1, 50).Draw(t, "ticks") {
			v, known := rapid.Float64Range(-100, 100).Draw(t, "value"), rapid.Bool().Draw(t, "known")
			var p event.Payload
			s, p = r.Decide(s, noon.Add(time.Duration(i)*time.Second), v, known)
			switch p.(type) {
			case alert.Triggered:
				if open {
					t.Fatal("raised twice")
				}
				open = true
			case alert.Resolved:
				if !open {
					t.Fatal("ended twice")
				}
				open = false
			}
			if holds := known && r.Condition.Holds(v, r.Threshold); open != holds || open != (s.AlertID != "") {
				t.Fatalf("open %v, the condition holds %v", open, holds)
			}
		}
	})
}

func TestTicksAreOnAGrid(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		step := time.Duration(rapid.IntRange(1, 60).Draw(t, "step")) * time.Second
		at := noon.Add(time.Duration(rapid.Int64Range(0, math.MaxInt32).Draw(t, "at")) * time.Microsecond)
		tick := rule.TickOf(at, step)
		if tick.Before(at) || tick.Sub(at) >= step || !tick.Equal(tick.Truncate(step)) {
			t.Fatalf("%s counts at %s", at, tick)
		}
	})
}
