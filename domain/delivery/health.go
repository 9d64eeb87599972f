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
	// ExhaustedAt is when the last attempt of a delivery was used up, among these.
	ExhaustedAt time.Time `json:"exhausted_at,omitzero"`
	// ToldAt is when people were told that it fails; zero when they were not, or
	// were told that it recovered.
	ToldAt     time.Time `json:"told_at,omitzero"`
	LastStatus int       `json:"last_status,omitempty"`
	LastError  string    `json:"last_error,omitempty"`
}

// StatusGone is HTTP 410: the receiver wants no more, ever (Standard Webhooks).
const StatusGone = 410

// ReasonGone is why an endpoint is disabled that answered StatusGone.
const ReasonGone = "the receiver answered 410 Gone"

// When people are told that an endpoint fails: so many failures in a row, over
// so long. A receiver that restarts is no news.
const (
	FailingAfter = 3
	FailingFor   = time.Minute
)

// IsFailing reports whether people should know that it fails.
func (h Health) IsFailing() bool {
	return h.ConsecutiveFailures >= FailingAfter && h.LastSentAt.Sub(h.FailingSince) >= FailingFor
}

// Forgiven is the health after the failures in a row were ended, by a success
// or because the endpoint was enabled again or has another receiver.
func (h Health) Forgiven() Health {
	h.ConsecutiveFailures, h.FailingSince, h.ExhaustedAt = 0, time.Time{}, time.Time{}
	return h
}

// Since is the health of an endpoint whose failures count from a time on (see
// Endpoint.CountsFrom).
func (h Health) Since(countsFrom time.Time) Health {
	if countsFrom.After(h.LastSentAt) {
		return h.Forgiven()
	}
	return h
}

// halfDay is what the failures that disable an endpoint by time must span.
// Attempts that are used up within minutes, as those of a short schedule are,
// prove nothing about days.
const halfDay = 12 * time.Hour

// Disable decides whether an endpoint is to be disabled, and says why in words.
// It is a function of what is stored, so that a decision that a crash prevented
// is made again.
func (p Profile) Disable(e Endpoint, h Health, now time.Time) (reason string, disable bool) {
	h = h.Since(e.CountsFrom())
	if h.ConsecutiveFailures == 0 {
		return "", false
	}
	if h.LastStatus == StatusGone {
		return ReasonGone, true
	}
	if n := p.DisableAfterFailures; n > 0 && h.ConsecutiveFailures >= n {
		return fmt.Sprintf("%d attempts in a row failed; the last: %s", h.ConsecutiveFailures, h.LastError), true
	}
	if at := p.disablesAt(e, h); at.IsZero() || now.Before(at) || h.ExhaustedAt.IsZero() || now.Sub(h.FailingSince) < halfDay {
		return "", false
	}
	return fmt.Sprintf("nothing was delivered for %d days and all attempts of a delivery failed", int(p.DisableAfter.Hours()/24)), true
}

// disablesAt is when an endpoint that delivers nothing is disabled at the
// earliest; zero is never. A change of the settings is a new chance.
func (p Profile) disablesAt(e Endpoint, h Health) time.Time {
	if p.DisableAfter <= 0 {
		return time.Time{}
	}
	since := h.LastDeliveredAt
	for _, t := range []time.Time{e.CreatedAt, e.UpdatedAt, e.EnabledAt} {
		if t.After(since) {
			since = t
		}
	}
	return since.Add(p.DisableAfter)
}
