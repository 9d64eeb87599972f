package dispatch

import (
	"strconv"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// HealthChange is what happened to an endpoint since the last batch.
type HealthChange struct {
	EndpointID, Org string
	// About is what people are told the endpoint is.
	About delivery.About
	// EnabledAt is when it was last enabled again, CountsFrom from when on its failures
	// count: what failed before is forgiven.
	EnabledAt, CountsFrom time.Time
	// SentAt is when the last attempt ended; zero when there was none.
	SentAt time.Time
	// LastStatus and LastError are those of the last attempt.
	LastStatus int
	LastError  string
	// DeliveredAt is when something was last delivered; zero when nothing was.
	DeliveredAt time.Time
	// Failures counts the failed attempts after the last success of this batch,
	// or all of them when it had none.
	Failures int
	// FailingSince is when the first of these failed.
	FailingSince time.Time
	// ExhaustedAt is when one of these was the last of its delivery.
	ExhaustedAt time.Time
	// Reset forgets earlier failures, because the endpoint was enabled again or has
	// another receiver.
	Reset bool
}

// Merge adds a change to what was known of an endpoint, and returns what people
// are to be told of it. It is done under a lock on what was known, so that of
// several processes that send to the endpoint one tells.
func Merge(h delivery.Health, c HealthChange) (delivery.Health, []Notice) {
	var told []Notice
	before := h
	if c.Reset {
		h = h.Forgiven()
	}
	h = h.Since(c.CountsFrom)
	if !c.DeliveredAt.IsZero() {
		if since, yes := recovered(before, c); yes {
			told = append(told, tell("recovered", c, since, c.DeliveredAt, delivery.EndpointRecovered{About: c.About, Since: since, DeliveredAt: c.DeliveredAt}))
		}
		h, h.ToldAt = h.Forgiven(), time.Time{}
		if c.DeliveredAt.After(h.LastDeliveredAt) {
			h.LastDeliveredAt = c.DeliveredAt
		}
	}
	h.ConsecutiveFailures += c.Failures
	if h.FailingSince.IsZero() {
		h.FailingSince = c.FailingSince
	}
	if c.ExhaustedAt.After(h.ExhaustedAt) {
		h.ExhaustedAt = c.ExhaustedAt
	}
	if !c.SentAt.Before(h.LastSentAt) && !c.SentAt.IsZero() {
		h.LastSentAt, h.LastStatus, h.LastError = c.SentAt, c.LastStatus, c.LastError
	}
	if h.ToldAt.IsZero() && h.IsFailing() {
		h.ToldAt = h.LastSentAt
		told = append(told, tell("failing", c, h.FailingSince, h.LastSentAt, delivery.EndpointFailing{
			About: c.About, Since: h.FailingSince, Failures: h.ConsecutiveFailures, LastStatus: h.LastStatus, LastError: h.LastError,
		}))
	}
	return h, told
}

// recovered reports whether a success ends what people were told of, or is the
// first one since an endpoint that was in use was enabled again.
func recovered(h delivery.Health, c HealthChange) (since time.Time, yes bool) {
	again := !c.EnabledAt.IsZero() && !h.LastSentAt.IsZero() && h.LastDeliveredAt.Before(c.EnabledAt) && !c.DeliveredAt.Before(c.EnabledAt)
	switch {
	case again:
		return c.EnabledAt, true
	case h.ToldAt.IsZero():
		return time.Time{}, false
	case h.FailingSince.IsZero():
		return h.ToldAt, true
	}
	return h.FailingSince, true
}

// Notice is what people are to be told of an endpoint.
type Notice struct {
	event.Envelope
	Payload event.Payload
}

// tell makes a notice. Its id follows from what it says, so that whoever says it
// again says the same.
func tell(what string, c HealthChange, since, at time.Time, p event.Payload) Notice {
	return Notice{Payload: p, Envelope: event.Envelope{
		ID: event.DeriveID("endpoint", what, c.EndpointID, strconv.FormatInt(since.UnixMicro(), 10)), Source: "hub", Actor: "hub",
		Subject: c.EndpointID, Org: c.Org, OccurredAt: at, RecordedAt: at,
	}}
}

// Events are the facts of notices.
func Events(notices []Notice) ([]event.Event, error) {
	events := make([]event.Event, 0, len(notices))
	for _, n := range notices {
		e, err := event.New(n.Envelope, n.Payload)
		if err != nil {
			return nil, err
		}
		events = append(events, e)
	}
	return events, nil
}
