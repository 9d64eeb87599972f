package projections

import (
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Deliveries is the read model of what became of deliveries: the health of each
// endpoint and its account by day. The attempts themselves are kept in the
// analytics store; here one of them costs no row.
func Deliveries() Model {
	return Model{
		Name:  "deliveries",
		Topic: event.Deliveries,
		Table: "endpoint_health",
		Pace:  StreamPace,
		New:   func() event.Entity { return new(EndpointHealth) },
		Columns: []Column{
			column("last_sent_at", Time, func(h *EndpointHealth) *time.Time { return h.LastSentAt }),
			column("consecutive_failures", Int, func(h *EndpointHealth) int64 { return h.ConsecutiveFailures }),
			column("last_status", Int, func(h *EndpointHealth) int64 { return int64(h.LastStatus) }),
		},
		Extra: &Extra{
			Table:  "delivery_days",
			Entity: "webhook_id",
			Keys:   []Column{{Name: "day", Kind: Time}},
			Values: []Column{
				{Name: "attempted", Kind: Int},
				{Name: "delivered", Kind: Int},
				{Name: "exhausted", Kind: Int},
				{Name: "held", Kind: Int},
				{Name: "dropped", Kind: Int},
			},
			Add:  true,
			Rows: deliveryDay,
		},
	}
}

// EndpointHealth is how deliveries to one endpoint go.
type EndpointHealth struct {
	WebhookID  string     `json:"webhook_id"`
	LastSentAt *time.Time `json:"last_sent_at"`
	// LastDeliveredAt is the start of the newest attempt that succeeded.
	LastDeliveredAt *time.Time `json:"last_delivered_at"`
	// ConsecutiveFailures counts the failed attempts since the last success, over
	// all deliveries of the endpoint.
	ConsecutiveFailures int64 `json:"consecutive_failures"`
	// LastError and LastStatus are those of the newest attempt; "" and 0 when it
	// succeeded, or had no answer.
	LastError  string `json:"last_error,omitempty"`
	LastStatus int    `json:"last_status"`
	// Counts is the account since the beginning.
	Counts DeliveryCounts `json:"counts"`

	// last is what the newest event added; it is not state.
	last DeliveryCounts
}

// DeliveryCounts is an account of deliveries: requests made, and deliveries
// that came to an end or were set aside.
type DeliveryCounts struct {
	Attempted int64 `json:"attempted"`
	Delivered int64 `json:"delivered"`
	Exhausted int64 `json:"exhausted"`
	Held      int64 `json:"held"`
	Dropped   int64 `json:"dropped"`
}

func (h *EndpointHealth) attempted(a delivery.Attempted) {
	at := event.Time(a.StartedAt)
	h.LastSentAt = &at
	h.LastStatus, h.LastError = a.StatusCode, strings.Clone(a.Error) // kept without the rest of the attempt
	h.last = DeliveryCounts{Attempted: 1}
	if a.Outcome == delivery.OutcomeDelivered {
		h.last.Delivered = 1
		h.LastDeliveredAt = &at
		h.ConsecutiveFailures = 0
	} else {
		h.ConsecutiveFailures++
	}
}

// Apply folds the facts of a delivery.
func (h *EndpointHealth) Apply(e event.Envelope, p event.Payload) error {
	switch f := p.(type) {
	case delivery.Attempted:
		h.attempted(f)
	case delivery.Exhausted:
		h.last = DeliveryCounts{Exhausted: 1}
	case delivery.Held:
		h.last = DeliveryCounts{Held: 1}
	case delivery.Dropped:
		h.last = DeliveryCounts{Dropped: 1}
	default:
		return event.NotApplicable("endpoint's health", p)
	}
	h.WebhookID = e.Subject
	h.Counts.add(h.last)
	return nil
}

func (c *DeliveryCounts) add(n DeliveryCounts) {
	c.Attempted += n.Attempted
	c.Delivered += n.Delivered
	c.Exhausted += n.Exhausted
	c.Held += n.Held
	c.Dropped += n.Dropped
}

// deliveryDay books an event on the day on which it was recorded, UTC.
func deliveryDay(s event.Entity, e event.Recorded) []ExtraRow {
	n := s.(*EndpointHealth).last
	day := e.RecordedAt.UTC().Truncate(24 * time.Hour)
	return []ExtraRow{{
		Key:    Key{Org: e.Org, ID: e.Subject},
		Keys:   []any{&day},
		Values: []any{n.Attempted, n.Delivered, n.Exhausted, n.Held, n.Dropped},
	}}
}
