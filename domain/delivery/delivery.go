// Package delivery holds what is owed to receivers: endpoints, deliveries,
// their attempts, retry schedules and the rules that disable an endpoint.
package delivery

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Status is the state of a delivery. Every (event, endpoint) pair that was
// owed ends in exactly one of the last four.
type Status string

// The statuses.
const (
	Pending     Status = "pending"
	Delivered   Status = "delivered"
	IsExhausted Status = "exhausted"
	IsHeld      Status = "held"
	IsDropped   Status = "dropped"
)

// ID derives a delivery's id from what is owed to whom, so that it stays the
// same over retries, restarts and replays. part tells apart several messages
// that one event makes in one dialect; empty for the first. Standard Webhooks
// forbids a dot in it.
func ID(eventID, endpointID, part string) string {
	if part == "" {
		return event.DeriveID("delivery", eventID, endpointID)
	}
	return event.DeriveID("delivery", eventID, endpointID, part)
}

// Endpoint is a receiver: of webhooks, or a system that a connector writes to.
type Endpoint struct {
	ID   string `json:"id"`
	Org  string `json:"org_id"`
	Name string `json:"name"`
	URL  string `json:"url"`
	// Dialect is the format: trunkline, dylr, dialnote, dialercx, allo, symbo, or
	// a newer version of one: allo/v2, symbo/2025; of a connector its kind, unless
	// it sends webhooks in another's format.
	Dialect string `json:"dialect"`
	// Events are the dialect's own event names.
	Events []string `json:"events"`
	// Provider is dialnote's "zapier" or "custom".
	Provider string `json:"provider,omitempty"`
	// RESTHook is set for what Zapier subscribed by itself: when the receiver
	// answers 410 it is deleted, since nobody but Zapier could enable it.
	RESTHook bool `json:"rest_hook,omitempty"`
	// ListID limits the endpoint to one list.
	ListID string `json:"list_id,omitempty"`
	// Number limits the endpoint to the calls and messages of one of our own
	// numbers, E.164 (seed 003); what has no number passes.
	Number string `json:"number,omitempty"`
	// Enabled is false for a disabled or paused endpoint: its deliveries are held.
	Enabled bool `json:"enabled"`
	// DisabledReason says in words why, when the hub did it.
	DisabledReason string `json:"disabled_reason,omitempty"`
	// Ordering is "entity" (default) or "none".
	Ordering string `json:"ordering"`
	// MaxInFlight bounds the requests under way at once; 0 is the default.
	MaxInFlight int `json:"max_in_flight,omitempty"`
	// RatePerSec bounds the requests started in a second; 0 is no bound.
	RatePerSec float64 `json:"rate_per_sec,omitempty"`
	// Headers are the customer's own, sent with each request.
	Headers map[string]string `json:"headers,omitempty"`
	// SignStandard says whether the Standard Webhooks headers are sent too.
	SignStandard bool `json:"sign_standard"`
	// SignEd25519 says whether webhook-signature also has signatures by the
	// endpoint's own key pair ("v1a"), which a receiver verifies without a secret.
	SignEd25519 bool `json:"sign_ed25519,omitempty"`
	// SigningKeys are the endpoint's key pairs, newest first; older ones only
	// while a rotation overlaps.
	SigningKeys []SigningKey `json:"signing_keys,omitempty"`
	// Handshake says that nothing is sent before the receiver has consented;
	// Consent is how far that has come.
	Handshake bool    `json:"handshake,omitempty"`
	Consent   Consent `json:"consent,omitzero"`
	// IDs is "hub" (default) or "source": whose call and lead ids bodies carry.
	IDs string `json:"ids"`
	// Filter holds top-level equality conditions on the event's data.
	Filter map[string]string `json:"filter,omitempty"`
	// Connector is the kind of system behind an endpoint that needs more than a
	// POST, for example "salesforce"; empty for a webhook.
	Connector string `json:"connector,omitempty"`
	// Config are a connector's settings, a JSON object that its kind defines.
	Config json.RawMessage `json:"config,omitempty"`
	// Mapping fills fields of the other system: its name to a template.
	Mapping map[string]string `json:"mapping,omitempty"`
	// Credentials are what a connector signs in with.
	Credentials map[string]string `json:"-"`
	// StartFrom is the time from which events are owed; zero is "from now on".
	StartFrom time.Time `json:"start_from,omitzero"`
	// CatchesUp says that the endpoint was made with a StartFrom in the past: what
	// it was owed then is planned from the log, partition by partition, until each
	// is handed over to the planner of what comes. It never changes.
	CatchesUp bool `json:"catches_up,omitempty"`
	// Secrets are the signing secrets, newest first; older ones only while a
	// rotation overlaps.
	Secrets   []Secret  `json:"-"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	// EnabledAt is when it was last enabled again: what failed before is
	// forgiven. Zero while it never was disabled.
	EnabledAt time.Time `json:"enabled_at,omitzero"`
	// ReceiverAt is when it last got another receiver, by a new URL, secret, key pair,
	// header, credential or setting of a connector: what failed at the former one is
	// forgiven. Zero while it never did.
	ReceiverAt time.Time `json:"receiver_at,omitzero"`
	// DeletedAt is when it was deleted: what happened until then is owed to it and
	// dropped, what happened later is not. Zero while it exists.
	DeletedAt time.Time `json:"deleted_at,omitzero"`
}

// EndpointDeleted is the reason of deliveries that are dropped because nobody is
// there to get them.
const EndpointDeleted = "the endpoint was deleted"

// Secret is a signing secret: "whsec_" and the base64 of 32 bytes.
type Secret struct {
	Value string `json:"value"`
	// ExpiresAt ends the overlap of a rotation; zero for the current one.
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// EventDisabled is the event of a dialnote webhook that is paused by choosing
// no event (seed 001).
const EventDisabled = "disabled"

// Sends reports whether anything may be sent: the endpoint is enabled, and its
// only event is not EventDisabled.
func (e Endpoint) Sends() bool {
	return e.Enabled && (len(e.Events) != 1 || e.Events[0] != EventDisabled)
}

// CountsFrom is from when on failures count: until it was enabled again or got another
// receiver they are forgiven. Zero is from the beginning.
func (e Endpoint) CountsFrom() time.Time {
	if e.ReceiverAt.After(e.EnabledAt) {
		return e.ReceiverAt
	}
	return e.EnabledAt
}

// SameReceiver reports whether two states of an endpoint send to the same address, and
// sign and sign in alike, so that an answer to the one says something of the other.
func (e Endpoint) SameReceiver(o Endpoint) bool {
	same := e.URL == o.URL && e.SignStandard == o.SignStandard && e.SignEd25519 == o.SignEd25519 && newest(e.Secrets).Value == newest(o.Secrets).Value &&
		newest(e.SigningKeys).ID == newest(o.SigningKeys).ID
	return same && maps.Equal(e.Headers, o.Headers) && maps.Equal(e.Credentials, o.Credentials) && maps.Equal(e.Mapping, o.Mapping) && bytes.Equal(e.Config, o.Config)
}

// newest is the first of what is kept newest first.
func newest[T any](all []T) (first T) {
	if len(all) > 0 {
		first = all[0]
	}
	return first
}

// Wants reports whether the endpoint subscribed to one of its dialect's events.
// "*" is every fact; what the hub says of its webhooks is asked for by name or
// by "endpoint.*" and "delivery.*".
func (e Endpoint) Wants(name string) bool { return matches(e.Events, name) }

// Delivery is one event owed to one endpoint, rendered.
type Delivery struct {
	ID         string      `json:"id"`
	Org        string      `json:"org_id"`
	EndpointID string      `json:"webhook_id"`
	EventID    string      `json:"event_id"`
	EventType  event.Type  `json:"event_type"`
	Topic      event.Topic `json:"topic"`
	Partition  int         `json:"partition"`
	Offset     int64       `json:"offset"`
	EntityID   string      `json:"entity"`
	// EventAt is when the event was recorded. It is the same for all that is ever
	// said of the delivery, so the delivery log is kept and paged in its order.
	EventAt time.Time `json:"event_at,omitzero"`
	Dialect string    `json:"dialect"`
	// Name is the dialect's own event name; empty when no message could be made of
	// the event, so that the delivery stands for all that it would have made.
	Name string `json:"dialect_event"`
	// Rank orders the messages that one event makes for one endpoint.
	Rank int `json:"rank,omitempty"`
	// Sequence is the version of the entity that the event made; it grows by
	// entity, so a receiver can put late ones in order.
	Sequence int64 `json:"sequence"`
	// Previous is the sequence of the event of this entity that was owed to this
	// endpoint before, 0 if none: a receiver sees a gap when it does not have it.
	Previous int64 `json:"previous_sequence"`
	// Headers are the dialect's own headers but for signatures, in wire case.
	Headers []Header `json:"headers,omitempty"`
	// Body is what is sent, to the byte.
	Body []byte `json:"body"`
	// Attempts counts the requests already made.
	Attempts int    `json:"attempts"`
	Status   Status `json:"status"`
	// NextAttemptAt is when the next request is due.
	NextAttemptAt time.Time `json:"next_attempt_at,omitzero"`
	// ReplayID names the replay that sends it again, if one does.
	ReplayID  string    `json:"replay_id,omitempty"`
	CreatedAt time.Time `json:"created_at"`
}

// Header is a request header whose case on the wire matters.
type Header struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Ref is what each fact of a delivery says of it.
type Ref struct {
	DeliveryID string     `json:"delivery_id"`
	WebhookID  string     `json:"webhook_id"`
	EventID    string     `json:"event_id"`
	EventType  event.Type `json:"event_type"`
	EntityID   string     `json:"entity"`
	// EventAt is when the event was recorded (see Delivery).
	EventAt time.Time `json:"event_at,omitzero"`
	Dialect string    `json:"dialect"`
	Name    string    `json:"dialect_event"`
	// Rank is the place of the message among those that the event makes for the
	// webhook, from 0.
	Rank int `json:"rank,omitempty"`
	// Position of the event that is delivered, for the accounting.
	Position event.Position `json:"position"`
	Sequence int64          `json:"sequence"`
	ReplayID string         `json:"replay_id,omitempty"`
}

// RefOf names a delivery in a fact.
func RefOf(d Delivery) Ref {
	return Ref{
		DeliveryID: d.ID, WebhookID: d.EndpointID, EventID: d.EventID, EventType: d.EventType, EntityID: d.EntityID, EventAt: d.EventAt,
		Dialect: d.Dialect, Name: d.Name, Rank: d.Rank, Sequence: d.Sequence, ReplayID: d.ReplayID,
		Position: event.Position{Topic: d.Topic, Partition: d.Partition, Offset: d.Offset},
	}
}
