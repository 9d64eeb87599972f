package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

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
	// MaxRows is the number of rows of one insert. Default 20,000: whatever its size,
	// one takes 20 to 30 ms, and the sessions of four partitions that catch up fit.
	MaxRows int
	// MaxBytes is how much data of events one insert has, roughly, if it has more
	// than one partition's batch. Default 8 MiB.
	MaxBytes int
	// InsertTimeout ends an insert that hangs. Default 60 s.
	InsertTimeout time.Duration
	// Settle is how long rows are given to reach the disk. Default DefaultSettle.
	Settle time.Duration
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// Skips are the events that an operator left out of the other read models, which
	// are not told as parked any more. Without it all are.
	Skips projections.Skips
}

// Validate reports every problem of the configuration.
func (c SinkConfig) Validate() error {
	if c.Every < 0 || c.MinRows < 0 || c.MaxRows < 0 || c.MaxBytes < 0 || c.InsertTimeout < 0 || c.Settle < 0 {
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
		c.MaxRows = 20_000
	}
	if c.MaxBytes == 0 {
		c.MaxBytes = 8 << 20
	}
	if c.InsertTimeout == 0 {
		c.InsertTimeout = time.Minute
	}
	if c.Settle == 0 {
		c.Settle = DefaultSettle
	}
	if c.Now == nil {
		c.Now = time.Now
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
	skips  projections.Skips
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
	rows(ctx context.Context, events []event.Recorded, have offsets) (rows R, n int, err error)
}

// applier applies events to one generation of one read model.
type applier[R any] struct {
	store      *Store
	model      string
	generation int
	cfg        SinkConfig
	// appendOnly are the tables whose rows a claim reads back.
	appendOnly []string
	// mapper maps what comes from an offset on, for a tenure on a server.
	mapper func(ctx context.Context, o owner, next int64, server time.Time) (mapper[R], error)
	insert func(ctx context.Context, works []*work[R]) error
	groups *groups[R]
	ids    ids
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
			if err := a.write(ctx, []*work[R]{w}); err != nil {
				w.err = a.outcome(err, w)
			}
		}
		return
	}
	for _, w := range works {
		if w.err == nil {
			w.err = a.outcome(err, w)
		}
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

// write fails as a whole, or for those works that it gives an error.
func (a *applier[R]) write(ctx context.Context, works []*work[R]) error {
	owners := make([]owner, len(works))
	for i, w := range works {
		owners[i] = w.owner
	}
	if err := a.insert(a.mark(ctx, owners), works); err != nil {
		return err
	}
	checkpoints := make([]checkpointRow, 0, len(works))
	now := event.Time(a.cfg.Now())
	for _, w := range works {
		// As of lately is enough: a claim on another server does not believe what a
		// session wrote that had not noticed, and nothing of it settles so soon.
		same, err := a.store.still(ctx, w.server, a.cfg.Settle/settlingMarks)
		if err != nil {
			return err
		}
		if !same {
			// Its next checkpoint would say that what it wrote before is there.
			w.err = a.outcome(errRestarted, w)
			continue
		}
		checkpoints = append(checkpoints, checkpointRow{a.model, a.generation, w.owner.topic, w.owner.partition, w.next, w.recordedAt, now, w.settled, w.server})
	}
	return a.store.inTurn(ctx, func(c driver.Conn) error { return checkpointTable.insert(ctx, c, "", [][]checkpointRow{checkpoints}) })
}
