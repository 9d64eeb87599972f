package delivery

import (
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Attempted says that one request of a delivery was made and how it went. The
// subject of its envelope is the endpoint.
type Attempted struct {
	Ref
	// Number is 1 for the first request of the delivery.
	Number     int       `json:"number"`
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	// StatusCode is 0 when there was no answer.
	StatusCode int `json:"status_code"`
	// Outcome is "delivered" or "failed".
	Outcome         string   `json:"outcome"`
	Error           string   `json:"error,omitempty"`
	URL             string   `json:"url"`
	RequestHeaders  []Header `json:"request_headers"`
	RequestBody     string   `json:"request_body" pii:"content"`
	ResponseHeaders []Header `json:"response_headers,omitempty"`
	// ResponseBody is what came back, cut at the cap.
	ResponseBody string `json:"response_body,omitempty" pii:"content"`
	// NextAttemptAt is set when another request will follow.
	NextAttemptAt *time.Time `json:"next_attempt_at,omitempty"`
}

// The outcomes of an attempt.
const (
	OutcomeDelivered = "delivered"
	OutcomeFailed    = "failed"
)

// EventType returns delivery.attempted.v1.
func (Attempted) EventType() event.Type { return "delivery.attempted.v1" }

// CutMark ends a body of an attempt that the log could not take whole.
const CutMark = " … (cut: too large for the delivery log)"
