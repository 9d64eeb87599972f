// Package dispatch holds what the delivery engine keeps and needs: the state
// of what is owed to receivers and its ports. The engine itself is in
// adapters/webhooks.
//
// Its one invariant: at any commit, every delivery owed for an event below a
// partition's checkpoint is finished, with its facts acknowledged by the log,
// or is a row in the store.
package dispatch

import (
	"time"

	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// Partition is one partition of the log.
type Partition struct {
	Topic event.Topic
	ID    int
}

// Ownership is a partition under the epoch of its owner's claim.
type Ownership struct {
	Partition
	Epoch int64
}

// Owed is a delivery with what the engine keeps beside it.
type Owed struct {
	delivery.Delivery
	// OrderKey: deliveries of an endpoint in a partition that share it go one
	// after the other, by (Offset, Rank). It is the entity, or the delivery
	// itself where nothing waits for it.
	OrderKey string
	// CorrelationID follows the event's into the facts.
	CorrelationID string
	// FirstAttemptAt is when the first request was made; zero before.
	FirstAttemptAt time.Time
	// LastError is why the last attempt failed, or why it is held.
	LastError string
}

// Key is the identity of a row: a replay sends the same delivery again.
func (o Owed) Key() string {
	if o.ReplayID == "" {
		return o.ID
	}
	return o.ID + "/" + o.ReplayID
}

// EntityKey is the order key of a delivery that waits for earlier ones of its
// entity. A replay orders its own only: it runs beside live deliveries.
func (o Owed) EntityKey() string {
	if o.ReplayID == "" {
		return o.EntityID
	}
	return "~" + o.ReplayID + "/" + o.EntityID
}

// In returns where the event of the delivery stands.
func (o Owed) In() Partition { return Partition{Topic: o.Topic, ID: o.Partition} }

// Claimed is what the new owner of a partition finds.
type Claimed struct {
	Epoch int64
	// Next is the offset to go on from, RecordedAt the recorded time of the record
	// before it; zero where that is not known.
	Next       int64
	RecordedAt time.Time
	Backlogs   []Backlog
	// Cancels are those that are not decided.
	Cancels []Cancel
}

// Backlog is what is unfinished for one endpoint in one partition.
type Backlog struct {
	Partition
	EndpointID string
	Org        string
	// Rows counts all, Held those of status held.
	Rows, Held int64
	// NextDue is when the first pending head is due; zero if there is none.
	NextDue time.Time
}

// Batch is one transaction.
type Batch struct {
	Parts  []Part
	Health []HealthChange
}

// Part is what a batch changes in one partition.
type Part struct {
	Partition
	// Epoch is the owner's, Seq the number of this commit of its, from 1.
	Epoch, Seq int64
	// From is where the checkpoint is expected, To where it goes; equal when
	// only rows change. RecordedAt is the recorded time of the record before To, zero
	// if it has none; where the checkpoint stays, what it has of it stays.
	From, To   int64
	RecordedAt time.Time
	// Insert are new rows; one that exists is replaced.
	Insert []Owed
	// Update are rows whose status, attempts, times, order key or error changed.
	Update []Owed
	// Delete are rows that are finished, each with its last status and error. What
	// waited for them may go: the store knows their order keys best.
	Delete []Owed
	// Started are the endpoints that the owner has taken over with this commit.
	Started []Started
	// Decided are the verdicts on cancels of rows that it deletes, or that were gone
	// before they were asked about.
	Decided []Decided
}

// Want asks for due rows.
type Want struct {
	Partition
	Epoch      int64
	EndpointID string
	Limit      int
	// Exclude are keys that the owner has in hand.
	Exclude []string
}

// Loaded answers a Want.
type Loaded struct {
	Rows []Owed
	// Next is when the first head that was not loaded is due; zero if none.
	Next time.Time
}

// PageQuery asks for rows of one status.
type PageQuery struct {
	Partition
	EndpointID string
	Status     delivery.Status
	Exclude    []string
	Limit      int
}

// ListQuery asks for the unfinished deliveries of an endpoint.
type ListQuery struct {
	Org, EndpointID string
	// Status is pending or held; empty is both.
	Status delivery.Status
	// IDs limits the list to these deliveries, those of replays too; nil is all.
	IDs []string
	// Untried leaves out what was tried since it came to be, or since it was last held.
	Untried bool
	// Before leaves out what was created after it, and of what was created at it
	// what has not a lesser Key than BeforeKey; zero leaves out nothing.
	Before    time.Time
	BeforeKey string
	// Limit bounds the list; 0 does not.
	Limit int
}
