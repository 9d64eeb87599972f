package projections

import (
	"cmp"
	"slices"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// What the account of deliveries asks of the analytics store.

// EventMark is a place in the events of an org, topic after topic, in the order
// of entity, partition and offset. The zero mark is before all of them.
type EventMark struct {
	Topic     event.Topic `json:"t,omitempty"`
	EntityID  string      `json:"e,omitempty"`
	Partition int         `json:"p,omitempty"`
	Offset    int64       `json:"o,omitempty"`
}

// MarkOf is the place of an event.
func MarkOf(e event.Recorded) EventMark {
	return EventMark{Topic: e.Position.Topic, EntityID: e.Subject, Partition: e.Position.Partition, Offset: e.Position.Offset}
}

// Before reports whether a mark comes before another one.
func (m EventMark) Before(o EventMark) bool {
	place := func(t event.Topic) int { return slices.Index(event.PublicTopics(), t) }
	return cmp.Or(
		cmp.Compare(place(m.Topic), place(o.Topic)), cmp.Compare(m.EntityID, o.EntityID),
		cmp.Compare(m.Partition, o.Partition), cmp.Compare(m.Offset, o.Offset),
	) < 0
}

// DeliveryKey finds a delivery in the log of an endpoint: it is kept in the
// order of when the event was recorded.
type DeliveryKey struct {
	ID      string
	EventAt time.Time
}

// DeliveryOutcome is what the delivery log says of a delivery.
type DeliveryOutcome struct {
	Status delivery.Status
	// Reason is why it was exhausted, held or dropped.
	Reason string
	// Attempts counts the requests made; LastAttemptAt is zero when none was.
	Attempts      int64
	LastAttemptAt time.Time
	// Replayed says that it is known by replays only: nothing tells that it was owed.
	Replayed bool
}

// Difference is a pair that nothing accounts for.
type Difference struct {
	EventID    string
	EventType  event.Type
	EntityID   string
	RecordedAt time.Time
	Position   event.Position
	// DeliveryID is the delivery that is missing.
	DeliveryID string
	// Known says in words what is known of it.
	Known string
}

// Reconciliation is the account of an endpoint over a span of time.
type Reconciliation struct {
	delivery.Account
	// ReadModels are those that the account rests on.
	ReadModels []Lag
	// Differences are the first of what is lost, in a fixed order, after the mark
	// that was asked for; Next is where the following ones are, zero if there are
	// none.
	Differences []Difference
	Next        EventMark
}

// Lag is how far a read model is behind the log.
type Lag struct {
	Name   string
	Events int64
}

// Complete reports whether nothing may still come: no read model was behind.
func (r Reconciliation) Complete() bool {
	for _, l := range r.ReadModels {
		if l.Events > 0 {
			return false
		}
	}
	return r.Behind == 0
}
