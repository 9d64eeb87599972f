package projections

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Ref names one generation of one read model.
type Ref struct {
	Model      string
	Generation int
}

// Store keeps the rows of the folded read models. It is safe for concurrent
// use. An error that is none of those below may be transient.
type Store interface {
	// Claim makes the caller the owner of a partition of a generation. The former
	// owner's next Commit fails with ErrFenced. It fails with ErrRetired when the
	// generation is not to be written: retired or dropped.
	Claim(ctx context.Context, ref Ref, topic event.Topic, partition int) (Tenure, error)
	// Load returns what is known of entities; an entity that is new is absent.
	Load(ctx context.Context, ref Ref, keys []Key) (map[Key]Loaded, error)
	// Repeats returns which of the asked (entity, event id) pairs stand in the
	// history with a recorded time not before Since.
	Repeats(ctx context.Context, ref Ref, asks []Ask) (map[Ask]bool, error)
	// Commit writes a batch and the checkpoint, both or neither. It fails with
	// ErrFenced when the tenure has ended, ErrRevised when an operator changed
	// parked entities since the tenure or the last Load, and ErrRefused when the
	// store cannot hold a value of the batch.
	Commit(ctx context.Context, ref Ref, b Batch) error
	// Generations returns the generations of a read model that exist, oldest first.
	Generations(ctx context.Context, model string) ([]Generation, error)
	// Parked lists what is set aside, in log order.
	Parked(ctx context.Context, ref Ref, q ParkedQuery) ([]Parked, error)
}

// The errors of a Store.
var (
	// ErrRevised says that parked entities were changed by an operator: load anew.
	ErrRevised = errors.New("parked entities were revised")
	// ErrRefused says that the store cannot hold a value: an event of the batch is
	// poison.
	ErrRefused = errors.New("the store refuses a value")
	// ErrRetired says that a generation is not written any more.
	ErrRetired = errors.New("generation is retired")
)

// Tenure is the ownership of a partition.
type Tenure struct {
	// Next is the checkpoint.
	Next int64
	// Last is the record before it (Session.Last).
	Last Mark
	// Epoch and Revision are what Commit compares.
	Epoch, Revision int64
	// Skipped are the offsets that an operator decided to leave out, in every
	// generation.
	Skipped map[int64]struct{}
	// Recent are the ids of the last RepeatWindow offsets, of a read model without
	// history.
	Recent []SeenID
}

// SeenID is the short form of an event id and where it stands.
type SeenID struct {
	Hash   uint64
	Offset int64
}

// Loaded is what a store knows of an entity.
type Loaded struct {
	// Version is 0 for an entity that has parked events only.
	Version     int64
	State       []byte
	Recent      []uint64
	First, Last Mark
	// Parked are the ids of its parked events, in log order.
	Parked []string
}

// Ask is a question to Repeats.
type Ask struct {
	Key
	EventID string
	Since   time.Time
}

// Batch is the effect of consecutive events of one partition.
type Batch struct {
	Topic     event.Topic
	Partition int
	// Tenure is what the batch was made under; its Next is the checkpoint before.
	Tenure Tenure
	// Next is the checkpoint after the batch.
	Next int64
	// RecordedAt is the recorded time of the batch's last event; zero if it has none
	// that can be kept. A batch that leaves the checkpoint where it is leaves the time
	// too.
	RecordedAt time.Time

	Entities   []EntityRow
	History    []HistoryRow
	Extra      []ExtraRow
	Duplicates []Duplicate
	Parked     []Parked
	// Recent are the ids of the batch, of a read model without history.
	Recent []SeenID

	// Amend is set when an operator's retry or skip makes the batch. The
	// checkpoint then stays, and the projector's next Commit fails with ErrRevised.
	Amend *Amendment
}

// EntityRow is a row of Model.Table.
type EntityRow struct {
	Key
	Version     int64
	State       []byte
	Recent      []uint64
	First, Last Mark
	// Fresh says that the store has no row of the entity, as far as Load told.
	Fresh bool
	// Values follow Model.Columns.
	Values []any
}

// HistoryRow is a row of Model.History.
type HistoryRow struct {
	event.Recorded
	Version int64
	// State is the state after the event, at every SnapshotEvery-th version, else
	// nil: a long history is folded from there.
	State []byte
}

// Duplicate is an event that stands in the log at an earlier offset too.
type Duplicate struct {
	Position event.Position
	Key
	EventID string
}

// Parked is an event that is set aside.
type Parked struct {
	event.Recorded
	// Reason says in words why. Behind is true for an event that is sound itself
	// but waits for a parked one of its entity.
	Reason string
	Behind bool
}

// Entity is the entity that it is parked with; the zero Key where it cannot be
// trusted to name one, and then nothing waits behind it.
func (p Parked) Entity() Key {
	k, _ := keyOf(p.Recorded)
	return k
}

// ParkedQuery selects parked events.
type ParkedQuery struct {
	// Key limits to one entity; nil asks for all.
	Key *Key
	// After is the position to go on from; zero is the beginning.
	After event.Position
	// Limit bounds the answer; 0 is no bound.
	Limit int
}

// Amendment is a change of one parked entity by an operator.
type Amendment struct {
	Key
	// Expect are the offsets that the entity has parked; Commit fails with
	// ErrRevised when they are others.
	Expect []int64
	// Release are the offsets that are parked no more.
	Release []int64
	// Skip is set when one of them is left out for good.
	Skip *Skip
}

// Skip is an operator's decision to leave an event out.
type Skip struct {
	Position event.Position
	EventID  string
	// Reason and Actor are kept for the audit, with the time At.
	Reason, Actor string
	At            time.Time
}
