package httpapi

import (
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

type replayAnswer struct {
	ID    string               `json:"id"`
	Kind  dispatch.ReplayKind  `json:"kind"`
	State dispatch.ReplayState `json:"state"`
	// Detail says in words why it is in its state, or what it waits for.
	Detail     *string        `json:"detail"`
	From       time.Time      `json:"from"`
	Until      *time.Time     `json:"until"`
	Types      []string       `json:"types"`
	Entity     *string        `json:"entity"`
	ListID     *string        `json:"list_id"`
	WebhookID  *string        `json:"webhook_id"`
	URL        *string        `json:"url"`
	Dialect    *string        `json:"dialect"`
	Events     []string       `json:"events"`
	RatePerSec *float64       `json:"rate_per_sec"`
	CreatedBy  string         `json:"created_by"`
	CreatedAt  time.Time      `json:"created_at"`
	EndedAt    *time.Time     `json:"ended_at"`
	Progress   progressAnswer `json:"progress"`
	// Secret is that of a receiver of its own, shown when it is made.
	Secret string `json:"secret,omitempty"`
}

type progressAnswer struct {
	// Done and Total count what was and will be looked at.
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
	// Events are covered by the scope, Deliveries were handed over, Filtered are
	// events of which nothing is owed.
	Events     int64 `json:"events"`
	Deliveries int64 `json:"deliveries"`
	Filtered   int64 `json:"filtered"`
	// Unfinished are deliveries that were handed over and have not ended.
	Unfinished int64 `json:"unfinished"`
}

func answerOfReplay(r dispatch.Replay) replayAnswer {
	a := replayAnswer{
		ID: r.ID, Kind: r.Kind, State: r.State, Detail: known(r.Detail), From: r.From, Until: knownTime(r.Until), Types: all(r.Types),
		Entity: known(r.Entity), ListID: known(r.ListID), Events: []string{}, CreatedBy: r.CreatedBy, CreatedAt: r.CreatedAt, EndedAt: knownTime(r.EndedAt),
		Progress: progressAnswer{Done: r.Scanned, Total: max(r.Total, r.Scanned), Events: r.Events, Deliveries: r.Deliveries, Filtered: r.Filtered},
	}
	if r.RatePerSec > 0 {
		a.RatePerSec = &r.RatePerSec
	}
	if r.Target == nil {
		a.WebhookID = known(r.EndpointID)
		return a
	}
	a.URL, a.Dialect, a.Events = &r.Target.URL, &r.Target.Dialect, all(r.Target.Events)
	return a
}

type reportAnswer struct {
	Replay replayAnswer `json:"replay"`
	// Counts are deliveries by final state, pending and held those that have none
	// yet.
	Counts      countsAnswer    `json:"counts"`
	Failures    []failureAnswer `json:"failures"`
	DurationSec float64         `json:"duration_sec"`
	// FirstPosition and LastPosition are where the first and last event stand of
	// which something was sent.
	FirstPosition *string `json:"first_position"`
	LastPosition  *string `json:"last_position"`
}

type countsAnswer struct {
	Delivered int64 `json:"delivered"`
	Exhausted int64 `json:"exhausted"`
	Dropped   int64 `json:"dropped"`
	Pending   int64 `json:"pending"`
	Held      int64 `json:"held"`
}

type failureAnswer struct {
	Status delivery.Status `json:"status"`
	Reason string          `json:"reason"`
	Count  int64           `json:"count"`
	// DeliveryID is one of them.
	DeliveryID string `json:"delivery_id"`
}

func answerOfReport(r dispatch.ReplayReport) reportAnswer {
	a := reportAnswer{
		Replay: answerOfReplay(r.Replay), Failures: make([]failureAnswer, 0, len(r.Failures)), DurationSec: r.Duration.Seconds(),
		Counts: countsAnswer{
			Delivered: r.Counts[delivery.Delivered], Exhausted: r.Counts[delivery.IsExhausted], Dropped: r.Counts[delivery.IsDropped],
			Pending: int64(r.Standing.Total - r.Standing.Held), Held: int64(r.Standing.Held),
		},
		FirstPosition: knownPosition(r.First), LastPosition: knownPosition(r.Last),
	}
	a.Replay.Progress.Unfinished = int64(r.Standing.Total)
	for _, f := range r.Failures {
		a.Failures = append(a.Failures, failureAnswer{Status: f.Status, Reason: f.Reason, Count: f.Count, DeliveryID: f.Example})
	}
	return a
}

// knownPosition is a position in its readable form, null where there is none.
func knownPosition(p event.Position) *string {
	if p.Topic == "" {
		return nil
	}
	text := p.String()
	return &text
}

type forecastAnswer struct {
	DryRun bool `json:"dry_run"`
	// Complete is false when the time was up before the end of the scope.
	Complete bool             `json:"complete"`
	From     time.Time        `json:"from"`
	Until    time.Time        `json:"until"`
	Events   int64            `json:"events"`
	ByType   map[string]int64 `json:"by_type"`
	ByDay    map[string]int64 `json:"by_day"`
	// RenderedEvents is how many of the events all below is about.
	RenderedEvents int64             `json:"rendered_events"`
	Deliveries     int64             `json:"deliveries"`
	ByWebhook      map[string]int64  `json:"by_webhook"`
	Filtered       int64             `json:"filtered"`
	Sample         []sampleAnswer    `json:"sample"`
	Differences    differencesAnswer `json:"differences"`
}

type sampleAnswer struct {
	DeliveryID string        `json:"delivery_id"`
	WebhookID  *string       `json:"webhook_id"`
	EventID    string        `json:"event_id"`
	EventType  event.Type    `json:"event_type"`
	Entity     string        `json:"entity"`
	URL        string        `json:"url"`
	Request    messageAnswer `json:"request"`
}

type differencesAnswer struct {
	Same      int64 `json:"same"`
	Different int64 `json:"different"`
	NeverSent int64 `json:"never_sent"`
	// NotKept was sent, but its body is no longer kept.
	NotKept  int64           `json:"not_kept"`
	Examples []changedAnswer `json:"examples"`
}

type changedAnswer struct {
	DeliveryID string     `json:"delivery_id"`
	EventID    string     `json:"event_id"`
	EventType  event.Type `json:"event_type"`
	Changes    []string   `json:"changes"`
}

func answerOfForecast(r dispatch.Replay, f dispatch.Forecast) forecastAnswer {
	a := forecastAnswer{
		DryRun: true, Complete: f.Complete, From: r.From, Until: r.Until, Events: f.Events, ByType: countsOf(f.ByType), ByDay: entries(f.ByDay),
		RenderedEvents: f.Rendered, Deliveries: f.Deliveries, ByWebhook: entries(f.ByWebhook), Filtered: f.Filtered, Sample: []sampleAnswer{},
		Differences: differencesAnswer{
			Same: f.Compared.Same, Different: f.Compared.Different, NeverSent: f.Compared.NeverSent, NotKept: f.Compared.NotKept, Examples: []changedAnswer{},
		},
	}
	if r.Target != nil {
		a.ByWebhook = map[string]int64{}
	}
	for _, q := range f.Sample {
		one := sampleAnswer{
			DeliveryID: q.DeliveryID, EventID: q.EventID, EventType: q.EventType, Entity: q.Entity, URL: q.URL,
			Request: messageAnswer{Headers: answerOfHeaders(q.Headers), Body: string(q.Body)},
		}
		if r.Target == nil {
			one.WebhookID = known(q.WebhookID)
		}
		a.Sample = append(a.Sample, one)
	}
	for _, d := range f.Compared.Examples {
		a.Differences.Examples = append(a.Differences.Examples, changedAnswer{DeliveryID: d.DeliveryID, EventID: d.EventID, EventType: d.EventType, Changes: all(d.Changes)})
	}
	return a
}

func countsOf(counts map[event.Type]int64) map[string]int64 {
	out := make(map[string]int64, len(counts))
	for k, n := range counts {
		out[string(k)] = n
	}
	return out
}
