package dispatch

import (
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// ErrNoReplay says that an org has no replay of an id.
var ErrNoReplay = errors.New("no such replay")

// Refused says in words why a replay cannot be decided on so.
type Refused struct{ Reason string }

func (e *Refused) Error() string { return e.Reason }

// ReplayReport is how a replay went, or goes.
type ReplayReport struct {
	Replay
	// Standing is what is unfinished.
	Standing Standing
	// Counts are deliveries by final state.
	Counts map[delivery.Status]int64
	// Failures are those that did not end delivered, by reason, the most frequent
	// first.
	Failures []ReplayEnd
	// Duration is from its beginning to its end, or until now.
	Duration time.Duration
}

// Forecast is what a replay would do.
type Forecast struct {
	// Complete is false when the time was up before the end of the scope: the
	// counts are then those of its beginning.
	Complete bool
	// Events counts what the scope covers, by type and by day (UTC).
	Events int64
	ByType map[event.Type]int64
	ByDay  map[string]int64
	// Rendered counts the events that all below is about: all of them, or the
	// first ones.
	Rendered int64
	// Deliveries counts what they make, by webhook; Filtered the events of which
	// nothing is owed to anybody.
	Deliveries int64
	ByWebhook  map[string]int64
	Filtered   int64
	// Sample are the first requests.
	Sample []ForecastRequest
	// Compared sets the bodies beside those that were sent before.
	Compared Compared
}

// ForecastRequest is a request as it would be sent.
type ForecastRequest struct {
	DeliveryID, WebhookID string
	EventID               string
	EventType             event.Type
	Entity                string
	URL                   string
	Headers               []delivery.Header
	Body                  []byte
}

// Compared counts how today's bodies compare with those that were last sent.
type Compared struct {
	Same, Different, NeverSent, NotKept int64
	// Examples are the first that differ.
	Examples []Difference
}

// Difference is one body that is not what it was.
type Difference struct {
	DeliveryID, WebhookID, EventID string
	EventType                      event.Type
	// Changes say in lines what differs.
	Changes []string
}
