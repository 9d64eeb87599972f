package settings

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// NewRule is the body of POST /v1/alert-rules.
type NewRule struct {
	Name string `json:"name"`
	// Metric is one of rule.Metrics, also as people write it ("Queue depth").
	Metric    string   `json:"metric"`
	Condition string   `json:"condition"`
	Threshold *float64 `json:"threshold"`
	Window    *Span    `json:"window"`
	Campaign  string   `json:"campaign"`
	Severity  string   `json:"severity"`
	Enabled   *bool    `json:"enabled"`
}

// RulePatch is the body of PATCH /v1/alert-rules/{id}; absent keeps, null gives
// the default.
type RulePatch struct {
	Name      event.Opt[string]  `json:"name"`
	Metric    event.Opt[string]  `json:"metric"`
	Condition event.Opt[string]  `json:"condition"`
	Threshold event.Opt[float64] `json:"threshold"`
	Window    event.Opt[Span]    `json:"window"`
	Campaign  event.Opt[string]  `json:"campaign"`
	Severity  event.Opt[string]  `json:"severity"`
	Enabled   event.Opt[bool]    `json:"enabled"`
}

// Span is a length of time: seconds as a number, or a text like "5m".
type Span int64

// errSpan is what is wrong with a span.
var errSpan = errors.New("expected seconds as a number, or a text such as 5m or 1h30m")

// UnmarshalJSON reads both forms.
func (s *Span) UnmarshalJSON(b []byte) error {
	if b = bytes.TrimSpace(b); len(b) > 0 && b[0] != '"' {
		var n int64
		if json.Unmarshal(b, &n) != nil {
			return errSpan
		}
		*s = Span(n)
		return nil
	}
	var text string
	if err := json.Unmarshal(b, &text); err != nil {
		return errSpan
	}
	d, err := time.ParseDuration(text)
	if err != nil || d%time.Second != 0 {
		return errSpan
	}
	*s = Span(d / time.Second)
	return nil
}

// The bounds and defaults of rules.
const (
	defaultWindow   = Span(300)
	maxWindow       = Span(24 * 3600)
	defaultSeverity = "warning"
	// MaxRules bounds the rules of an org: each is looked at all the time.
	MaxRules = 200
)

// Severities are the words for how bad it is.
func Severities() []string { return []string{"info", "warning", "high", "critical"} }

// CreateRule makes an alert rule.
func (s *Service) CreateRule(ctx context.Context, c commands.Caller, in NewRule) (made rule.Rule, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		id, err := d.id("rule")
		if err != nil {
			return err
		}
		if known, ok := d.now.Rule(c.Org.ID, id); ok {
			if d.repeated(known.CreatedAt) {
				made = known
				return nil
			}
			if id, err = d.freshID("rule"); err != nil {
				return err
			}
		}
		if len(d.now.Rules(c.Org.ID)) >= MaxRules {
			return &Conflict{Reason: "an organisation has at most 200 alert rules"}
		}
		window := defaultWindow
		if in.Window != nil {
			window = *in.Window
		}
		made = rule.Rule{
			ID: id, Org: c.Org.ID, Name: in.Name, Metric: rule.Metric(in.Metric), Condition: rule.Condition(in.Condition),
			WindowSec: int64(window), Campaign: in.Campaign, Severity: in.Severity, Enabled: in.Enabled == nil || *in.Enabled,
			CreatedAt: d.at, UpdatedAt: d.at,
		}
		var f faults
		if in.Threshold == nil {
			f.add("/threshold", "a number is required")
		} else {
			made.Threshold = *in.Threshold
		}
		if err := f.rule(&made); err != nil {
			return err
		}
		d.putRule(made, tenant.Created)
		return nil
	})
	return made, err
}

// ChangeRule changes a rule. What it has seen counts no more: it begins anew.
func (s *Service) ChangeRule(ctx context.Context, c commands.Caller, id string, in RulePatch) (changed rule.Rule, err error) {
	err = s.change(ctx, c, func(d *draft) error {
		var ok bool
		if changed, ok = d.now.Rule(c.Org.ID, id); !ok {
			return missing(Rules, id)
		}
		metric, condition, window := string(changed.Metric), string(changed.Condition), Span(changed.WindowSec)
		set(&changed.Name, in.Name, "")
		set(&metric, in.Metric, "")
		set(&condition, in.Condition, "")
		set(&changed.Threshold, in.Threshold, math.NaN())
		set(&window, in.Window, defaultWindow)
		set(&changed.Campaign, in.Campaign, "")
		set(&changed.Severity, in.Severity, defaultSeverity)
		set(&changed.Enabled, in.Enabled, true)
		changed.Metric, changed.Condition, changed.WindowSec, changed.UpdatedAt = rule.Metric(metric), rule.Condition(condition), int64(window), d.at
		var f faults
		if err := f.rule(&changed); err != nil {
			return err
		}
		d.putRule(changed, tenant.Updated)
		return nil
	})
	return changed, err
}

// DeleteRule deletes a rule. The alert that it has open ends.
func (s *Service) DeleteRule(ctx context.Context, c commands.Caller, id string) error {
	return s.change(ctx, c, func(d *draft) error {
		r, ok := d.now.Rule(c.Org.ID, id)
		if !ok {
			return missing(Rules, id)
		}
		d.out.Deleted = append(d.out.Deleted, Ref{Rules, r.ID})
		d.fact(r.Org, r.ID, rule.Changed{Change: d.said(tenant.Deleted, r.ID, "")})
		return nil
	})
}

func (d *draft) putRule(r rule.Rule, a tenant.Action) {
	d.out.Rules = append(d.out.Rules, r)
	d.fact(r.Org, r.ID, rule.Changed{Change: d.said(a, r.ID, ""), After: &r})
}

// rule brings a rule to its stored form and says all that is wrong with it.
func (f *faults) rule(r *rule.Rule) error {
	f.name("/name", r.Name)
	metric, ok := rule.ReadMetric(string(r.Metric))
	if !ok {
		f.add("/metric", "expected one of %s", words(rule.Metrics()))
	}
	r.Metric = metric
	if !slices.Contains(rule.Conditions(), r.Condition) {
		f.add("/condition", "expected one of %s", words(rule.Conditions()))
	}
	if math.IsNaN(r.Threshold) || math.IsInf(r.Threshold, 0) {
		f.add("/threshold", "a number is required")
	}
	if w := Span(r.WindowSec); w < 1 || w > maxWindow {
		f.add("/window", "expected 1 to %d seconds", int64(maxWindow))
	}
	f.text("/campaign", r.Campaign, 512)
	if ok && r.Campaign != "" && !metric.Campaigned() {
		f.add("/campaign", "%s cannot be told by campaign", metric)
	}
	if r.Severity == "" {
		r.Severity = defaultSeverity
	}
	if !slices.Contains(Severities(), r.Severity) {
		f.add("/severity", "expected one of %s", strings.Join(Severities(), ", "))
	}
	return f.err()
}

func words[S ~string](all []S) string {
	list := make([]string, len(all))
	for i, s := range all {
		list[i] = string(s)
	}
	return strings.Join(list, ", ")
}
