package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// deliveriesReconcile accounts for the webhooks of a running hub over its API.
type deliveriesReconcile struct {
	Webhook string `help:"Id of one webhook; without it all of the org." placeholder:"ID"`
	Day     string `help:"A day of UTC, by when events were recorded; without it today." placeholder:"YYYY-MM-DD"`
	JSON    bool   `name:"json" help:"Print the API's answers, one a line."`
}

// reconciled is an account in the API's words.
type reconciled struct {
	WebhookID  string           `json:"webhook_id"`
	Day        string           `json:"day"`
	Appended   int64            `json:"appended"`
	Owed       int64            `json:"owed"`
	Filtered   map[string]int64 `json:"filtered"`
	Delivered  int64            `json:"delivered"`
	Exhausted  int64            `json:"exhausted"`
	Held       int64            `json:"held"`
	Pending    int64            `json:"pending"`
	Dropped    []reasonCount    `json:"dropped"`
	Behind     int64            `json:"behind"`
	Difference int64            `json:"difference"`
	Data       []struct {
		EventID   string `json:"event_id"`
		EventType string `json:"event_type"`
		Position  string `json:"position"`
		Known     string `json:"known"`
	} `json:"data"`
	NextCursor *string `json:"next_cursor"`
}

type reasonCount struct {
	Reason string `json:"reason"`
	Count  int64  `json:"count"`
}

// errUnaccounted makes the exit code of a difference.
var errUnaccounted = errors.New("some events are unaccounted for")

// Run prints one line for each webhook, and what is unaccounted for.
func (c deliveriesReconcile) Run(ctx context.Context, s streams) error {
	if c.Day != "" {
		if _, err := time.Parse(time.DateOnly, c.Day); err != nil {
			return fmt.Errorf("%w: --day wants YYYY-MM-DD", errUsage)
		}
	}
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	hooks, err := c.webhooks(ctx, op)
	if err != nil {
		return err
	}
	op.http = &http.Client{} // a full day is planned anew: as long as it takes
	var all []reconciled
	for _, h := range hooks {
		var r reconciled
		raw, err := ask(ctx, op, http.MethodGet, pathOf("webhooks", h.ID, "reconciliation?limit=20"+c.dayParameter()), nil, &r)
		if err != nil {
			return err
		}
		if c.JSON {
			if err := printRaw(s.out, raw); err != nil {
				return err
			}
		}
		all = append(all, r)
	}
	if !c.JSON {
		if err := printAccounts(s.out, hooks, all); err != nil {
			return err
		}
	}
	for _, r := range all {
		if r.Difference != 0 {
			return errUnaccounted
		}
	}
	return nil
}

func (c deliveriesReconcile) dayParameter() string {
	if c.Day == "" {
		return ""
	}
	return "&day=" + url.QueryEscape(c.Day)
}

type namedWebhook struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

// webhooks are those that are asked for.
func (c deliveriesReconcile) webhooks(ctx context.Context, op *operator) ([]namedWebhook, error) {
	if c.Webhook != "" {
		var one namedWebhook
		err := op.call(ctx, http.MethodGet, pathOf("webhooks", c.Webhook, ""), nil, &one)
		if refused, ok := errors.AsType[*apiError](err); ok && refused.Status == http.StatusNotFound {
			// It may have been deleted, and have accounts still.
			return []namedWebhook{{ID: c.Webhook}}, nil
		}
		return []namedWebhook{one}, err
	}
	var all []namedWebhook
	err := eachPage(ctx, op, func(cursor string) string { return "/v1/webhooks?limit=200&cursor=" + url.QueryEscape(cursor) }, func(_ json.RawMessage, page []namedWebhook) error {
		all = append(all, page...)
		return nil
	})
	return all, err
}

func printAccounts(w io.Writer, hooks []namedWebhook, all []reconciled) error {
	t := table(w)
	fmt.Fprintln(t, "WEBHOOK\tNAME\tAPPENDED\tFILTERED\tOWED\tDELIVERED\tEXHAUSTED\tDROPPED\tHELD\tPENDING\tBEHIND\tDIFFERENCE")
	for i, r := range all {
		var dropped int64
		for _, d := range r.Dropped {
			dropped += d.Count
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\t%d\n", r.WebhookID, hooks[i].Name, r.Appended, r.Appended-r.Owed, r.Owed,
			r.Delivered, r.Exhausted, dropped, r.Held, r.Pending, r.Behind, r.Difference)
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for _, r := range all {
		for _, d := range r.Data {
			fmt.Fprintf(w, "%s: %s %s at %s: %s\n", r.WebhookID, d.EventType, d.EventID, d.Position, d.Known)
		}
		if r.NextCursor != nil {
			fmt.Fprintf(w, "%s: … and more\n", r.WebhookID)
		}
	}
	return nil
}
