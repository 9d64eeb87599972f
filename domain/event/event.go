// Package event defines the envelope that every fact travels in, the topics of
// the log, positions in it, and how ids are derived.
package event

import (
	"encoding/json"
	"fmt"
	"time"
)

// Type is the wire name of an event type with its version, for example
// "call.ended.v1". It is a constant of the type, never derived from a Go name:
// a rename in Go must not break years of history.
type Type string

// Payload is the data of one event type. Each implementation is a struct in
// the package of its entity, one file each, listed once in package catalog.
type Payload interface {
	// EventType returns the wire name.
	EventType() Type
}

// Origin says which road an event came by.
type Origin string

// The origins. Backfilled facts do not trigger webhooks unless asked.
const (
	OriginLive     Origin = "live"
	OriginBackfill Origin = "backfill"
)

// Envelope is what is known of an event beside its data. On the wire each
// field is a CloudEvents attribute (Kafka protocol binding, binary mode).
type Envelope struct {
	// ID is unique per fact: the same fact sent twice carries the same ID, which
	// is how every consumer removes the duplicates that at-least-once brings.
	ID string `json:"id"`
	// Type is the wire name of the payload.
	Type Type `json:"type"`
	// Source is who said it: "api", "connection/<id>", "hub".
	Source string `json:"source"`
	// Subject is the id of the entity.
	Subject string `json:"subject"`
	// Org is the tenant that the event belongs to.
	Org string `json:"org"`
	// Actor is the API key, user or agent that caused it.
	Actor string `json:"actor,omitempty"`
	// CorrelationID groups all that followed from one outside request.
	CorrelationID string `json:"correlation_id,omitempty"`
	// CausationID is the ID of the event that caused this one, if one did.
	CausationID string `json:"causation_id,omitempty"`
	// Origin says which road the event came by; empty means live.
	Origin Origin `json:"origin,omitempty"`
	// TraceParent is the W3C trace context of the request, if it had one.
	TraceParent string `json:"traceparent,omitempty"`
	// OccurredAt is when it happened, by the source's clock; UTC, microseconds.
	OccurredAt time.Time `json:"occurred_at"`
	// RecordedAt is when we accepted it, by our clock; UTC, microseconds.
	RecordedAt time.Time `json:"recorded_at"`
}

// Event is a fact that is to be appended: an envelope and its data as JSON.
type Event struct {
	Envelope
	// Data is the payload as JSON, exactly the bytes of the Kafka value.
	Data json.RawMessage `json:"data"`
}

// Recorded is an event as read from the log.
type Recorded struct {
	Event
	// Position is where it stands in the log.
	Position Position `json:"position"`
	// AppendedAt is when the log took it, as its record says; zero where that is not
	// known. It is the producer's clock unless the broker's stamp reaches us, so it
	// may be any time, and run backwards: whoever cuts the log at a moment by it must
	// bound it by a clock of its own.
	AppendedAt time.Time `json:"-"`
	// Fault is set instead of a trustworthy envelope when the record could not
	// be decoded (a foreign producer's mistake). Consumers park it.
	Fault error `json:"-"`
	// Memo keeps what was decoded for all who share the event; nil keeps nothing.
	Memo *Memo `json:"-"`
}

// New makes an event of a payload. It fails only if the payload cannot be
// encoded, which is a programming mistake in the payload's type.
func New(env Envelope, p Payload) (Event, error) {
	data, err := Marshal(p)
	if err != nil {
		return Event{}, fmt.Errorf("encoding %s: %w", p.EventType(), err)
	}
	env.Type = p.EventType()
	env.OccurredAt = Time(env.OccurredAt)
	env.RecordedAt = Time(env.RecordedAt)
	return Event{Envelope: env, Data: data}, nil
}

// Time brings a time to the precision that every store keeps: UTC,
// microseconds. Without it a rebuilt row could differ from the live one.
func Time(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// Writable reports whether a time can be written in UTC by RFC 3339, which has four
// digits for a year: the last hours of 9999 in America cannot.
func Writable(t time.Time) bool {
	year := t.UTC().Year()
	return year >= 0 && year <= 9999
}
