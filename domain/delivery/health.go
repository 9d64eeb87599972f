package delivery

import (
	"fmt"
	"time"
)

// Health is how an endpoint has been doing.
type Health struct {
	// LastSentAt is when the last attempt ended.
	LastSentAt time.Time `json:"last_sent_at,omitzero"`
	// LastDeliveredAt is when an attempt last succeeded.
	LastDeliveredAt time.Time `json:"last_delivered_at,omitzero"`
	// ConsecutiveFailures counts failed attempts since then, over all of its
	// deliveries.
	ConsecutiveFailures int `json:"consecutive_failures"`
	// FailingSince is when the first of these failed.
	FailingSince time.Time `json:"failing_since,omitzero"`
	LastStatus   int       `json:"last_status,omitempty"`
	LastError    string    `json:"last_error,omitempty"`
}

// StatusGone is HTTP 410: the receiver wants no more, ever (Standard Webhooks).
const StatusGone = 410

// ReasonGone is why an endpoint is disabled that answered StatusGone.
const ReasonGone = "the receiver answered 410 Gone"

// Disable decides whether an endpoint is to be disabled after an attempt that
// failed, and says why in words. h includes that attempt; exhausted tells
// whether it was the last one of its delivery.
func (p Profile) Disable(e Endpoint, h Health, status int, exhausted bool, now time.Time) (reason string, disable bool) {
	if status == StatusGone {
		return ReasonGone, true
	}
	if n := p.DisableAfterFailures; n > 0 && h.ConsecutiveFailures >= n {
		return fmt.Sprintf("%d attempts in a row failed; the last: %s", h.ConsecutiveFailures, h.LastError), true
	}
	if p.DisableAfter <= 0 || !exhausted {
		return "", false
	}
	// A change of the settings, such as enabling it again, is a new chance.
	since := h.LastDeliveredAt
	for _, t := range []time.Time{e.CreatedAt, e.UpdatedAt} {
		if t.After(since) {
			since = t
		}
	}
	if now.Sub(since) < p.DisableAfter {
		return "", false
	}
	return fmt.Sprintf("nothing was delivered for %d days and all attempts of a delivery failed", int(p.DisableAfter.Hours()/24)), true
}
