package httpapi

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/contact"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/domain/message"
	"trunkline.dev/trunkline/projections"
)

// ErrCursor says that a cursor is not one of ours, or of another list.
var ErrCursor = errors.New("invalid cursor")

// Item is the state of an entity with what the log says of it.
type Item[S any] struct {
	State   S
	Version int64
	// Position is that of the newest event folded.
	Position event.Position
}

// List is a part of a list, in a total order. Next asks for what follows, ""
// at the end.
type List[T any] struct {
	Items []T
	Next  string
}

// Page asks for a part of a list: what follows Cursor, at most Limit items.
type Page struct {
	Limit  int
	Cursor string
}

// Past is an event with the version that it made of its entity.
type Past struct {
	event.Recorded
	Version int64
}

// Basis says which of an event's times an as-of question is about.
type Basis string

// The bases: what we knew then, or what had happened by then as far as we know
// now.
const (
	ByRecorded Basis = "recorded_at"
	ByOccurred Basis = "occurred_at"
)

// LeadFilter selects leads; empty fields select all. Phone is E.164, Query are
// words that begin words of the name, the company or the e-mail address.
type LeadFilter struct {
	Phone  string
	ListID string
	Query  string
}

// CallFilter selects calls; empty fields select all. Phone is either number,
// Agent is an id; since ≤ start < until. Numbers are E.164.
type CallFilter struct {
	From, To, Phone string
	Agent           string
	Disposition     string
	Campaign        string
	Since, Until    time.Time
}

// AlertFilter selects alerts; empty fields select all.
type AlertFilter struct{ Status, Rule, Severity, Campaign string }

// MessageFilter selects messages; empty fields select all. Phone is either
// number; since ≤ sent < until.
type MessageFilter struct {
	Direction, From, To, Phone string
	Since, Until               time.Time
}

// ContactFilter selects contacts; empty fields select all. Phone is one of the
// contact's numbers, Query is as in LeadFilter.
type ContactFilter struct {
	Phone      string
	ExternalID string
	Query      string
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

// Reads answers what the read models know. What the org does not have is
// commands.ErrNotFound; a cursor that is not of the list is ErrCursor. Lists of
// entities have the newest first. Safe for concurrent use.
type Reads interface {
	LeadReads
	CallReads
	AgentReads
	OtherReads
	// History lists what happened to an entity, oldest first.
	History(ctx context.Context, org string, topic event.Topic, id string, p Page) (List[Past], error)
}

// LeadReads answers about leads.
type LeadReads interface {
	Lead(ctx context.Context, org, id string) (Item[lead.Lead], error)
	Leads(ctx context.Context, org string, f LeadFilter, p Page) (List[Item[lead.Lead]], error)
}

// CallReads answers about calls, also as of a time or a version.
type CallReads interface {
	Call(ctx context.Context, org, id string) (Item[call.Call], error)
	Calls(ctx context.Context, org string, f CallFilter, p Page) (List[Item[call.Call]], error)
	// CallAsOf is ErrNotFound when nothing of the call was known then.
	CallAsOf(ctx context.Context, org, id string, at time.Time, b Basis) (Item[call.Call], error)
	// CallVersion is ErrNotFound when the call has fewer versions.
	CallVersion(ctx context.Context, org, id string, n int64) (Item[call.Call], error)
}

// AgentReads answers about agents. Agents are listed by their ids, the states
// of one with the current first.
type AgentReads interface {
	Agent(ctx context.Context, org, id string) (Item[agent.Agent], error)
	Agents(ctx context.Context, org string, p Page) (List[Item[agent.Agent]], error)
	AgentStates(ctx context.Context, org, id string, p Page) (List[AgentState], error)
}

// OtherReads answers about alerts, messages and contacts.
type OtherReads interface {
	Alert(ctx context.Context, org, id string) (Item[alert.Alert], error)
	Alerts(ctx context.Context, org string, f AlertFilter, p Page) (List[Item[alert.Alert]], error)
	Message(ctx context.Context, org, id string) (Item[message.Message], error)
	Messages(ctx context.Context, org string, f MessageFilter, p Page) (List[Item[message.Message]], error)
	Contact(ctx context.Context, org, id string) (Item[contact.Contact], error)
	Contacts(ctx context.Context, org string, f ContactFilter, p Page) (List[Item[contact.Contact]], error)
}

// Feed reads an org's facts from the log, in an order in which those of one
// entity keep theirs. Cursors are opaque; "" is the beginning of the log. A
// cursor that is none of ours is ErrCursor or event.ErrToken. No types are all
// facts. Each fact is given at least once. Safe for concurrent use.
type Feed interface {
	// Read returns up to limit events that follow a cursor, and the cursor to go
	// on from, which is never "" and moves on where no event matched.
	Read(ctx context.Context, org, after string, types []string, limit int) (events []event.Recorded, next string, err error)
	// Follow calls each for every event that follows a cursor, waiting for new
	// ones, with the cursor behind that event. It returns when ctx ends, with the
	// error of each, or when the log cannot be read.
	Follow(ctx context.Context, org, after string, types []string, each func(e event.Recorded, cursor string) error) error
}

// Projections tells how the read models are doing.
type Projections interface {
	Status(ctx context.Context) ([]projections.Status, error)
}

// Rebuilder rebuilds read models; *projections.Rebuilder does it. Its errors
// are those of package projections.
type Rebuilder interface {
	Begin(ctx context.Context, projection string, auto bool) (projections.RebuildStatus, error)
	Status(ctx context.Context, projection string) (projections.RebuildStatus, error)
	Diff(ctx context.Context, projection string) (projections.Comparison, error)
	Switch(ctx context.Context, projection string) error
	Rollback(ctx context.Context, projection string) error
	Drop(ctx context.Context, projection string) error
}

// Parking lists and amends parked events; *projections.Parking does it. Its
// errors are those of package projections.
type Parking interface {
	List(ctx context.Context, projection string, after event.Position, limit int) ([]projections.Parked, error)
	Retry(ctx context.Context, projection string, k projections.Key) (projections.Released, error)
	Skip(ctx context.Context, projection string, at event.Position, reason, actor string) (projections.Released, error)
}
