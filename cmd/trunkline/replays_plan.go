package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// replayScope says what is replayed, where to, and how fast.
type replayScope struct {
	From    string   `required:"" placeholder:"TIME" help:"Events recorded from this time on: 2026-11-28T10:00:00Z, or how long ago: 90m, 48h."`
	Until   string   `placeholder:"TIME" help:"And before this one; until now if left out."`
	Types   []string `name:"type" placeholder:"TYPE" help:"Only these types: call.ended.v1, call.*; may be repeated."`
	Entity  string   `placeholder:"ID" help:"Only this call, lead, agent, alert, message or contact."`
	List    string   `placeholder:"ID" help:"Only calls and leads of this list."`
	Webhook string   `placeholder:"ID" help:"Send to this webhook, or to every one that was owed (*)."`
	URL     string   `name:"url" placeholder:"URL" help:"Send here instead, with --dialect."`
	Dialect string   `placeholder:"NAME" help:"The format for --url."`
	Events  []string `name:"event" placeholder:"NAME" help:"Only these of the dialect's events, for --url; may be repeated."`
	Secret  string   `placeholder:"WHSEC" help:"The signing secret for --url; a new one if left out."`
	Rate    float64  `placeholder:"N" help:"Requests a second at most; 100 if left out."`
}

// body is the scope as the API takes it.
func (c replayScope) body(dryRun bool) (map[string]any, error) {
	body := make(map[string]any)
	now := time.Now()
	for name, text := range map[string]string{"from": c.From, "until": c.Until} {
		if text == "" {
			continue
		}
		at, err := timeOrAgo(text, now)
		if err != nil {
			return nil, fmt.Errorf("%w: --%s: %w", errUsage, name, err)
		}
		body[name] = at.UTC().Format(time.RFC3339Nano)
	}
	for name, text := range map[string]string{
		"entity": c.Entity, "list_id": c.List, "webhook_id": c.Webhook, "url": c.URL, "dialect": c.Dialect, "secret": c.Secret,
	} {
		if text != "" {
			body[name] = text
		}
	}
	if len(c.Types) > 0 {
		body["types"] = c.Types
	}
	if len(c.Events) > 0 {
		body["events"] = c.Events
	}
	if c.Rate != 0 {
		body["rate_per_sec"] = c.Rate
	}
	if dryRun {
		body["dry_run"] = true
	}
	return body, nil
}

// timeOrAgo reads a time, or how long ago it was.
func timeOrAgo(text string, now time.Time) (time.Time, error) {
	if at, err := time.Parse(time.RFC3339Nano, text); err == nil {
		return at, nil
	}
	ago, err := time.ParseDuration(text)
	if err != nil || ago < 0 {
		return time.Time{}, fmt.Errorf("%q is neither a time such as 2026-11-28T10:00:00Z nor a duration such as 90m", text)
	}
	return now.Add(-ago), nil
}

type replayPlan struct {
	replayScope
	JSON bool `name:"json" help:"Print the API's answer."`
}

// Run prints what a replay would do.
func (c replayPlan) Run(ctx context.Context, s streams) error {
	op, _, err := newOperator()
	if err != nil {
		return err
	}
	body, err := c.body(true)
	if err != nil {
		return err
	}
	var f forecast
	return op.show(ctx, s, question{method: http.MethodPost, path: "/v1/replays", body: body, json: c.JSON}, &f, func() error {
		return f.print(s.out)
	})
}

// forecast is the answer to a dry run.
type forecast struct {
	Complete       bool             `json:"complete"`
	Events         int64            `json:"events"`
	ByType         map[string]int64 `json:"by_type"`
	ByDay          map[string]int64 `json:"by_day"`
	RenderedEvents int64            `json:"rendered_events"`
	Deliveries     int64            `json:"deliveries"`
	ByWebhook      map[string]int64 `json:"by_webhook"`
	Filtered       int64            `json:"filtered"`
	Sample         []struct {
		DeliveryID string `json:"delivery_id"`
		EventType  string `json:"event_type"`
		URL        string `json:"url"`
		Request    struct {
			Headers map[string]string `json:"headers"`
			Body    string            `json:"body"`
		} `json:"request"`
	} `json:"sample"`
	Differences struct {
		Same      int64 `json:"same"`
		Different int64 `json:"different"`
		NeverSent int64 `json:"never_sent"`
		NotKept   int64 `json:"not_kept"`
		Examples  []struct {
			DeliveryID string   `json:"delivery_id"`
			EventType  string   `json:"event_type"`
			Changes    []string `json:"changes"`
		} `json:"examples"`
	} `json:"differences"`
}

func (f forecast) print(w io.Writer) error {
	fmt.Fprintf(w, "%d events, %d deliveries, %d events of which nothing is owed\n", f.Events, f.Deliveries, f.Filtered)
	if !f.Complete {
		fmt.Fprintln(w, "the time was up before the end of the scope: these are the counts of its beginning")
	}
	if f.RenderedEvents < f.Events {
		fmt.Fprintf(w, "deliveries and differences are those of the first %d events\n", f.RenderedEvents)
	}
	t := table(w)
	for _, part := range []struct {
		name   string
		counts map[string]int64
	}{{"TYPE", f.ByType}, {"DAY", f.ByDay}, {"WEBHOOK", f.ByWebhook}} {
		if len(part.counts) == 0 {
			continue
		}
		fmt.Fprintf(t, "\n%s\tCOUNT\n", part.name)
		for _, k := range slices.Sorted(maps.Keys(part.counts)) {
			fmt.Fprintf(t, "%s\t%d\n", k, part.counts[k])
		}
	}
	if err := t.Flush(); err != nil {
		return err
	}
	d := f.Differences
	fmt.Fprintf(w, "\nbeside what was sent then: %d the same, %d different, %d never sent, %d no longer kept\n", d.Same, d.Different, d.NeverSent, d.NotKept)
	for _, x := range d.Examples {
		fmt.Fprintf(w, "  %s %s\n", x.DeliveryID, x.EventType)
		for _, line := range x.Changes {
			fmt.Fprintf(w, "    %s\n", line)
		}
	}
	if len(f.Sample) > 0 {
		q := f.Sample[0]
		fmt.Fprintf(w, "\nthe first request, to %s:\n", q.URL)
		for _, name := range slices.Sorted(maps.Keys(q.Request.Headers)) {
			fmt.Fprintf(w, "  %s: %s\n", name, q.Request.Headers[name])
		}
		fmt.Fprintf(w, "\n  %s\n", q.Request.Body)
	}
	return nil
}
