package projections

import (
	"context"
	"errors"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// Source hands out the partitions of the log to the members of a group.
type Source interface {
	// Run joins the consumer group and calls handle, in a goroutine of its own,
	// for each partition that this process is given. The context of handle ends
	// when the partition is taken away; Run waits for handle to return before it
	// lets the group go on. An error of handle is reported and the partition is
	// handled again after a pause. Run returns when ctx ends.
	Run(ctx context.Context, group string, topics []event.Topic, handle func(context.Context, Partition) error) error
}

// Partition is one partition of the log while it is ours. It is used by one
// goroutine at a time.
type Partition interface {
	Topic() event.Topic
	ID() int
	// SeekTo sets the offset that Read goes on from.
	SeekTo(next int64) error
	// Read waits for at least one record and returns up to max, in the order of
	// their offsets. It fails with ErrStalled when there are records to read and
	// none arrive, and with ErrOutOfRange when the offset is not there. A Read
	// that its context ended has lost nothing: the next one goes on.
	Read(ctx context.Context, max int) ([]event.Recorded, error)
	// HighWatermark is the offset that the next record will get, as of the last
	// answer of the broker.
	HighWatermark() int64
	// Start asks for the offset of the oldest record that is left; it is that of the
	// next one if none is.
	Start(ctx context.Context) (int64, error)
}

// Ends tells how far the log reaches.
type Ends interface {
	// Ends returns, for each partition of the topics, the offset that the next
	// record will get. All that was acknowledged before the call lies below it.
	Ends(ctx context.Context, topics ...event.Topic) (map[event.Topic]map[int]int64, error)
}

// ErrStalled says that a partition has records that the broker does not give.
var ErrStalled = errors.New("reader stalled below the high watermark")

// ErrOutOfRange says that a partition was asked for an offset it does not have:
// below its start (records were deleted) or beyond its end (it is another log).
// Going on elsewhere would skip events without a word, so nobody does.
var ErrOutOfRange = errors.New("offset outside the log")

// ErrFenced says that another owner has taken the partition: roll back, resign.
var ErrFenced = errors.New("another owner holds this checkpoint")

// Applier keeps one read model in one store: the Postgres models by folding,
// the ClickHouse tables by appending.
type Applier interface {
	// Claim makes the caller the owner of a partition; the former owner's next
	// Apply fails with ErrFenced. It returns the offset to go on from.
	Claim(ctx context.Context, topic event.Topic, partition int) (Session, error)
}

// Session is the ownership of one partition. It is used by one goroutine.
type Session interface {
	// Next is the offset to read from.
	Next() int64
	// Last is the last record that had its effect, as of the claim: it stands before
	// the checkpoint, and Next may lie before it. What the log has there tells whether
	// it is the same log (SameLog). RecordedAt is zero where it is not known.
	Last() Mark
	// Apply makes the effect of the events and the checkpoint behind the last of
	// them durable, both or neither. Applying an event again changes nothing.
	// Poison events are parked, not returned as an error; an error means that
	// nothing was done, or that it is unknown, and the session must be claimed
	// anew.
	Apply(ctx context.Context, events []event.Recorded) error
	// Confirm fails, as Apply would, when what Apply made durable last is not there
	// any more: a database that is killed goes back to what it had flushed, and may
	// have confirmed more. It is called every few seconds while nothing comes, and
	// asks the store less and less often (Quiet). Without it an event whose effect
	// was lost would be missing until the next one of its partition.
	Confirm(ctx context.Context) error
	// Close gives up what the session holds in memory.
	Close()
}

// Checkpoints answers how far a projection has come.
type Checkpoints interface {
	// Checkpoints returns the next offset of each partition of a projection's
	// live generation.
	Checkpoints(ctx context.Context, projection string) (map[event.Topic]map[int]int64, error)
}

// Progress waits for projections.
type Progress interface {
	// Wait returns nil once the live generation of a projection has the effect of
	// the events at the positions, and ctx.Err() if that is not before ctx ends.
	// Who reads after it may still find less: a killed database goes back. What must
	// not be wrong is read with Reach.
	Wait(ctx context.Context, projection string, positions ...event.Position) error
}

// Skips lists the events that an operator left out for good.
type Skips interface {
	// Skipped returns the positions in these topics, of whatever read model.
	Skipped(ctx context.Context, topics ...event.Topic) ([]event.Position, error)
}

// Duplicates lists the events that stand twice in the log.
type Duplicates interface {
	// Duplicates returns the offsets in [from, to) of a partition whose event is
	// found at an earlier offset too. It fails with ErrBehind when the checkpoint of
	// the topic's Postgres projection (see Of) lies below to: the list is complete
	// below it only.
	Duplicates(ctx context.Context, topic event.Topic, partition int, from, to int64) (map[int64]struct{}, error)
}

// Of returns the name of the Postgres projection that folds a topic.
func Of(t event.Topic) string {
	switch t {
	case event.Leads:
		return "leads"
	case event.Calls:
		return "calls"
	case event.Agents:
		return "agents"
	case event.Alerts:
		return "alerts"
	case event.Messages:
		return "messages"
	case event.Contacts:
		return "contacts"
	case event.Deliveries:
		return "deliveries"
	case event.Operations:
		return "operations"
	}
	return ""
}

// Generations are the builds of one read model in one store. A rebuild makes
// the next generation beside the live one, compares and switches.
type Generations interface {
	// Projection is the name shown to operators.
	Projection() string
	// Topics are what it reads.
	Topics() []event.Topic
	// List returns the generations that exist, oldest first.
	List(ctx context.Context) ([]Generation, error)
	// Create makes the empty tables of the next generation, status Building.
	Create(ctx context.Context) (Generation, error)
	// Applier applies events to one generation.
	Applier(generation int) Applier
	// Checkpoints returns the next offset of each partition of one generation.
	Checkpoints(ctx context.Context, generation int) (map[event.Topic]map[int]int64, error)
	// Digest returns, for each table of a generation, its row count and a hash of
	// every column of every row, independent of row order.
	Digest(ctx context.Context, generation int) ([]TableDigest, error)
	// Switch makes a generation the live one; the former becomes Retired and is
	// kept for a roll back, which is a Switch to it. Ends are where the log ends if
	// the former one has read further, in another log: then one that was built need
	// not have come as far. They are nil otherwise.
	Switch(ctx context.Context, generation int, ends map[event.Topic]map[int]int64) error
	// Drop deletes a generation that is not live.
	Drop(ctx context.Context, generation int) error
}

// Batcher is a Generations that wants other batches than the runner's default.
type Batcher interface {
	// Batch is the most events of one Apply.
	Batch() int
}

// Pacer is a Generations whose batches keep a distance in time (RunnerConfig.Pace).
type Pacer interface {
	// Pace is the least time between two batches of a partition.
	Pace() time.Duration
}

// Completer is a Generations whose builds leave to the end what only readers
// need, such as indexes.
type Completer interface {
	// Complete makes a generation that was built ready to be read. It may be
	// called again, and by several processes at once.
	Complete(ctx context.Context, generation int) error
}

// Generation is one build of a read model's tables.
type Generation struct {
	Number int
	// Status is Building, Live or Retired.
	Status GenerationStatus
}

// GenerationStatus is the stage of a generation.
type GenerationStatus string

// The stages.
const (
	Building GenerationStatus = "building"
	Live     GenerationStatus = "live"
	Retired  GenerationStatus = "retired"
)

// TableDigest is the content of a table in a few bytes.
type TableDigest struct {
	Table string
	Rows  int64
	Hash  string
}

// Comparer is a Generations that can compare two generations while both move
// on. Of one that is not, digests are compared at equal checkpoints.
type Comparer interface {
	// Compare compares all that both generations have, up to the lower of their
	// checkpoints in each partition, and describes the first differences.
	Compare(ctx context.Context, a, b int) (Comparison, error)
}

// Comparison is how two generations differ.
type Comparison struct {
	Tables []TableComparison
	// Differences are the first differing rows, in words.
	Differences []string
}

// TableComparison sets a table of two generations side by side.
type TableComparison struct {
	Table string
	A, B  TableDigest
}

// Equal reports whether nothing differs.
func (c Comparison) Equal() bool {
	for _, t := range c.Tables {
		if t.A.Rows != t.B.Rows || t.A.Hash != t.B.Hash {
			return false
		}
	}
	return true
}

// OlderHistory reads events that have left the hot window of a history.
type OlderHistory interface {
	// OlderHistory returns the events of one entity below a position, in log order.
	// Those that a read model parked or skipped are among them, because they
	// happened: who counts versions leaves them out.
	OlderHistory(ctx context.Context, org string, topic event.Topic, entityID string, before event.Position) ([]event.Recorded, error)
}
