package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"trunkline.dev/trunkline/adapters/dialects"
	"trunkline.dev/trunkline/adapters/webhooks"
)

// listenCommand forwards to a URL of the caller's what a webhook would get, as
// it happens: for local development, where no address is public. Nothing is owed
// to it and nothing is tried again.
type listenCommand struct {
	Forward  string   `required:"" help:"Where to send webhooks, such as http://127.0.0.1:3000/hooks."`
	As       string   `default:"trunkline" help:"The dialect: ${dialects}."`
	Events   []string `help:"Events of the dialect, comma-separated; default: all."`
	List     string   `help:"Only calls and leads of this list."`
	Provider string   `enum:"zapier,custom," default:"" help:"dialnote's provider: zapier or custom."`
	IDs      string   `name:"ids" enum:"hub,source" default:"hub" help:"Whose ids of calls and leads the bodies carry: hub or source."`
	After    string   `default:"now" help:"A cursor of the feed to begin behind; default: what comes from now on."`
	Secret   string   `env:"TRUNKLINE_WEBHOOK_SECRET" help:"Sign with this secret; default: one that is made up and printed."`
	JSON     bool     `name:"json" help:"Print a JSON object for each."`
}

// Run follows the hub until it is interrupted.
func (c listenCommand) Run(ctx context.Context, s streams) error {
	d, err := dialectOf(c.As)
	if err != nil {
		return err
	}
	if err := checkURL("--forward", c.Forward); err != nil {
		return err
	}
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	op.http = &http.Client{} // a stream has no end
	if c.Secret == "" {
		if c.Secret, err = newSecret(); err != nil {
			return err
		}
	}
	sender, err := ownSender()
	if err != nil {
		return err
	}
	defer sender.Close()
	f := forwarder{listenCommand: c, dialect: d, sender: sender, streams: s}
	fmt.Fprintf(s.err, "Forwarding %s webhooks of %s to %s, signed with\n  %s\n", d.Name(), op.base, c.Forward, c.Secret)
	q := url.Values{"dialect": {d.Name()}, "ids": {c.IDs}}
	for name, value := range map[string]string{"events": strings.Join(c.Events, ","), "list_id": c.List, "provider": c.Provider} {
		if value != "" {
			q.Set(name, value)
		}
	}
	return op.follow(ctx, "/v1/webhooks/stream", q, c.After, s.err, f.take)
}

// forwarder sends what comes to the caller's URL.
type forwarder struct {
	listenCommand
	dialect dialects.Dialect
	sender  *webhooks.Sender
	streams streams
}

// forwarded is what became of one webhook, for --json.
type forwarded struct {
	At         time.Time `json:"at"`
	Event      string    `json:"dialect_event"`
	EventID    string    `json:"event_id"`
	WebhookID  string    `json:"webhook_id"`
	StatusCode int       `json:"status_code"`
	DurationMS float64   `json:"duration_ms"`
	Error      string    `json:"error,omitempty"`
}

func (f forwarder) take(ctx context.Context, data []byte) error {
	var p previewed
	if err := json.Unmarshal(data, &p); err != nil {
		return fmt.Errorf("reading the hub's stream: %w", err)
	}
	res, err := p.outgoing().post(ctx, f.sender, f.dialect, f.Forward, f.Secret)
	if err != nil || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	out := forwarded{
		At: res.StartedAt.UTC(), Event: p.Name, EventID: p.EventID, WebhookID: p.ID, StatusCode: res.StatusCode,
		DurationMS: float64(res.Duration.Microseconds()) / 1000, Error: res.Error,
	}
	if f.JSON {
		return json.NewEncoder(f.streams.out).Encode(out)
	}
	verdict := fmt.Sprint(out.StatusCode)
	if res.StatusCode == 0 {
		verdict = "---"
	}
	line := fmt.Sprintf("%s  %s  %8.1f ms  %-18s %s", res.StartedAt.Format("15:04:05.000"), verdict, out.DurationMS, p.Name, p.EventID)
	if res.Error != "" {
		line += "  " + res.Error
	}
	_, err = fmt.Fprintln(f.streams.out, line)
	return err
}
