package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/projections"
)

// Get returns a replay of an org.
func (r *Replays) Get(ctx context.Context, org, id string) (dispatch.Replay, error) {
	rp, ok, err := r.store.Replay(ctx, org, id)
	if err == nil && !ok {
		err = dispatch.ErrNoReplay
	}
	return rp, err
}

// List returns replays of an org, the newest first, those before one of them if
// its id is given; projections.ErrCursor if the org has none of that id.
func (r *Replays) List(ctx context.Context, org, before string, limit int) ([]dispatch.Replay, error) {
	if before != projections.Clean(before) {
		return nil, projections.ErrCursor // no id is like that, and stores refuse it
	}
	if before != "" {
		_, ok, err := r.store.Replay(ctx, org, before)
		if err == nil && !ok {
			err = projections.ErrCursor
		}
		if err != nil {
			return nil, err
		}
	}
	return r.store.Replays(ctx, org, before, limit)
}

// Pause lets a replay offer nothing more. What it has handed over goes on, but
// to a receiver of its own, where it is held. Pausing again is harmless.
func (r *Replays) Pause(ctx context.Context, org, id, why string) (dispatch.Replay, error) {
	return r.decide(ctx, dispatch.Decision{
		Org: org, ID: id, From: []dispatch.ReplayState{dispatch.ReplayRunning}, To: dispatch.ReplayPaused, Detail: why,
	})
}

// Resume lets a paused replay go on from where it was.
func (r *Replays) Resume(ctx context.Context, org, id string) (dispatch.Replay, error) {
	return r.decide(ctx, dispatch.Decision{Org: org, ID: id, From: []dispatch.ReplayState{dispatch.ReplayPaused}, To: dispatch.ReplayRunning})
}

// Abort ends a replay: nothing more is offered, and what is unfinished is
// dropped, but for what is just under way and succeeds.
func (r *Replays) Abort(ctx context.Context, org, id, why string) (dispatch.Replay, error) {
	return r.decide(ctx, dispatch.Decision{
		Org: org, ID: id, From: []dispatch.ReplayState{dispatch.ReplayRunning, dispatch.ReplayPaused}, To: dispatch.ReplayAborting, Detail: why,
	})
}

func (r *Replays) decide(ctx context.Context, d dispatch.Decision) (dispatch.Replay, error) {
	d.Kinds = []dispatch.ReplayKind{dispatch.OfScope, dispatch.OfFailures}
	rp, done, err := r.store.Decide(ctx, d)
	switch {
	case err != nil:
		return rp, err
	case rp.ID == "":
		return rp, dispatch.ErrNoReplay
	case !done && rp.Kind == dispatch.OfStart:
		return rp, &dispatch.Refused{Reason: "a webhook catches up by itself; disable or delete the webhook to end that"}
	case !done && rp.State != d.To:
		return rp, &dispatch.Refused{Reason: fmt.Sprintf("the replay is %s", rp.State)}
	}
	r.engine.nudge()
	return rp, nil
}

// PauseTarget pauses the replay that a receiver belongs to, because the receiver
// wants no more; not one that was resumed since countsFrom. Any other id is left alone.
func (r *Replays) PauseTarget(ctx context.Context, id, why string, countsFrom time.Time) error {
	targets, err := r.store.Targets(ctx, id)
	if err != nil {
		return err
	}
	if ep, ok := targets[id]; ok && ep.Enabled && ep.CountsFrom().Equal(countsFrom) {
		_, err = r.Pause(ctx, ep.Org, id, why)
	}
	var refused *dispatch.Refused
	if errors.As(err, &refused) {
		return nil // decided otherwise meanwhile
	}
	return err
}

// Report tells how a replay went.
func (r *Replays) Report(ctx context.Context, org, id string) (dispatch.ReplayReport, error) {
	rp, err := r.Get(ctx, org, id)
	if err != nil {
		return dispatch.ReplayReport{}, err
	}
	report := dispatch.ReplayReport{Replay: rp, Counts: make(map[delivery.Status]int64)}
	// What is unfinished first: what ends in between is counted twice rather than
	// not at all.
	if !rp.State.Ended() {
		if report.Standing, err = r.store.Standing(ctx, rp); err != nil {
			return report, err
		}
	}
	ends, err := r.store.Ends(ctx, id)
	if err != nil {
		return report, err
	}
	for _, e := range ends {
		report.Counts[e.Status] += e.Count
		if e.Status != delivery.Delivered {
			report.Failures = append(report.Failures, e)
		}
	}
	until := rp.EndedAt
	if until.IsZero() {
		until = r.now()
	}
	report.Duration = until.Sub(rp.CreatedAt)
	return report, nil
}
