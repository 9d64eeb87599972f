package commands

import (
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/tenant"
)

// Caller is on whose behalf something is done.
type Caller struct {
	Org tenant.Org
	// Actor is the key or user, for the audit: "key/<id>".
	Actor string
	// Source is the road: "api", "connection/<id>".
	Source string
	// ConnectionID is set for inbound webhooks; ids derive from it.
	ConnectionID string
	// Region reads national phone numbers; ISO 3166 alpha-2.
	Region string
	// IdempotencyKey names what the request does, if it had such a key: event ids
	// derive from it. The same key with another request, or much later, is another.
	IdempotencyKey string
	// Route tells apart the same key on different calls: "POST /v1/calls".
	Route string
	// CorrelationID and TraceParent follow the request into the log.
	CorrelationID, TraceParent string
	// Origin is live unless said otherwise.
	Origin event.Origin
}

// Fact is what somebody reports, before it has ids: every road into the log
// (leads API, calls API, CloudEvents, inbound dialects) ends in facts.
type Fact struct {
	Payload event.Payload
	// Subject is the entity's id where the caller knows it; empty: it is derived
	// (leads from the phone, others from ExternalID) or minted.
	Subject string
	// ExternalID is the source's own id of the entity.
	ExternalID string
	// EventKey is the source's own id of this fact. The same key from the same
	// source gives the same event id, so sending it again changes nothing.
	EventKey string
	// OccurredAt is when it happened; zero is the moment that the payload itself
	// names (started_at, ended_at, sent_at…), else now.
	OccurredAt time.Time
	// Instead is recorded where the number of another system's lead is none: such a
	// lead is known to nobody, but the call that it is told with counts. nil refuses.
	Instead *Fact
	// Pointer is the JSON Pointer of the fact's data in the request, "" for the
	// whole body; errors are named under it.
	Pointer string
}

// Receipt says what became of a fact.
type Receipt struct {
	EventID  string
	Subject  string
	Type     event.Type
	Position event.Position
}

// FieldError is one thing wrong with an input.
type FieldError struct {
	// Pointer is a JSON Pointer (RFC 6901) into the request body.
	Pointer string `json:"pointer"`
	// Detail says what was expected.
	Detail string `json:"detail"`
}

// Invalid is the error for input that breaks a rule; nothing was appended.
type Invalid struct{ Errors []FieldError }

func (e *Invalid) Error() string {
	if len(e.Errors) == 0 {
		return "invalid input"
	}
	all := make([]string, len(e.Errors))
	for i, f := range e.Errors {
		all[i] = f.Detail
		if f.Pointer != "" { // "" is the whole
			all[i] = f.Pointer + ": " + f.Detail
		}
	}
	return strings.Join(all, "; ")
}
