package dispatch

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Replay is a job that offers deliveries of past events. It lives in the store:
// whichever process has its lease goes on from where the last step ended.
type Replay struct {
	ID, Org string
	Kind    ReplayKind
	State   ReplayState
	// Detail says in words what the state's name does not.
	Detail string
	delivery.Scope
	// EndpointID is the endpoint that is sent to, or EveryEndpoint.
	EndpointID string
	// Target is a receiver of the replay's own, which no settings know. Its id is
	// the replay's, and it is enabled while the replay runs.
	Target *delivery.Endpoint
	// RatePerSec bounds its requests; 0 is no bound.
	RatePerSec float64
	// Same names what the replay does: while one that is the same has not ended,
	// no other one is made. Empty names nothing.
	Same      string
	CreatedBy string
	CreatedAt time.Time
	// ChangedAt is when the state last changed, EndedAt when it came to its end.
	ChangedAt, EndedAt time.Time
	// Cursor is how far a recovery has come in the delivery log.
	Cursor string
	// Read says that everything was offered: what is missing is unfinished.
	Read bool
	// PacedUntil is when its next request is due by its rate, whoever offers it.
	PacedUntil time.Time
	// Events counts those that were covered, Deliveries what was offered, Filtered
	// the covered events of which nothing is owed to anybody.
	Events, Deliveries, Filtered int64
	// First and Last are where the first and the last event stand of which
	// something was offered; their topic is empty before.
	First, Last event.Position
	// Scanned and Total count the records of the log that were and will be looked
	// at; in a recovery, which reads another log, deliveries.
	Scanned, Total int64
}

// Covers reports whether an event is in the scope and of the org.
func (r Replay) Covers(e event.Recorded) bool { return e.Org == r.Org && r.Scope.Covers(e) }

// TargetNow is a replay's receiver in the replay's present state: while it does
// not run, what it has handed over is held. A replay that runs and has changed was
// resumed, and its receiver enabled again.
func TargetNow(r Replay, e delivery.Endpoint) delivery.Endpoint {
	e.Enabled, e.UpdatedAt, e.DisabledReason = r.State == ReplayRunning, r.ChangedAt, ""
	switch {
	case !e.Enabled:
		e.DisabledReason = "the replay is " + string(r.State)
		if r.Detail != "" {
			e.DisabledReason += ": " + r.Detail
		}
	case !r.ChangedAt.Equal(r.CreatedAt):
		e.EnabledAt = r.ChangedAt
	}
	return e
}

// EveryEndpoint stands for all endpoints that an event was owed to.
const EveryEndpoint = "*"

// ReplayKind says where the deliveries of a replay come from.
type ReplayKind string

// The kinds.
const (
	// OfScope sends what a scope of the log makes, under a replay id.
	OfScope ReplayKind = "replay"
	// OfFailures sends what ended without success, under a replay id.
	OfFailures ReplayKind = "recover"
	// OfStart plans what an endpoint was owed before it was made. Its deliveries
	// are ordinary ones.
	OfStart ReplayKind = "start"
)

// ReplayState is the state of a replay.
type ReplayState string

// The states; the last two are its ends.
const (
	ReplayRunning  ReplayState = "running"
	ReplayPaused   ReplayState = "paused"
	ReplayAborting ReplayState = "aborting"
	ReplayAborted  ReplayState = "aborted"
	ReplayFinished ReplayState = "finished"
)

// Ended reports whether nothing more becomes of a replay.
func (s ReplayState) Ended() bool { return s == ReplayAborted || s == ReplayFinished }

// ReplayPart is how far a replay has come in one partition.
type ReplayPart struct {
	Partition
	State PartState
	// Begin is the offset it began at, Next the one it goes on from, End where it
	// ends; Open if it has no end.
	Begin, Next, End int64
}

// Open is the end of a part of a start: it goes on until its owner takes over.
const Open = -1

// PartState is the state of a part.
type PartState string

// The states. Parts of a start are ready when little of the log is left, taken
// while the partition's owner plans the rest, and done when it has.
const (
	PartReading PartState = "reading"
	PartReady   PartState = "ready"
	PartTaken   PartState = "taken"
	PartDone    PartState = "done"
)

// Leased is a replay that the caller alone moves on, until the lease ends.
type Leased struct {
	Replay
	// Epoch grows with each owner: steps of a former one do nothing.
	Epoch int64
}

// Step is what a replay does in one transaction.
type Step struct {
	ReplayID string
	Epoch    int64
	// Owed are offered. Dropped could not be rendered: they are counted as ended,
	// for their last error. Moves say where the parts go.
	Owed, Dropped []Owed
	Moves         []Move
	// Cursor is set when a recovery reads on.
	Cursor *CursorMove
	// Read says that nothing is left to be offered.
	Read bool
	// Events and Filtered are added to the replay's.
	Events, Filtered int64
	// Scanned is added, of a recovery.
	Scanned int64
	// PacedUntil, if set, is the replay's from now on.
	PacedUntil time.Time
	// Rest, if set, gives the lease back: nobody is to look at the replay for so
	// long, unless there is reason to (see Lease).
	Rest time.Duration
	// State, if set, is the replay's end.
	State ReplayState
	// Detail, if set, is what a running replay waits for; a pointer to "" clears
	// it. Of one that was decided on the reason stays.
	Detail *string
}

// Move moves a part on. When it is not at From in an open state nothing of the
// step is done.
type Move struct {
	Partition
	From, To int64
	State    PartState
}

// CursorMove moves a recovery on. When its replay is not at From, or has offered
// everything, nothing of the step is done.
type CursorMove struct{ From, To string }

// Standing is what is unfinished of a replay.
type Standing struct {
	// Total counts all rows, Fresh those that were never tried, Held those of a
	// disabled endpoint.
	Total, Fresh, Held int
}

// ReplayEnd counts the deliveries of a replay that ended in one way.
type ReplayEnd struct {
	Status delivery.Status
	// Reason is the last error of an exhausted one, why one was dropped; empty for
	// delivered ones.
	Reason string
	Count  int64
	// Example is the id of one of them.
	Example string
}

// Decision changes the state of a replay, if it is in one of From.
type Decision struct {
	Org, ID string
	// Kinds that it applies to.
	Kinds  []ReplayKind
	From   []ReplayState
	To     ReplayState
	Detail string
}

// ReplayBook is what people see and decide of replays. Safe for concurrent use,
// in any process.
type ReplayBook interface {
	// AddReplay stores a replay that is not there yet, by its id and by what it
	// does (see Same), and returns the stored one.
	AddReplay(ctx context.Context, r Replay, parts []ReplayPart) (stored Replay, added bool, err error)
	// Replay returns a replay of an org; false when it has none of the id.
	Replay(ctx context.Context, org, id string) (Replay, bool, error)
	// Replays lists replays of an org, the newest first, those before one of them
	// if its id is given.
	Replays(ctx context.Context, org, before string, limit int) ([]Replay, error)
	// Decide changes a state and returns the replay as it is then; done is false
	// when it was in none of the states, and the zero Replay that there is none.
	Decide(ctx context.Context, d Decision) (r Replay, done bool, err error)
	// Ends counts how the deliveries of a replay ended, the most frequent first.
	Ends(ctx context.Context, replayID string) ([]ReplayEnd, error)
	// Standing tells what is unfinished of a replay.
	Standing(ctx context.Context, r Replay) (Standing, error)
}

// ReplayWork is what moves replays on.
type ReplayWork interface {
	// Lease renews what the caller has for a while and gives it replays that move
	// and that nobody has, at most so many in all. Orgs take turns, by what they
	// have; those of an org do, the one that has waited longest first. One that rests
	// is given out once its time has come, it was decided on, or nothing is left of
	// it: it has offered everything, or is aborting, and all of that has ended.
	Lease(ctx context.Context, owner string, d time.Duration, most int) ([]Leased, error)
	// Release ends the leases of an owner.
	Release(ctx context.Context, owner string) error
	// Parts returns the parts of a replay.
	Parts(ctx context.Context, replayID string) ([]ReplayPart, error)
	// Step makes a step durable, all of it or nothing. It is not done when the
	// replay has another owner or does not move any more, or when a part or the
	// cursor is not where it is expected. Rows that are there already stay as they are.
	Step(ctx context.Context, s Step) (done bool, err error)
	// CancelReplay asks for the cancelling of all that is unfinished of a replay.
	CancelReplay(ctx context.Context, replayID, reason string) error
}

// Targets are receivers that belong to replays and not to the settings.
type Targets interface {
	// Targets returns those of ids that are replays with a target of their own;
	// an ended one's is no longer there.
	Targets(ctx context.Context, ids ...string) (map[string]delivery.Endpoint, error)
}

// SealedAs names what the secrets of a replay's own receiver belong to: sealed
// as that, they open only there.
func SealedAs(org, replayID string) string { return "replay/" + org + "/" + replayID }
