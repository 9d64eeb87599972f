package dispatch

import (
	"context"
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Store keeps what is unfinished, and how far each partition has been planned.
// It is safe for concurrent use.
//
// Of the rows of one order key of an endpoint in a partition, the one with the
// least (offset, rank) is the head. Only heads are given out by Load, so the
// others wait for it.
//
// Rows of a replay are counted when they end, in the commit that deletes them.
type Store interface {
	Starts
	Cancels
	Targets
	// Claim makes the caller the owner of a partition: the epoch grows, and what
	// the former owner still wants to write is refused. The first claim of a
	// partition starts at offset 0.
	Claim(ctx context.Context, p Partition) (Claimed, error)
	// Commit makes a batch durable, all of it or nothing. When the epoch, the
	// number of the last commit or the checkpoint of a partition is not the
	// expected one nothing is done, and the partitions concerned are returned. A
	// batch that was committed before, because its answer was lost, is taken as
	// done: its parts tell. Health without parts is added each time. A batch with
	// something that can never be stored is a *RefusedError. It returns the health
	// of the endpoints in the batch as it is now. What people are to be told (see
	// Merge) is kept with it until it is forwarded.
	Commit(ctx context.Context, b Batch) (fenced []Partition, health map[string]delivery.Health, err error)
	// Load returns the due heads that were asked for, the earliest due first, in
	// the order of wants. A partition whose epoch is no longer the wanted one
	// yields nothing.
	Load(ctx context.Context, now time.Time, wants []Want) ([]Loaded, error)
	// SetBack makes what waits in a partition for a time after from due so much earlier,
	// at from at the earliest: the clock was set back by that. A former owner changes
	// nothing.
	SetBack(ctx context.Context, o Ownership, from time.Time, by time.Duration) error
	// Page returns rows of one endpoint in a partition by status, without their
	// bodies and the excluded keys, the oldest first.
	Page(ctx context.Context, q PageQuery) ([]Owed, error)
	// Keys counts the rows of an endpoint in a partition by order key. complete
	// is false when there are more than limit keys; the counts then mean nothing.
	Keys(ctx context.Context, p Partition, endpointID string, limit int) (rows map[string]int, complete bool, err error)
	// Offer adds rows from outside: resends and replays. It may be called by any
	// process; rows that are there already stay as they are. Rows of which some can
	// never be stored are a *RefusedError.
	Offer(ctx context.Context, owed []Owed) error
	// Offered tells owners where rows were offered to their partitions, once for each
	// offer; with again, all that is unfinished there, as Claim does: the answer may
	// have been lost. A former owner is told nothing, and takes nothing from the next.
	Offered(ctx context.Context, owned []Ownership, again bool) ([]Backlog, error)
	// Health returns what is known of endpoints; one never sent to is missing, and
	// so is a receiver of a replay's own once the replay has ended.
	Health(ctx context.Context, endpointIDs ...string) (map[string]delivery.Health, error)
	// Forward hands the oldest of what people are to be told to a function that
	// appends it, those of one endpoint in their order, and forgets it when that
	// returns nil. It returns how many there were, 0 while another process
	// forwards. After a crash the same is forwarded again, under the same ids.
	Forward(ctx context.Context, to func(context.Context, []event.Event) error) (int, error)
}

// Unfinished reads the store for people: any process may.
type Unfinished interface {
	// Get returns an unfinished delivery of an org, its body included: its own row, else
	// the newest of the replays that owe it.
	Get(ctx context.Context, org, deliveryID string) (Owed, bool, error)
	// List returns unfinished deliveries without their bodies, the newest first.
	List(ctx context.Context, q ListQuery) ([]Owed, error)
	// Waiting tells how much is unfinished for endpoints.
	Waiting(ctx context.Context, endpointIDs ...string) (map[string]Waiting, error)
}

// Waiting is the backlog of an endpoint.
type Waiting struct {
	// Count is how many deliveries are unfinished, Held how many of them are held.
	Count, Held int64
	// Oldest is when the first of them came to be.
	Oldest time.Time
}

// Directory knows the endpoints. Answers may lag by a moment; they come from
// memory.
type Directory interface {
	// Endpoints returns the endpoints of an org, the disabled ones too.
	Endpoints(org string) []delivery.Endpoint
	// Deleted returns the endpoints of an org that were deleted lately, with
	// DeletedAt set: what happened before is still owed to them, and is dropped.
	Deleted(org string) []delivery.Endpoint
	// Endpoint returns one endpoint; false when there is none, or no longer.
	Endpoint(id string) (delivery.Endpoint, bool)
	// OrgName and ListName return names, "" when unknown.
	OrgName(org string) string
	ListName(org, id string) string
}

// Disabler turns endpoints off on the hub's own account.
type Disabler interface {
	// Disable disables an endpoint with a reason in words. Disabling again is
	// harmless. countsFrom is the CountsFrom of the endpoint that was judged: one that
	// was enabled again or got another receiver since stays as it is, because what
	// failed before is forgiven.
	Disable(ctx context.Context, endpointID, reason string, countsFrom time.Time) error
}
