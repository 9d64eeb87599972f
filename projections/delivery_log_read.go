package projections

import (
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// DeliveryFilter says which deliveries to list.
type DeliveryFilter struct {
	Org string
	// WebhookID limits the list to one receiver; empty is all of the org.
	WebhookID string
	// Status limits the list to one status; empty is all.
	Status delivery.Status
	// IDs limits the list to these deliveries; nil is all.
	IDs []string
	// Since and Until limit the list by EventAt, Until excluded; zero is no limit.
	Since, Until time.Time
	// Cursor is the NextCursor of the page before; empty for the first page.
	Cursor string
	// Limit is the length of a page. Default 50, at most 200. A page ends before once
	// its attempts are long together, after one delivery at least.
	Limit int
	// Bare leaves the attempts out.
	Bare bool
}

// DeliveryPage is one page of a list, newest EventAt first.
type DeliveryPage struct {
	Deliveries []DeliveryEntry
	// NextCursor is empty on the last page.
	NextCursor string
}

// DeliveryEntry is what is known of one delivery.
type DeliveryEntry struct {
	ID        string
	Org       string
	WebhookID string
	EventID   string
	EventType event.Type
	EntityID  string
	// EventAt is when the event that is owed was recorded.
	EventAt time.Time
	Status  delivery.Status
	// Reason is why it was exhausted, held or dropped.
	Reason string
	// Attempts are in the order in which they were made.
	Attempts []DeliveryAttempt
	// NextAttemptAt is set while another request is to come.
	NextAttemptAt *time.Time
}

// DeliveryAttempt is one HTTP request of a delivery. Bodies and headers are
// empty once their time to live is over.
type DeliveryAttempt struct {
	Number          int
	StartedAt       time.Time
	DurationMS      float64
	StatusCode      int
	Outcome         string
	Error           string
	URL             string
	RequestHeaders  []delivery.Header
	RequestBody     string
	ResponseHeaders []delivery.Header
	ResponseBody    string
}

// SentDelivery is a delivery as the log last saw it sent.
type SentDelivery struct {
	delivery.Ref
	// Headers and Body are those of its last request; Body is nil when it was
	// never sent, or is not kept whole.
	Headers []delivery.Header
	Body    []byte
}
