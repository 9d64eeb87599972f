package settings

import (
	"context"
	"errors"

	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
	"trunkline.dev/trunkline/domain/tenant"
)

// Phones reads phone numbers.
type Phones interface {
	commands.Phones
	// Region reports whether national numbers of a region (ISO 3166 alpha-2) can
	// be read.
	Region(code string) bool
}

// Store keeps the settings. It is safe for concurrent use, also by several
// processes: changes happen one after another.
type Store interface {
	// Change calls decide with the newest settings, makes what it returns durable
	// and visible to this process, and returns nil; all of it or nothing. decide
	// may be called again when the first try was lost, so it must not have
	// effects of its own. An error of decide is returned as it is. Errors that
	// are ErrUnavailable may be retried.
	Change(ctx context.Context, decide func(*Snapshot) (Changes, error)) error
}

// Changes are what a decision wants to be true. Put replaces the setting of
// the same id.
type Changes struct {
	Orgs        []tenant.Org
	Lists       []tenant.List
	Keys        []tenant.Key
	Connections []tenant.Connection
	Endpoints   []delivery.Endpoint
	Rules       []rule.Rule
	Deleted     []Ref
	// Gone are the endpoints among Deleted as they were, without secrets and with
	// DeletedAt: what happened before is still owed to them (Snapshot.Gone).
	Gone []delivery.Endpoint
	// FormerLists are those among Deleted that say how long recordings are kept.
	FormerLists []tenant.FormerList
	// Facts are appended to the admin topic in this order.
	Facts []Fact
}

// Fact is one event of the admin topic before it has an id.
type Fact struct {
	Org     string
	Subject string
	Actor   string
	Source  string
	// CorrelationID and TraceParent follow the request into the log.
	CorrelationID, TraceParent string
	Payload                    event.Payload
}

// Ref names a setting.
type Ref struct {
	Kind Kind
	ID   string
}

// Kind is a kind of setting.
type Kind string

// The kinds that can be deleted.
const (
	Lists       Kind = "list"
	Keys        Kind = "key"
	Connections Kind = "connection"
	Endpoints   Kind = "endpoint"
	Rules       Kind = "rule"
)

// View is what a process knows of the settings, from memory.
type View interface {
	// Snapshot returns all settings at the newest revision known here.
	Snapshot() *Snapshot
}

// Dialects tells what the webhook formats can do.
type Dialects interface {
	// Names are the dialects that exist.
	Names() []string
	// Events returns the event names of a dialect; false for one that does not
	// exist.
	Events(dialect string) ([]string, bool)
	// Subscribable reports whether an endpoint of a dialect may list an event
	// name; our own knows patterns, "*" and "call.*".
	Subscribable(dialect, event string) bool
	// Receives reports whether a connection can speak the dialect.
	Receives(dialect string) bool
	// LooksUp reports whether systems that speak the dialect look contacts up.
	LooksUp(dialect string) bool
	// SignedByStandard reports whether the Standard Webhooks headers are the
	// dialect's own signature.
	SignedByStandard(dialect string) bool
}

// Connectors knows the systems that connectors write to.
type Connectors interface {
	// Kinds are the kinds of connectors that exist.
	Kinds() []string
	// Prepare completes a connector from what was asked for: its dialect, its
	// address and what it has by default. What is wrong is a *commands.Invalid with
	// pointers into the body of POST /v1/connectors.
	Prepare(e *delivery.Endpoint) error
}

// Guard knows where webhooks may go.
type Guard interface {
	// CheckURL returns an error, in words that are safe to show, for a URL that
	// no request will ever be sent to: a scheme that is not allowed, or a literal
	// private address. It does not resolve names.
	CheckURL(url string) error
}

// Receivers asks receivers whether they want webhooks from this hub.
type Receivers interface {
	// Ask makes one validation request (CloudEvents HTTP webhook 1.0.2, 4.1) and
	// returns the rate that was granted, in requests a minute, 0 for no bound. An
	// error is no consent and says why, in words that are safe to show.
	Ask(ctx context.Context, e delivery.Endpoint) (ratePerMin int64, err error)
}

// Backlog is what is held for an endpoint.
type Backlog interface {
	// Drop gives up what is held for an endpoint at this moment, each delivery
	// with a reason. Dropping again is harmless.
	Drop(ctx context.Context, endpoint delivery.Endpoint, reason string) error
}

// The errors that callers may test for. A setting that the org does not have is
// commands.ErrNotFound, a wrong input is a *commands.Invalid.
var (
	// ErrUnavailable says that the settings cannot be changed now: answer 503.
	ErrUnavailable = errors.New("settings unavailable")
	// ErrForbidden says that the caller's org may not do this.
	ErrForbidden = errors.New("forbidden")
)

// Conflict says in words why a change contradicts what is set.
type Conflict struct{ Reason string }

func (e *Conflict) Error() string { return e.Reason }
