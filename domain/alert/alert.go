// Package alert holds the facts of an alert: triggered, acknowledged, resolved.
package alert

import (
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// The statuses of an alert.
const (
	StatusTriggered    = "triggered"
	StatusAcknowledged = "acknowledged"
	StatusResolved     = "resolved"
)

// Alert is the state of one alert.
type Alert struct {
	ID             string     `json:"id"`
	Rule           string     `json:"rule"`
	RuleID         string     `json:"rule_id,omitempty"`
	Metric         string     `json:"metric"`
	Condition      string     `json:"condition"`
	Threshold      float64    `json:"threshold"`
	Value          float64    `json:"value"`
	WindowSec      int64      `json:"window_sec,omitempty"`
	Severity       string     `json:"severity"`
	Campaign       string     `json:"campaign,omitempty"`
	Status         string     `json:"status"`
	Notes          []Note     `json:"notes"`
	TriggeredAt    time.Time  `json:"triggered_at"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	ResolvedAt     *time.Time `json:"resolved_at"`
}

// Note is a remark made with one of the steps.
type Note struct {
	Body  string    `json:"body"`
	Actor string    `json:"actor,omitempty"`
	At    time.Time `json:"at"`
}

type fact interface {
	event.Payload
	fold(a *Alert, e event.Envelope)
}

// Apply folds one event.
func (a *Alert) Apply(e event.Envelope, p event.Payload) error {
	f, ok := p.(fact)
	if !ok {
		return event.NotApplicable("alert", p)
	}
	a.ID = e.Subject
	f.fold(a, e)
	return nil
}

func (a *Alert) note(body string, e event.Envelope) {
	if body != "" {
		a.Notes = append(slices.Clip(a.Notes), Note{Body: body, Actor: e.Actor, At: e.OccurredAt})
	}
}
