package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// SinkConfig says how events are batched.
type SinkConfig struct {
	// Every is the time between the beginnings of two inserts, which is also how far
	// the tables lag when little happens. What comes after a pause is inserted at
	// once. Default 1 s: an insert makes thirty files for each table, and while the
	// disk takes them in, the embedded broker's flushes wait.
	Every time.Duration
	// MinRows is the number of rows that are worth an insert and are not made to
	// wait. Default 4,000: each insert makes a part, which costs as
	// much again when parts are merged.
	MinRows int
	// MaxRows is the number of rows of one insert. Default 10,000.
	MaxRows int
	// MaxBytes is how much data of events one insert has, roughly, if it has more
	// than one partition's batch. Default 8 MiB.
	MaxBytes int
	// InsertTimeout ends an insert that hangs. Default 60 s.
	InsertTimeout time.Duration
}

// Validate reports every problem of the configuration.
func (c SinkConfig) Validate() error {
	if c.Every < 0 || c.MinRows < 0 || c.MaxRows < 0 || c.MaxBytes < 0 || c.InsertTimeout < 0 {
		return errors.New("clickhouse: the settings of a sink must be positive")
	}
	return nil
}

func (c SinkConfig) withDefaults() SinkConfig {
	if c.Every == 0 {
		c.Every = time.Second
	}
	if c.MinRows == 0 {
		c.MinRows = 4000
	}
	if c.MaxRows == 0 {
		c.MaxRows = 10_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 8 << 20
	}
	if c.InsertTimeout == 0 {
		c.InsertTimeout = time.Minute
	}
	return c
}

// Sink keeps one read model in ClickHouse. It implements
// projections.Generations and is safe for concurrent use.
type Sink struct {
	store  *Store
	model  string
	topics []event.Topic
	tables []logicalTable
	make   func(generation int) projections.Applier

	mu       sync.Mutex
	appliers map[int]projections.Applier
}

// logicalTable is a table of a build as operators and digests see it.
type logicalTable struct {
	name string
	// gated tables are append-only, the others hold states and are read FINAL.
	gated bool
}

// batchEvents is how many events an Apply takes at best: a few partitions that
// catch up make one insert of it, and a hundred do not fill the memory.
const batchEvents = 4000

// Batch is how many events an Apply takes at best (projections.Batcher).
func (s *Sink) Batch() int { return batchEvents }

// Applier applies events to one generation. Sessions of the same generation
// share inserts, so it is always the same one.
func (s *Sink) Applier(generation int) projections.Applier {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.appliers[generation]
	if !ok {
		a = s.make(generation)
		s.appliers[generation] = a
	}
	return a
}

// mapper turns the events of one partition into rows. It belongs to a session.
type mapper[R any] interface {
	// rows maps events; it leaves out rows of append-only tables at the offsets
	// that have tells, which are in the tables already. n is how many rows it
	// made.
	rows(ctx context.Context, events []event.Recorded, have map[int64]struct{}) (rows R, n int, err error)
}

// applier applies events to one generation of one read model.
type applier[R any] struct {
	store      *Store
	model      string
	generation int
	maxRows    int
	// appendOnly are the tables whose rows a claim reads back.
	appendOnly []string
	mapper     func(ctx context.Context, o owner, checkpoint int64) (mapper[R], error)
	insert     func(ctx context.Context, works []*work[R]) error
	groups     *groups[R]
	ids        ids
}

// owner is who may insert the rows of a partition.
type owner struct {
	topic     event.Topic
	partition int
	epoch     uint64
}

// flush inserts the rows of a group, then stores the checkpoints.
func (a *applier[R]) flush(ctx context.Context, works []*work[R]) {
	err := a.write(ctx, works)
	if code(err) == codeThrowIf && len(works) > 1 {
		// Nothing was written, and one of them is to blame.
		for _, w := range works {
			w.err = a.outcome(a.write(ctx, []*work[R]{w}), w)
		}
		return
	}
	for _, w := range works {
		w.err = a.outcome(err, w)
	}
}

func (a *applier[R]) outcome(err error, w *work[R]) error {
	if err == nil {
		return nil
	}
	if code(err) == codeThrowIf {
		err = fmt.Errorf("%w: %w", projections.ErrFenced, err)
	}
	return fmt.Errorf("applying to %s, %s/%d: %w", a.model, w.owner.topic, w.owner.partition, err)
}

func (a *applier[R]) write(ctx context.Context, works []*work[R]) error {
	owners := make([]owner, len(works))
	checkpoints := make([]checkpointRow, len(works))
	now := event.Time(time.Now())
	for i, w := range works {
		owners[i] = w.owner
		checkpoints[i] = checkpointRow{a.model, a.generation, w.owner.topic, w.owner.partition, w.next, w.recordedAt, now}
	}
	if err := a.insert(a.mark(ctx, owners), works); err != nil {
		return err
	}
	return checkpointTable.insert(ctx, a.store.conn, "", [][]checkpointRow{checkpoints})
}
