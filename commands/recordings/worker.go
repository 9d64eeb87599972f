package recordings

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/recording"
)

const (
	// noticesAtOnce bounds what is said between two looks for recordings to fetch.
	noticesAtOnce = 100
	// behind is the pause when something is due and the log is not read so far, or
	// its source has no slot; poll bounds every other pause while there is work, idle
	// while there is none.
	behind = 100 * time.Millisecond
	poll   = time.Second
	idle   = time.Minute
)

// worker is the loop of one process: it leases what is due, gives each fetch a
// goroutine, keeps the leases, and says what has to be said when time passes.
type worker struct {
	s *Service
	// freed gets a value when a fetch has ended.
	freed chan struct{}
	hosts *hosts
	// own is the one host of what recordings are kept in: one that takes nothing is left
	// alone as sources are. Else each recording would be asked for again and again.
	own *hosts
	wg  sync.WaitGroup

	mu sync.Mutex
	// fetches are those under way, by recording.
	fetches map[string]*underWay
}

// underWay is a fetch. It can be broken off.
type underWay struct {
	cancel context.CancelFunc
	// again says that the recording was leased to us once more meanwhile.
	again bool
}

func newWorker(s *Service) *worker {
	return &worker{s: s, freed: make(chan struct{}, 1), hosts: newHosts(s.cfg.PerHost), own: newHosts(s.cfg.AtOnce), fetches: make(map[string]*underWay)}
}

// theStore is the name of the one host of worker.own.
const theStore = "store"

// run works until ctx ends, and returns when no fetch is left.
func (w *worker) run(ctx context.Context) {
	defer w.wg.Wait()
	w.wg.Go(func() { w.keepLeases(ctx) })
	down := false
	for {
		pause, err := w.turn(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil && !down {
			w.s.cfg.Logger.WarnContext(ctx, "recordings wait", slog.Any("err", err))
		}
		if down = err != nil; down {
			pause = poll
		}
		if !rest(ctx, pause, w.s.cfg.Jobs.Woken(), w.freed) {
			return
		}
	}
}

// turn begins what can be begun and returns how long there is nothing to do.
func (w *worker) turn(ctx context.Context) (time.Duration, error) {
	now := event.Time(w.s.cfg.Clock())
	full := false
	var closed Hosts
	for {
		closed = w.hosts.closed(now)
		if full = !w.room() || len(w.own.closed(now).Alone) > 0; full {
			break
		}
		r, ok, err := w.s.cfg.Jobs.Lease(ctx, w.s.cfg.Lease, closed)
		if err != nil {
			return 0, err
		}
		if !ok {
			break
		}
		w.begin(ctx, r)
	}
	said, err := w.s.notices(ctx)
	if err != nil || said == noticesAtOnce {
		return 0, err
	}
	next, some, err := w.s.cfg.Jobs.Next(ctx, closed)
	switch {
	case err != nil:
		return 0, err
	case full, !some && len(closed.Alone) > 0:
		return poll, nil
	case !some:
		return idle, nil
	}
	return min(max(next, behind), poll), nil
}

// room reports whether another fetch may be begun.
func (w *worker) room() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.fetches) < w.s.cfg.AtOnce
}

// begin fetches a recording that is leased to us, unless that is under way: then the
// lease had ended because it could not be renewed in time, and is that fetch's.
func (w *worker) begin(ctx context.Context, r recording.Recording) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if f := w.fetches[r.ID]; f != nil {
		f.again = true
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	f := &underWay{cancel: cancel}
	w.fetches[r.ID] = f
	source := SourceOf(r.Org, r.URL)
	w.hosts.begin(source)
	w.own.begin(theStore)
	w.wg.Go(func() {
		began := w.s.cfg.Clock()
		err := w.s.fetch(ctx, r)
		w.ended(ctx, source, began, err)
		cancel()
		w.mu.Lock()
		delete(w.fetches, r.ID)
		w.mu.Unlock()
		if f.again { // perhaps after the fetch gave its lease back: then nobody has it
			w.s.yield(ctx, r.ID, 0)
		}
		select {
		case w.freed <- struct{}{}:
		default: // a token is there already
		}
	})
}

// ended frees a host's slot, and tells the operator when the host, or what recordings
// are kept in, went away or came back.
func (w *worker) ended(ctx context.Context, source string, began time.Time, err error) {
	org, host, _ := strings.Cut(source, " ")
	switch w.hosts.end(source, began, w.s.cfg.Clock(), err, ctx.Err() != nil) {
	case turnedAway:
		w.s.cfg.Logger.WarnContext(ctx, "a host serves no recordings and is asked less and less often", slog.String("org", org), slog.String("host", host), slog.Any("err", err))
	case turnedBack:
		w.s.cfg.Logger.InfoContext(ctx, "a host serves recordings again", slog.String("org", org), slog.String("host", host))
	case asBefore:
	}
	_, theirs := errors.AsType[*FetchError](err)
	if err != nil {
		err = &FetchError{Reason: err.Error(), Away: true, Err: err}
	}
	// A source that gave nothing shows nothing of the store.
	switch w.own.end(theStore, began, w.s.cfg.Clock(), err, theirs || ctx.Err() != nil) {
	case turnedAway:
		w.s.cfg.Logger.WarnContext(ctx, "recordings cannot be kept and are asked for less and less often", slog.Any("err", err))
	case turnedBack:
		w.s.cfg.Logger.InfoContext(ctx, "recordings are kept again")
	case asBefore:
	}
}

// keepLeases renews the leases of what is under way. A fetch that lost its lease
// is broken off: another process may have begun it.
func (w *worker) keepLeases(ctx context.Context) {
	for rest(ctx, w.s.cfg.Lease/3) {
		w.mu.Lock()
		ids := make([]string, 0, len(w.fetches))
		for id := range w.fetches {
			ids = append(ids, id)
		}
		w.mu.Unlock()
		if len(ids) == 0 {
			continue
		}
		kept, err := w.s.cfg.Jobs.Extend(ctx, ids, w.s.cfg.Lease)
		if err != nil {
			continue // the next turn may still be in time
		}
		w.breakOff(ids, kept)
	}
}

func (w *worker) breakOff(asked, kept []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	ours := make(map[string]bool, len(kept))
	for _, id := range kept {
		ours[id] = true
	}
	for _, id := range asked {
		if f, ok := w.fetches[id]; ok && !ours[id] {
			f.cancel()
		}
	}
}

// notices says what is due to be said, and returns of how many recordings.
func (s *Service) notices(ctx context.Context) (int, error) {
	ids, err := s.cfg.Jobs.Notices(ctx, noticesAtOnce)
	if err != nil {
		return 0, err
	}
	for _, id := range ids {
		err := s.cfg.Jobs.Settle(ctx, id, notice)
		if err != nil && !errors.Is(err, ErrUnknown) {
			return 0, err
		}
	}
	return len(ids), nil
}

// notice decides what is said of a recording because time has passed.
func notice(l Locked) (Decision, error) {
	d, now := Decision{After: l.Recording}, l.Now
	if l.State != call.CopyPending {
		return Decision{Unchanged: true}, nil
	}
	if at := l.NearEnd; !at.IsZero() && !at.After(now) {
		raised, err := nearEndAlert(l.Recording, now)
		if err != nil {
			return d, err
		}
		d.Facts = append(d.Facts, raised...)
		d.After.NearEnd, d.After.NearAlerted = time.Time{}, l.Announced.EventID
	}
	if at := l.DelayDue; !at.IsZero() && !at.After(now) {
		e, err := delayedFact(l.Recording, now)
		if err != nil {
			return d, err
		}
		d.Facts = append(d.Facts, e)
		d.After.DelayDue, d.After.Delayed = time.Time{}, true
	}
	d.Unchanged = len(d.Facts) == 0
	return d, nil
}
