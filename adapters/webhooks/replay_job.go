package webhooks

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// unfinishedMost bounds what a replay has in the store: what fails waits there
	// for its retries, and beyond this the rest of the replay waits for it.
	unfinishedMost = 5000
	// stepMost bounds the events of one step.
	stepMost = 250
	// nearEnd is how many records of a partition may be left when its owner takes
	// an endpoint over.
	nearEnd = 500
	// waitForRoom is how long a replay waits that goes at its pace. It keeps its place
	// unless all are taken; others look at it once restLeast is over.
	waitForRoom = 100 * time.Millisecond
	restLeast   = 500 * time.Millisecond
	// waitForRows is how long one rests that can do nothing until deliveries end that
	// it has offered, which may take days. When the last of them ends it is woken.
	waitForRows = 5 * time.Second
	// turn is how long a replay may read without a pause while all places are taken.
	turn = 10 * time.Second
	// pauseMost bounds the pause after errors.
	pauseMost = 2 * time.Second
)

// replayJob moves one replay on, while this process has its lease.
type replayJob struct {
	replays *Replays
	id      string
	epoch   int64
	cancel  context.CancelFunc
	// replay is what this job alone changes; told is the replay as it was last
	// read by another goroutine, whose state and detail may be newer.
	replay dispatch.Replay
	told   atomic.Pointer[dispatch.Replay]
	pace   delivery.Pace
	reader *pastReader
	// planner plans for an endpoint that catches up; it remembers sequences.
	planner *planner
	// widest is how many deliveries one event has made at most.
	widest int
	// last is when this job last asked for the time.
	last   time.Time
	detail string
	// unsure says that the answer to something was an error: it may have been done.
	unsure bool
}

func newReplayJob(r *Replays, l dispatch.Leased) *replayJob {
	j := &replayJob{replays: r, id: l.ID, epoch: l.Epoch, replay: l.Replay, pace: delivery.Pace{PerSec: l.RatePerSec, Next: l.PacedUntil}, detail: l.Detail}
	j.planner = newPlanner(r.engine.cfg, r.engine.dialects)
	j.tell(l.Replay)
	return j
}

func (j *replayJob) tell(r dispatch.Replay) { j.told.Store(&r) }

// errEnded says that there is nothing more to do here.
var errEnded = errors.New("the replay has ended")

func (j *replayJob) run(ctx context.Context) {
	began := time.Now() // the engine's clock may be set back
	for pause := 50 * time.Millisecond; ctx.Err() == nil; {
		wait, err := j.step(ctx)
		crowded := j.replays.crowded.Load()
		if err == nil && (wait >= waitForRows || crowded && (wait > 0 || time.Since(began) >= turn)) {
			err = j.rest(ctx, max(wait, restLeast))
		}
		switch {
		case errors.Is(err, errEnded):
			return
		case err != nil:
			// What was read and not written is read again, and how far that is.
			j.reader, j.unsure = nil, true
			if ctx.Err() == nil {
				j.replays.engine.cfg.Logger.WarnContext(ctx, "replay waits", slog.String("replay", j.id), slog.Any("err", err))
			}
			wait = pause
			pause = min(2*pause, pauseMost)
			// What fails for long must not keep others from their turn.
			if crowded && errors.Is(j.rest(ctx, pauseMost), errEnded) {
				return
			}
		default:
			pause = 50 * time.Millisecond
		}
		if wait > 0 && !background.Rest(ctx, wait) {
			return
		}
	}
}

// rest gives the place of the replay to others for a while: errEnded says that it is
// given back.
func (j *replayJob) rest(ctx context.Context, d time.Duration) error {
	if err := j.commit(ctx, dispatch.Step{Rest: d}); err != nil {
		return err
	}
	wake(j.replays.freed)
	return errEnded
}

// step does what can be done now and tells how long there is nothing to do.
func (j *replayJob) step(ctx context.Context) (time.Duration, error) {
	if err := j.reread(ctx); err != nil {
		return 0, err
	}
	r := j.replay
	told := j.told.Load()
	r.State, r.Detail, r.Target = told.State, told.Detail, told.Target
	standing, err := j.replays.store.Standing(ctx, r)
	if err != nil {
		return 0, err
	}
	switch {
	case r.State == dispatch.ReplayAborting:
		return j.abort(ctx, r, standing)
	case r.State != dispatch.ReplayRunning:
		return 0, errEnded
	case r.Kind == dispatch.OfStart:
		return j.catchUp(ctx, r, standing)
	case r.Read && standing.Total == 0:
		return 0, j.end(ctx, dispatch.ReplayFinished, "")
	case r.Read:
		return waitForRows, j.say(ctx, waitsFor(standing))
	}
	if standing.Fresh+standing.Held == 0 {
		j.pace.Tried(j.now())
	}
	room := j.room(standing)
	if room <= 0 {
		return waitsLong(standing), j.say(ctx, waitsFor(standing))
	}
	if r.Kind == dispatch.OfFailures {
		return 0, j.recover(ctx, r, room)
	}
	return 0, j.again(ctx, r, room)
}

// reread makes sure of what is stored after an error.
func (j *replayJob) reread(ctx context.Context) error {
	if !j.unsure {
		return nil
	}
	r, ok, err := j.replays.store.Replay(ctx, j.replay.Org, j.id)
	if err != nil {
		return err
	}
	if !ok {
		return errEnded
	}
	j.replay, j.detail, j.pace.Next, j.unsure = r, r.Detail, r.PacedUntil, false
	return nil
}

// room is how many deliveries may be offered. A little room is left until there
// is more, so that steps are few.
func (j *replayJob) room(s dispatch.Standing) int {
	window := j.pace.Window()
	room := min(window-s.Fresh-s.Held, unfinishedMost-s.Total)
	if room < min(window/4, stepMost) {
		return 0
	}
	return room
}

// waitsLong is how long a replay without room waits: one that has handed over
// nothing untried waits for receivers, not for its pace.
func waitsLong(s dispatch.Standing) time.Duration {
	if s.Fresh == 0 {
		return waitForRows
	}
	return waitForRoom
}

// waitsFor says in words what holds a replay up, "" when it only goes at its
// pace.
func waitsFor(s dispatch.Standing) string {
	switch waiting := s.Total - s.Fresh - s.Held; {
	case s.Held > 0:
		return fmt.Sprintf("%d deliveries are held, because their webhook is disabled", s.Held)
	case s.Fresh == 0 && waiting > 0:
		return fmt.Sprintf("%d deliveries failed and wait for their next attempt", waiting)
	}
	return ""
}

// say notes what the replay waits for, when that has changed.
func (j *replayJob) say(ctx context.Context, detail string) error {
	if detail == j.detail {
		return nil
	}
	return j.commit(ctx, dispatch.Step{Detail: &detail})
}

// commit makes a step durable. A replay that was decided on or that has another
// owner ends the job.
func (j *replayJob) commit(ctx context.Context, s dispatch.Step) error {
	s.ReplayID, s.Epoch = j.id, j.epoch
	done, err := j.replays.store.Step(ctx, s)
	if refused, ok := errors.AsType[*dispatch.RefusedError](err); ok {
		if s, err = j.leaveOut(ctx, s, refused); err != nil {
			return err
		}
		done, err = j.replays.store.Step(ctx, s)
	}
	if err != nil {
		return err
	}
	if !done {
		return errEnded
	}
	if s.Detail != nil {
		j.detail = *s.Detail
	}
	if len(s.Owed) > 0 {
		j.replays.engine.nudge()
	}
	j.replay.Read = j.replay.Read || s.Read
	if s.Cursor != nil {
		j.replay.Cursor = s.Cursor.To
	}
	return nil
}

// leaveOut drops of a step what the store refuses, so that the rest goes on.
func (j *replayJob) leaveOut(ctx context.Context, s dispatch.Step, refused *dispatch.RefusedError) (dispatch.Step, error) {
	j.replays.engine.cfg.Logger.ErrorContext(ctx, "the store refuses deliveries", slog.String("replay", j.id), slog.Any("deliveries", refused.Rows), slog.Any("err", refused.Err))
	var kept, dropped []dispatch.Owed
	for _, o := range s.Owed {
		if !slices.Contains(refused.Rows, o.Key()) {
			kept = append(kept, o)
			continue
		}
		o.Status, o.LastError = delivery.IsDropped, reasonUnstorable
		dropped = append(dropped, o)
	}
	s.Owed, s.Dropped = kept, slices.Concat(s.Dropped, dropped)
	if j.replay.Kind != dispatch.OfStart {
		return s, nil
	}
	return s, j.replays.recordDrops(ctx, dropped) // of ordinary deliveries it is a fact
}

// end brings the replay to its end.
func (j *replayJob) end(ctx context.Context, state dispatch.ReplayState, detail string) error {
	if err := j.commit(ctx, dispatch.Step{State: state, Detail: &detail}); err != nil {
		return err
	}
	j.replays.engine.cfg.Logger.InfoContext(ctx, "replay ended", slog.String("replay", j.id), slog.String("state", string(state)))
	return errEnded
}

// abort gives up what is unfinished, by way of those who have it.
func (j *replayJob) abort(ctx context.Context, r dispatch.Replay, standing dispatch.Standing) (time.Duration, error) {
	if standing.Total == 0 {
		return 0, j.end(ctx, dispatch.ReplayAborted, r.Detail)
	}
	if err := j.replays.store.CancelReplay(ctx, j.id, delivery.ReplayAborted); err != nil {
		return 0, err
	}
	j.replays.engine.nudge()
	return waitForRows, nil
}

// read prepares the reader.
func (j *replayJob) read(ctx context.Context) error {
	if j.reader != nil {
		return nil
	}
	parts, err := j.replays.store.Parts(ctx, j.id)
	if err != nil {
		return err
	}
	j.reader = newPastReader(j.replays.engine.cfg.Past, parts)
	return nil
}

// again offers what the next events of a scope make.
func (j *replayJob) again(ctx context.Context, r dispatch.Replay, room int) error {
	endpoints, err := j.replays.engine.receivers(r)
	if errors.Is(err, errNoReceiver) {
		return j.orphan(ctx, r)
	}
	if err != nil {
		return err
	}
	if err := j.read(ctx); err != nil {
		return err
	}
	plan, err := j.plan(ctx, r, room, len(endpoints), func(ctx context.Context, events []event.Recorded) ([][]dispatch.Owed, error) {
		return j.replays.engine.planner.again(ctx, r, endpoints, events)
	})
	if err != nil {
		return err
	}
	s := j.offer(plan, func(l *pastLane) dispatch.PartState {
		if l.at() >= l.end {
			return dispatch.PartDone
		}
		return dispatch.PartReading
	})
	s.Read = j.reader.exhausted()
	if err := j.commit(ctx, s); err != nil {
		return err
	}
	j.reader.moved(s.Moves)
	return nil
}

// plan takes events and plans them until there is no room for more deliveries. How many
// an event makes, for each of so many receivers, shows only then, so it goes by the
// most that one has made.
func (j *replayJob) plan(ctx context.Context, r dispatch.Replay, room, receivers int, plan func(context.Context, []event.Recorded) ([][]dispatch.Owed, error)) ([][]dispatch.Owed, error) {
	j.widest = max(j.widest, receivers, 1)
	var all [][]dispatch.Owed
	for most := min(room, stepMost); room > 0 && len(all) < most; {
		n := min(most-len(all), max(room/j.widest, 1))
		events, err := j.reader.take(ctx, n, r.Covers)
		if err != nil || len(events) == 0 {
			return all, err
		}
		planned, err := plan(ctx, events)
		if err != nil {
			return nil, err
		}
		for _, owed := range planned {
			room -= len(owed)
			j.widest = max(j.widest, len(owed))
		}
		all = append(all, planned...)
		if len(events) < n {
			break // there are no more, or it took long enough to find these
		}
	}
	return all, nil
}

// now is the time. Where its pace has come to goes back with a clock that is set back.
func (j *replayJob) now() time.Time {
	now := j.replays.now()
	if by := j.last.Sub(now); by > 0 {
		j.pace.Next = j.pace.Next.Add(-by)
	}
	j.last = now
	return now
}

// offer makes the step of a plan, each delivery due at its time.
func (j *replayJob) offer(plan [][]dispatch.Owed, state func(*pastLane) dispatch.PartState) dispatch.Step {
	now := j.now()
	none := ""
	s := dispatch.Step{Events: int64(len(plan)), Moves: j.reader.moves(state), Detail: &none}
	for _, owed := range plan {
		if len(owed) == 0 {
			s.Filtered++
		}
		for _, o := range owed {
			if o.Status == delivery.IsDropped {
				s.Dropped = append(s.Dropped, o)
				continue
			}
			o.NextAttemptAt = event.Time(j.pace.Due(now))
			s.Owed = append(s.Owed, o)
		}
	}
	s.PacedUntil = event.Time(j.pace.Next)
	return s
}

// orphan ends a replay whose endpoint is gone. This process may not know yet of
// one that was just made.
func (j *replayJob) orphan(ctx context.Context, r dispatch.Replay) error {
	if j.replays.now().Sub(r.CreatedAt) < time.Minute {
		return errNoReceiver
	}
	return j.end(ctx, dispatch.ReplayAborted, errNoReceiver.Error())
}

// recover offers the next of what ended without success.
func (j *replayJob) recover(ctx context.Context, r dispatch.Replay, room int) error {
	service := j.replays.cfg.Service
	endpoints, err := j.replays.engine.receivers(r)
	if errors.Is(err, errNoReceiver) {
		return j.orphan(ctx, r)
	}
	if err != nil {
		return err
	}
	page, next, err := service.sent.Unsuccessful(ctx, endpoints[0], r.From, r.Until, r.Cursor, min(room, stepMost))
	if err != nil {
		return fmt.Errorf("reading what ended without success: %w", err)
	}
	none := ""
	s := dispatch.Step{Events: int64(len(page)), Scanned: int64(len(page)), Cursor: &dispatch.CursorMove{From: r.Cursor, To: next}, Read: next == "", Detail: &none}
	for _, d := range page {
		again, err := service.again(ctx, r.Org, d)
		if errors.Is(err, ErrUnknown) {
			s.Filtered++
			continue
		}
		if err != nil {
			return err
		}
		for _, o := range again {
			service.fresh(&o, r.ID)
			s.Owed = append(s.Owed, ofReplay(r, endpoints[0], o))
		}
	}
	return j.commit(ctx, s)
}
