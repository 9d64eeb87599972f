package projections

import (
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
)

// What readers of read models answer, whatever the store. The interfaces belong
// to those who ask.

// The errors of readers.
var (
	// ErrNotFound says that the org has no such thing.
	ErrNotFound = errors.New("not found")
	// ErrCursor says that a cursor is not one of ours, or of another list.
	ErrCursor = errors.New("invalid cursor")
)

// Item is the state of an entity with what the log says of it.
type Item[S any] struct {
	State   S
	Version int64
	// Position is that of the newest event folded.
	Position event.Position
}

// Page asks for a part of a list.
type Page struct {
	// Limit is the most items; 0 is the reader's default.
	Limit int
	// Cursor is List.Next of the page before; "" is the beginning.
	Cursor string
}

// List is a part of a list. The order is total, and an item that stays is
// neither skipped nor repeated by paging.
type List[T any] struct {
	Items []T
	// Next asks for what follows; "" at the end.
	Next string
}

// Past is an event with the version that it made.
type Past struct {
	event.Recorded
	Version int64
}

// Basis says which of an event's times an as-of question is about.
type Basis string

// The bases: what we knew then (the default), or what had happened by then as
// far as we know now.
const (
	ByRecorded Basis = "recorded_at"
	ByOccurred Basis = "occurred_at"
)

// CallFilter selects calls; empty fields select all.
type CallFilter struct {
	// From and To are the numbers, Phone is either of them; E.164.
	From, To, Phone string
	// Agent is the agent's id.
	Agent       string
	Disposition string
	Campaign    string
	// Since and Until bound the start: since ≤ start < until.
	Since, Until time.Time
}

// LeadFilter selects leads; empty fields select all.
type LeadFilter struct {
	// Phone is E.164.
	Phone  string
	ListID string
	// Query are words: each must be the beginning of a word of the name, company
	// or e-mail address, or four digits or more of the phone number.
	Query string
}

// AlertFilter selects alerts; empty fields select all.
type AlertFilter struct{ Status, Rule, Severity, Campaign string }

// MessageFilter selects messages; empty fields select all.
type MessageFilter struct {
	// From and To are the numbers, Phone is either of them; E.164.
	Direction, From, To, Phone string
	// Since and Until bound the sending: since ≤ sent < until.
	Since, Until time.Time
}

// ContactFilter selects contacts; empty fields select all.
type ContactFilter struct {
	// Phone is one of the contact's numbers, E.164.
	Phone      string
	ExternalID string
	// Query is as in LeadFilter.
	Query string
}

// Party is who has a number: a contact, or a lead.
type Party struct {
	Contact *contact.Contact
	Lead    *lead.Lead
}

// AgentState is a span of time that an agent spent in one state. To is nil and
// Seconds is 0 for the current one.
type AgentState struct {
	Seq      int64
	State    agent.State
	Reason   string
	Campaign string
	From     time.Time
	To       *time.Time
	Seconds  float64
}
