package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
)

// deliveriesCommand looks at single deliveries of a running hub, and sends them
// again or gives them up, over its API.
type deliveriesCommand struct {
	List    deliveriesList    `cmd:"" help:"List the deliveries of a webhook, the newest event first."`
	Show    deliveriesShow    `cmd:"" help:"Show a delivery and its attempts, with what was sent and answered."`
	Resend  deliveriesResend  `cmd:"" help:"Send a delivery again now, finished or not, under the same webhook-id."`
	Cancel  deliveriesCancel  `cmd:"" help:"Give up a pending or held delivery. Exit code 1 when it had ended before."`
	Recover deliveriesRecover `cmd:"" help:"Send again what ended without success, but for what was given up on purpose."`

	Reconcile deliveriesReconcile `cmd:"" help:"Account for every event of a day towards each webhook. Exit code 1 when anything is unaccounted for."`
}

// deliveryState is a delivery in the API's words.
type deliveryState struct {
	ID            string         `json:"id"`
	WebhookID     string         `json:"webhook_id"`
	EventID       string         `json:"event_id"`
	EventType     string         `json:"event_type"`
	Entity        string         `json:"entity"`
	Status        string         `json:"status"`
	Reason        *string        `json:"reason"`
	Attempts      []attemptState `json:"attempts"`
	NextAttemptAt *string        `json:"next_attempt_at"`
}

// attemptState is one attempt of it.
type attemptState struct {
	Number       int     `json:"number"`
	StartedAt    string  `json:"started_at"`
	DurationMS   float64 `json:"duration_ms"`
	StatusCode   *int    `json:"status_code"`
	RequestBody  string  `json:"request_body"`
	ResponseBody string  `json:"response_body"`
	Error        *string `json:"error"`
}

type deliveriesList struct {
	Webhook string `arg:"" help:"Id of the webhook."`
	Status  string `enum:"pending,delivered,exhausted,held,dropped," default:"" help:"Only these: pending, delivered, exhausted, held or dropped."`
	Since   string `placeholder:"TIME" help:"Only of events since a time, or since so long ago: 2h."`
	Limit   int    `default:"50" help:"How many."`
	JSON    bool   `name:"json" help:"Print the API's answers."`
}

// Run prints one line for each delivery.
func (c deliveriesList) Run(ctx context.Context, s streams) error {
	query := url.Values{}
	if c.Status != "" {
		query.Set("status", c.Status)
	}
	if c.Since != "" {
		at, err := timeOrAgo(c.Since, time.Now())
		if err != nil {
			return fmt.Errorf("%w: --since: %w", errUsage, err)
		}
		query.Set("since", at.UTC().Format(time.RFC3339Nano))
	}
	l := listing[deliveryState]{
		path: pathOf("webhooks", c.Webhook, "deliveries"), query: query, limit: c.Limit, json: c.JSON,
		columns: "ID\tSTATUS\tTYPE\tENTITY\tATTEMPTS\tNEXT\tREASON",
	}
	return l.print(ctx, s, func(t io.Writer, d deliveryState) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%d\t%s\t%s\n", d.ID, d.Status, d.EventType, d.Entity, len(d.Attempts), orDash(d.NextAttemptAt), orDash(d.Reason))
	})
}

type deliveriesShow struct {
	ID   string `arg:"" help:"Id of the delivery, the webhook-id of its requests."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run prints a delivery.
func (c deliveriesShow) Run(ctx context.Context, s streams) error {
	var d deliveryState
	return show(ctx, s, question{method: http.MethodGet, path: pathOf("deliveries", c.ID, ""), json: c.JSON}, &d, func() error {
		fmt.Fprintf(s.out, "%s of %s %s to webhook %s: %s\n", d.ID, d.EventType, d.Entity, d.WebhookID, d.Status)
		if d.Reason != nil {
			fmt.Fprintf(s.out, "because %s\n", *d.Reason)
		}
		if d.NextAttemptAt != nil {
			fmt.Fprintf(s.out, "the next attempt is due at %s\n", *d.NextAttemptAt)
		}
		for _, a := range d.Attempts {
			printAttempt(s.out, a)
		}
		return nil
	})
}

func printAttempt(w io.Writer, a attemptState) {
	outcome := "no answer"
	if a.StatusCode != nil {
		outcome = fmt.Sprint(*a.StatusCode)
	}
	if a.Error != nil {
		outcome += ", " + *a.Error
	}
	fmt.Fprintf(w, "\nattempt %d at %s, %.1f ms: %s\n", a.Number, a.StartedAt, a.DurationMS, visible(outcome))
	fmt.Fprintf(w, "  sent      %s\n  answered  %s\n", visible(a.RequestBody), visible(a.ResponseBody))
}

type deliveriesResend struct {
	ID   string `arg:"" help:"Id of the delivery."`
	JSON bool   `name:"json" help:"Print the API's answer."`
}

// Run sends a delivery again.
func (c deliveriesResend) Run(ctx context.Context, s streams) error {
	q := question{method: http.MethodPost, path: pathOf("deliveries", c.ID, "resend"), json: c.JSON}
	var answer struct {
		WebhookID string `json:"webhook_id"`
		Status    string `json:"status"`
	}
	return show(ctx, s, q, &answer, func() error {
		if answer.Status == string(delivery.IsHeld) {
			_, err := fmt.Fprintf(s.out, "%s is held: it will be sent again when %s is enabled\n", c.ID, answer.WebhookID)
			return err
		}
		_, err := fmt.Fprintf(s.out, "%s will be sent again now\n", c.ID)
		return err
	})
}

type deliveriesCancel struct {
	ID     string `arg:"" help:"Id of the delivery."`
	Reason string `placeholder:"TEXT" help:"Why; kept."`
	JSON   bool   `name:"json" help:"Print the API's answer."`
}

// Run gives a delivery up.
func (c deliveriesCancel) Run(ctx context.Context, s streams) error {
	var d deliveryState
	q := question{method: http.MethodPost, path: pathOf("deliveries", c.ID, "cancel"), body: reasonBody(c.Reason), json: c.JSON}
	return show(ctx, s, q, &d, func() error {
		if d.Status != "dropped" {
			_, err := fmt.Fprintf(s.out, "%s is %s; the hub will drop it as soon as it can\n", d.ID, d.Status)
			return err
		}
		_, err := fmt.Fprintf(s.out, "%s is dropped\n", d.ID)
		return err
	})
}

type deliveriesRecover struct {
	Webhook string `arg:"" help:"Id of the webhook."`
	Since   string `required:"" placeholder:"TIME" help:"Of events recorded since a time, or since so long ago: 24h."`
	Until   string `placeholder:"TIME" help:"And before this one; until now if left out."`
	JSON    bool   `name:"json" help:"Print the API's answer."`
}

// Run begins to send again what ended without success.
func (c deliveriesRecover) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	scope, err := replayScope{From: c.Since, Until: c.Until}.body(false)
	if err != nil {
		return err
	}
	body := map[string]any{"since": scope["from"]}
	if until, ok := scope["until"]; ok {
		body["until"] = until
	}
	var answer struct {
		Deliveries int64  `json:"deliveries"`
		ReplayID   string `json:"replay_id"`
	}
	q := question{method: http.MethodPost, path: pathOf("webhooks", c.Webhook, "recover"), body: body, json: c.JSON}
	return op.show(ctx, s, q, &answer, func() error {
		_, err := fmt.Fprintf(s.out, "%d deliveries will be sent again; see: trunkline replay report %s\n", answer.Deliveries, answer.ReplayID)
		return err
	})
}
