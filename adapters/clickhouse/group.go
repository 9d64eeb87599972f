package clickhouse

import (
	"context"
	"sync"
	"time"
)

// groups joins the batches of the sessions of one build into common inserts.
// ClickHouse wants few large inserts; there are a hundred partitions, each with
// little to say. No goroutine waits when there is nothing to do: the first
// session to come leads, waits for others, inserts for all.
type groups[R any] struct {
	every   time.Duration
	minRows int // worth an insert
	maxRows int // enough for one
	// maxBytes is enough for one, too.
	maxBytes int
	timeout  time.Duration
	flush    func(ctx context.Context, works []*work[R])

	// turn is held while inserting: what comes meanwhile makes the next group.
	turn chan struct{}
	mu   sync.Mutex
	open *group[R]
	// begun is when the last insert was begun.
	begun time.Time
}

// work is one session's part of a group.
type work[R any] struct {
	owner owner
	rows  R
	n     int
	// bytes is about how much data the rows hold.
	bytes int
	next  int64
	// recordedAt is that of the last event.
	recordedAt time.Time
	// settled and server are what the checkpoint carries (see settling).
	settled int64
	server  time.Time
	err     error
}

type group[R any] struct {
	works []*work[R]
	rows  int
	bytes int
	// lively says that busy is closed.
	lively bool
	busy   chan struct{} // closed when there are enough rows for an insert
	full   chan struct{} // closed when there is no room for more
	done   chan struct{} // closed when the works have their outcome
}

func newGroups[R any](cfg SinkConfig, flush func(context.Context, []*work[R])) *groups[R] {
	return &groups[R]{
		every: cfg.Every, minRows: cfg.MinRows, maxRows: cfg.MaxRows, maxBytes: cfg.MaxBytes, timeout: cfg.InsertTimeout,
		flush: flush, turn: make(chan struct{}, 1),
	}
}

// apply returns when the work's outcome is known, or ctx has ended.
func (g *groups[R]) apply(ctx context.Context, w *work[R]) error {
	mine, leads := g.join(w)
	if leads {
		g.lead(ctx, mine)
		return w.err
	}
	select {
	case <-mine.done:
		return w.err
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (g *groups[R]) join(w *work[R]) (mine *group[R], leads bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.open == nil {
		g.open = &group[R]{busy: make(chan struct{}), full: make(chan struct{}), done: make(chan struct{})}
		leads = true
	}
	mine = g.open
	mine.works = append(mine.works, w)
	mine.rows += w.n
	mine.bytes += w.bytes
	if !mine.lively && (mine.rows >= g.minRows || behind(w)) {
		mine.lively = true
		close(mine.busy)
	}
	if mine.rows >= g.maxRows || mine.bytes >= g.maxBytes {
		close(mine.full)
		g.open = nil
	}
	return mine, leads
}

// behind reports whether a work is so large that its partition has more to come:
// then it is the sink that keeps rows waiting, and not the other way round.
func behind[R any](w *work[R]) bool { return w.n >= behindRows || w.bytes >= behindBytes }

const (
	behindRows  = 2000
	behindBytes = 1 << 20
)

// lead inserts for the group. A leader whose partition is taken away still
// finishes, at once and within the grace: the others count on it.
func (g *groups[R]) lead(ctx context.Context, mine *group[R]) {
	defer close(mine.done)
	g.gather(ctx, mine)
	g.turn <- struct{}{} // whoever has it gives it back within the timeout
	defer func() { <-g.turn }()
	g.mu.Lock()
	if g.open == mine {
		g.open = nil
	}
	g.begun = time.Now()
	g.mu.Unlock()
	insert, end := detached(ctx, g.timeout)
	defer end()
	g.flush(insert, mine.works)
}

// gather waits for company: until the next insert is due when there is little to
// do, and for a moment when there is much, because then the others are about to
// come too, or when nothing was inserted lately.
func (g *groups[R]) gather(ctx context.Context, mine *group[R]) {
	g.mu.Lock()
	due := g.every - time.Since(g.begun)
	g.mu.Unlock()
	moment := min(g.every, busyLinger)
	timer := time.NewTimer(max(due, moment))
	defer timer.Stop()
	select {
	case <-mine.busy:
	case <-mine.full:
		return
	case <-timer.C:
		return
	case <-ctx.Done():
		return
	}
	soon := time.NewTimer(moment)
	defer soon.Stop()
	select {
	case <-mine.full:
	case <-soon.C:
	case <-timer.C:
	case <-ctx.Done():
	}
}

// busyLinger is how long a group waits for more that need not wait for its turn.
const busyLinger = 25 * time.Millisecond

// detached returns a context that ends after a time, or when parent has ended
// for the leader's grace. It is not cancelled by end: clickhouse-go watches the
// context of an insert in a goroutine that may still look once the insert is
// done, and would then close a connection that is somebody else's by now.
func detached(parent context.Context, timeout time.Duration) (ctx context.Context, end func()) {
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(parent))
	expire := func() { cancel(context.DeadlineExceeded) }
	late := time.AfterFunc(timeout, expire)
	stop := context.AfterFunc(parent, func() { late.Reset(leaderGrace) })
	return ctx, func() {
		stop()
		late.Stop()
	}
}

// leaderGrace is how long a leader that should stop goes on for the others.
const leaderGrace = 5 * time.Second
