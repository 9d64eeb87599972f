package httpapi

import (
	"context"
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

// The shapes of reads are those of package projections.
type (
	Item[S any]   = projections.Item[S]
	List[T any]   = projections.List[T]
	Page          = projections.Page
	Past          = projections.Past
	Basis         = projections.Basis
	LeadFilter    = projections.LeadFilter
	CallFilter    = projections.CallFilter
	AlertFilter   = projections.AlertFilter
	MessageFilter = projections.MessageFilter
	ContactFilter = projections.ContactFilter
	AgentState    = projections.AgentState
)

// ErrCursor says that a cursor is not one of ours, or of another list.
var ErrCursor = projections.ErrCursor

// Reads answers what the read models know. What the org does not have is
// projections.ErrNotFound; a cursor that is not of the list is
// projections.ErrCursor. Lists of
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
// cursor that is none of ours is projections.ErrCursor or event.ErrToken. No types are all
// facts. Each fact is given at least once. Safe for concurrent use.
type Feed interface {
	// Read returns up to limit events that follow a cursor, and the cursor to go
	// on from, which is never "" and moves on where no event matched.
	Read(ctx context.Context, org, after string, types []string, limit int) (events []event.Recorded, next string, err error)
	// End is the cursor of a reader that wants only what comes from now on.
	End(ctx context.Context) (string, error)
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
