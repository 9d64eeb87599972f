package projections

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// RunnerConfig says what a Runner runs.
type RunnerConfig struct {
	// Projection and Generation name it; the consumer group follows from them.
	Projection string
	Generation Generation
	Topics     []event.Topic
	Source     Source
	Applier    Applier
	// Batch is the most events of one Apply; 0 is DefaultBatch, or BuildBatch for
	// a generation that is being built.
	Batch int
	// Pace is the least time between the beginnings of two batches of a partition: in
	// a stream of events each then takes what has come meanwhile, and an event that
	// comes after a silence waits for nothing. Full batches and generations that are
	// being built keep none. It is for what nobody waits for: a transaction costs as
	// much as the events of many. 0 is none.
	Pace time.Duration
	// Observer is told of progress; nil for none.
	Observer Observer
	// Meter counts what is done; nil for none.
	Meter Meter
	Log   *slog.Logger
	Now   func() time.Time
	// Backoff is the first pause after an error, doubled up to MaxBackoff; zero
	// values are 100 ms and 5 s.
	Backoff, MaxBackoff time.Duration
}

// DefaultBatch is the most events that one transaction takes. Fewer are never
// waited for: a batch is what has gathered while the last one was written.
// A build takes more at once: it writes the row of an entity once per batch.
const (
	DefaultBatch = 1000
	BuildBatch   = 2000
)

// StreamPace is the Pace of consumers that nobody waits for by the millisecond.
const StreamPace = 200 * time.Millisecond

// Validate joins what is wrong.
func (c RunnerConfig) Validate() error {
	var errs []error
	if c.Projection == "" {
		errs = append(errs, errors.New("projection is empty"))
	}
	if len(c.Topics) == 0 {
		errs = append(errs, errors.New("topics are empty"))
	}
	if c.Source == nil || c.Applier == nil || c.Log == nil || c.Now == nil {
		errs = append(errs, errors.New("source, applier, log and now are needed"))
	}
	return errors.Join(errs...)
}

// Observer is told what runners do. Its methods return at once.
type Observer interface {
	// Applied says that a generation has the effect of all below next.
	Applied(projection string, generation int, topic event.Topic, partition int, next int64)
}

// Meter counts what runners do, for the metrics. Its methods return at once.
type Meter interface {
	// Batch says that events were applied, and how long that took.
	Batch(projection string, events int, took time.Duration)
	// Failure says that a partition could not go on.
	Failure(projection string)
}

// Group is the consumer group of a generation.
func Group(projection string, generation int) string {
	if generation == 1 {
		return "trunkline." + projection
	}
	return fmt.Sprintf("trunkline.%s.g%d", projection, generation)
}

// Runner applies the log to one generation of one read model, as a member of
// its consumer group. Stop before Start and a second Stop do no harm.
type Runner struct {
	cfg   RunnerConfig
	loop  loop
	waits waits

	mu    sync.Mutex
	parts map[partitionID]*Part
	err   string
}

type partitionID struct {
	topic event.Topic
	id    int
}

// Part is what a runner knows of a partition that it holds.
type Part struct {
	Topic     event.Topic
	Partition int
	// Next is the checkpoint; HighWatermark is where the log ended when last seen.
	Next, HighWatermark int64
	// Pending is the recorded time of the oldest event that was read and has not
	// had its effect; zero when there is none.
	Pending time.Time
	// Applied is the recorded time of the last event that had its effect.
	Applied time.Time
	// Progress is when an Apply last succeeded, or the partition was claimed.
	Progress time.Time
	// Err is why it does not go on, "" if it does. OtherLog says that it is
	// ErrOtherLog or ErrDeleted: it never will by itself.
	Err      string
	OtherLog bool
}

// NewRunner returns a runner that is not started.
func NewRunner(cfg RunnerConfig) (*Runner, error) {
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("runner of %q: %w", cfg.Projection, err)
	}
	switch {
	case cfg.Batch != 0:
	case cfg.Generation.Status == Building:
		cfg.Batch = BuildBatch
	default:
		cfg.Batch = DefaultBatch
	}
	if cfg.Backoff == 0 {
		cfg.Backoff = 100 * time.Millisecond
	}
	if cfg.MaxBackoff == 0 {
		cfg.MaxBackoff = 5 * time.Second
	}
	return &Runner{cfg: cfg, parts: make(map[partitionID]*Part)}, nil
}

// Start joins the group and returns at once. The runner ends with ctx or Stop.
func (r *Runner) Start(ctx context.Context) error {
	r.loop.start(ctx, r.run)
	return nil
}

// Stop leaves the group and waits until nothing runs, or ctx ends.
func (r *Runner) Stop(ctx context.Context) error {
	return r.loop.stop(ctx, "the runner of "+r.cfg.Projection)
}

// Done is closed when the runner has ended. It is nil before Start.
func (r *Runner) Done() <-chan struct{} {
	return r.loop.ended()
}

func (r *Runner) run(ctx context.Context) {
	group := Group(r.cfg.Projection, r.cfg.Generation.Number)
	pause := r.cfg.Backoff
	for ctx.Err() == nil {
		err := r.cfg.Source.Run(ctx, group, r.cfg.Topics, r.handle)
		if ctx.Err() != nil || errors.Is(err, ErrRetired) {
			return
		}
		r.fail(fmt.Sprintf("reading the log: %v", err))
		r.cfg.Log.WarnContext(ctx, "projection lost the log", slog.String("projection", r.cfg.Projection), slog.Any("err", err))
		if !sleep(ctx, pause) {
			return
		}
		pause = min(2*pause, r.cfg.MaxBackoff)
	}
}

// handle works on a partition until it is taken away. Only what the group has
// to know comes back as an error; the store being away is waited for here, so
// that nothing is lost and the partition is not handed around.
func (r *Runner) handle(ctx context.Context, p Partition) error {
	id := partitionID{p.Topic(), p.ID()}
	r.hold(id)
	defer r.release(id)
	pause := r.cfg.Backoff
	for {
		progressed, err := r.tenure(ctx, p, id)
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrRetired):
			r.loop.end()
			return nil
		case errors.Is(err, ErrFenced):
			r.failPart(id, err)
			return err
		}
		r.failPart(id, err)
		if progressed {
			pause = r.cfg.Backoff
		}
		if unsaid, ok := r.waits.due(r.cfg.Now(), pause == r.cfg.Backoff); ok {
			r.cfg.Log.WarnContext(ctx, "projection waits", slog.String("projection", r.cfg.Projection), slog.Int("generation", r.cfg.Generation.Number),
				slog.String("topic", string(id.topic)), slog.Int("partition", id.id), slog.Int("unsaid", unsaid), slog.Any("err", err))
		}
		if !sleep(ctx, pause) {
			return nil
		}
		pause = min(2*pause, r.cfg.MaxBackoff)
	}
}

// tenure claims a partition and applies what it reads until something fails.
func (r *Runner) tenure(ctx context.Context, p Partition, id partitionID) (progressed bool, err error) {
	s, err := r.cfg.Applier.Claim(ctx, id.topic, id.id)
	if err != nil {
		return false, err
	}
	defer s.Close()
	if err := resume(ctx, p, s); err != nil {
		return false, err
	}
	r.claimed(id, s.Next(), p.HighWatermark())
	for {
		waiting, cancel := context.WithTimeout(ctx, ConfirmEvery)
		events, err := p.Read(waiting, r.cfg.Batch)
		quiet := waiting.Err() != nil && ctx.Err() == nil
		cancel()
		if len(events) == 0 && quiet {
			if err := s.Confirm(ctx); err != nil {
				return progressed, fmt.Errorf("confirming %s/%d below %d: %w", id.topic, id.id, s.Next(), err)
			}
			continue
		}
		if err != nil {
			return progressed, fmt.Errorf("reading %s/%d: %w", id.topic, id.id, unread(ctx, p, s.Next(), err))
		}
		if len(events) == 0 {
			continue
		}
		r.pending(id, events[0].RecordedAt, p.HighWatermark())
		began := r.cfg.Now()
		if err := s.Apply(ctx, events); err != nil {
			return progressed, fmt.Errorf("applying %s: %w", events[0].Position, err)
		}
		progressed = true
		if r.cfg.Meter != nil {
			r.cfg.Meter.Batch(r.cfg.Projection, len(events), r.cfg.Now().Sub(began))
		}
		r.applied(id, s.Next(), events[len(events)-1].RecordedAt)
		r.rest(ctx, began, len(events))
	}
}

// rest lets events gather after a batch that began then and took so many.
func (r *Runner) rest(ctx context.Context, began time.Time, took int) {
	if took >= r.cfg.Batch || r.cfg.Generation.Status == Building {
		return
	}
	if left := r.cfg.Pace - r.cfg.Now().Sub(began); left > 0 {
		sleep(ctx, min(left, r.cfg.Pace)) // a clock may be set back
	}
}

// sleep waits and reports false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
