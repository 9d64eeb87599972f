// Package catalog is the list of all event types. A type that is not here does
// not exist: it cannot be appended, decoded or documented.
package catalog

import (
	"errors"
	"fmt"
	"sync"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// Entry is one event type.
type Entry struct {
	// Type is the wire name.
	Type event.Type
	// Payload is a zero value, for schemas and documentation.
	Payload event.Payload
	// Own says that only the hub says it: a conclusion of its own, which nobody can
	// report and no other hub's counts.
	Own bool
	// decode reads data into a fresh payload.
	decode func([]byte) (event.Payload, error)
}

// ErrUnknownType is the error of Decode for a type that is not listed.
var ErrUnknownType = errors.New("unknown event type")

// All returns the entries in the order in which they are documented.
func All() []Entry {
	return []Entry{
		of[lead.Upserted](),
		of[call.Started](),
		of[call.Answered](),
		of[call.Ended](),
		of[call.Dispositioned](),
		of[call.NoteAdded](),
		of[call.RecordingReady](),
		own[call.RecordingStored](),
		own[call.RecordingDelayed](),
		own[call.RecordingFetchFailed](),
		own[call.RecordingDeleted](),
		own[call.RecordingHeld](),
		own[call.RecordingReleased](),
		of[call.TranscriptReady](),
		of[call.SummaryAdded](),
		of[call.Transferred](),
		own[call.Settled](),
		of[call.Corrected](),
		of[agent.LogIn](),
		of[agent.LogOut](),
		of[agent.Pause](),
		of[agent.Resume](),
		of[alert.Triggered](),
		of[alert.Acknowledged](),
		of[alert.Resolved](),
		of[message.Received](),
		of[message.Sent](),
		of[contact.Created](),
		of[contact.Updated](),
		of[delivery.Attempted](),
		of[delivery.Exhausted](),
		of[delivery.Held](),
		of[delivery.Dropped](),
		of[delivery.EndpointDisabled](),
		of[delivery.EndpointEnabled](),
		of[delivery.EndpointFailing](),
		of[delivery.EndpointRecovered](),
		of[tenant.OrgChanged](),
		of[tenant.ListChanged](),
		of[tenant.KeyChanged](),
		of[tenant.ConnectionChanged](),
		of[delivery.EndpointChanged](),
		of[rule.Changed](),
	}
}

var byType = func() map[event.Type]Entry {
	m := make(map[event.Type]Entry)
	for _, e := range All() {
		m[e.Type] = e
	}
	return m
}()

// Known reports whether a type is listed.
func Known(t event.Type) bool { _, ok := byType[t]; return ok }

// Lookup returns the entry of a type.
func Lookup(t event.Type) (Entry, bool) { e, ok := byType[t]; return e, ok }

// Decode reads the data of an event. Unknown fields are ignored: a newer
// writer must not stop an older reader.
func Decode(t event.Type, data []byte) (event.Payload, error) {
	e, ok := byType[t]
	if !ok {
		return nil, fmt.Errorf("%w %q", ErrUnknownType, t)
	}
	return e.decode(data)
}

// Entity returns an empty state of the kind that a topic's events are about.
func Entity(t event.Topic) (event.Entity, bool) {
	switch t {
	case event.Leads:
		return new(lead.Lead), true
	case event.Calls:
		return new(call.Call), true
	case event.Agents:
		return new(agent.Agent), true
	case event.Alerts:
		return new(alert.Alert), true
	case event.Messages:
		return new(message.Message), true
	case event.Contacts:
		return new(contact.Contact), true
	case event.Operations:
		return new(delivery.Standing), true
	}
	return nil, false
}

// Copy returns a state that can be folded on while the given one stays what it
// is: a shallow copy is enough (see event.Entity).
func Copy(s event.Entity) event.Entity {
	switch s := s.(type) {
	case *lead.Lead:
		return shallow(s)
	case *call.Call:
		return shallow(s)
	case *agent.Agent:
		return shallow(s)
	case *alert.Alert:
		return shallow(s)
	case *message.Message:
		return shallow(s)
	case *contact.Contact:
		return shallow(s)
	case *delivery.Standing:
		return shallow(s)
	}
	panic(fmt.Sprintf("%T is not the state of a topic", s))
}

func shallow[T any](s *T) *T {
	c := *s
	return &c
}

// Payload reads the data of an event from the log, once for all who share it
// (event.Memo).
func Payload(e event.Recorded) (event.Payload, error) {
	return e.Memo.Payload(func() (event.Payload, error) { return Decode(e.Type, e.Data) })
}

// Apply decodes an event and folds it into a state.
func Apply(s event.Entity, e event.Recorded) error {
	p, err := Payload(e)
	if err != nil {
		return err
	}
	return s.Apply(e.Envelope, p)
}

func own[P event.Payload]() Entry {
	e := of[P]()
	e.Own = true
	return e
}

func of[P event.Payload]() Entry {
	var zero P
	// What is decoded into is on the heap, and what is returned is a copy of it.
	zeros := sync.Pool{New: func() any { return new(P) }}
	return Entry{Type: zero.EventType(), Payload: zero, decode: func(data []byte) (event.Payload, error) {
		p := zeros.Get().(*P)
		defer func() {
			*p = zero
			zeros.Put(p)
		}()
		if err := event.Unmarshal(data, p); err != nil {
			return nil, fmt.Errorf("decoding %s: %w", zero.EventType(), err)
		}
		return *p, nil
	}}
}
