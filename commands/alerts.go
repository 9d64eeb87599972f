package commands

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
)

// TriggerAlert reports that a threshold was crossed.
type TriggerAlert struct {
	Rule      string    `json:"rule"`
	Metric    string    `json:"metric"`
	Condition string    `json:"condition"`
	Threshold *float64  `json:"threshold"`
	Value     *float64  `json:"value"`
	Severity  string    `json:"severity"`
	Campaign  string    `json:"campaign"`
	Note      string    `json:"note"`
	At        time.Time `json:"at"`
}

// TriggerAlert appends alert.triggered under a new id.
func (r *Recorder) TriggerAlert(ctx context.Context, c Caller, in TriggerAlert) (Receipt, error) {
	var bad faults
	if in.Threshold == nil {
		bad.add("/threshold", "a number is required")
	}
	if in.Value == nil {
		bad.add("/value", "a number is required")
	}
	if err := bad.take(plausible("/at", in.At), ""); err != nil {
		return Receipt{}, err
	}
	p := alert.Triggered{
		Rule: in.Rule, Metric: in.Metric, Condition: in.Condition, Threshold: deref(in.Threshold), Value: deref(in.Value),
		Severity: in.Severity, Campaign: in.Campaign, Note: in.Note,
	}
	if len(bad.list) > 0 {
		// Name the rest too: one round trip per mistake is unkind.
		var k checker
		_ = k.triggered(p)
		bad.list = append(bad.list, k.list...)
		return Receipt{}, bad.err()
	}
	receipts, err := r.Record(ctx, c, []Fact{{Payload: p, OccurredAt: in.At}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}

// AlertStep acknowledges or resolves an alert.
type AlertStep struct {
	Note string    `json:"note"`
	At   time.Time `json:"at"`
}

// AcknowledgeAlert appends that somebody has seen a known alert.
func (r *Recorder) AcknowledgeAlert(ctx context.Context, c Caller, id string, in AlertStep) (Receipt, error) {
	return r.alertStep(ctx, c, id, in, alert.Acknowledged{Note: in.Note})
}

// ResolveAlert appends that a known alert is over.
func (r *Recorder) ResolveAlert(ctx context.Context, c Caller, id string, in AlertStep) (Receipt, error) {
	return r.alertStep(ctx, c, id, in, alert.Resolved{Note: in.Note})
}

func (r *Recorder) alertStep(ctx context.Context, c Caller, id string, in AlertStep, p event.Payload) (Receipt, error) {
	if err := plausible("/at", in.At); err != nil {
		return Receipt{}, err
	}
	if !isID(id) {
		return Receipt{}, notAnID(id)
	}
	if err := r.mustKnow(ctx, c, event.Alerts, id); err != nil {
		return Receipt{}, err
	}
	receipts, err := r.Record(ctx, c, []Fact{{Subject: id, Payload: p, OccurredAt: in.At}})
	if err != nil {
		return Receipt{}, err
	}
	return receipts[0], nil
}
