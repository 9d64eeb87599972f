package webhooks

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// lossyStore is the store as replays see it, over a connection that may hang and
// break when something was done.
type lossyStore struct{ deadStore }

// hang is how long a broken connection keeps a caller waiting.
const hang = 2 * time.Second

func (l lossyStore) answer(call string) error {
	if !l.link.loses(call) {
		return nil
	}
	<-time.After(hang)
	return errLost
}

func (l lossyStore) Lease(ctx context.Context, owner string, d time.Duration, most int) ([]dispatch.Leased, error) {
	if l.link.dead.Load() {
		return nil, errDead
	}
	leased, err := l.deadStore.Lease(ctx, owner, d, most)
	if lost := l.answer("lease"); lost != nil {
		return nil, lost
	}
	return leased, err
}

func (l lossyStore) Step(ctx context.Context, s dispatch.Step) (bool, error) {
	done, err := l.deadStore.Step(ctx, s)
	if lost := l.answer("step"); lost != nil {
		return false, lost
	}
	return done, err
}

func (l lossyStore) Standing(ctx context.Context, r dispatch.Replay) (dispatch.Standing, error) {
	s, err := l.deadStore.Standing(ctx, r)
	if lost := l.answer("standing"); lost != nil {
		return dispatch.Standing{}, lost
	}
	return s, err
}

func (l lossyStore) Parts(ctx context.Context, id string) ([]dispatch.ReplayPart, error) {
	parts, err := l.deadStore.Parts(ctx, id)
	if lost := l.answer("parts"); lost != nil {
		return nil, lost
	}
	return parts, err
}

func (l lossyStore) CancelReplay(ctx context.Context, id, reason string) error {
	err := l.deadStore.CancelReplay(ctx, id, reason)
	if lost := l.answer("cancel"); lost != nil {
		return lost
	}
	return err
}

// loses reports whether the answer of a call is lost.
func (r *rig) loses(call string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.forget != nil && r.forget(call)
}

// losesThe lets the answer of the nth call of a name be lost, counted from now.
func (r *rig) losesThe(n int, call string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget = func(c string) bool {
		if c != call {
			return false
		}
		n--
		return n == 0
	}
}

// Whichever answer of the store is lost, what was done is not done again: each
// delivery is sent and counted once, although rows end and go meanwhile.
func TestALostAnswerOffersNothingTwice(t *testing.T) {
	t.Parallel()
	for _, call := range []string{"lease", "step", "standing", "parts"} {
		for n := 1; n <= 8; n++ {
			t.Run(fmt.Sprint(call, " ", n), func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					r := newRig(t, 2)
					ep := r.endpoint("a")
					r.answers(func(Request) Result { return status(500) })
					h := r.start(nil)
					defer h.stop()
					began := time.Now()
					r.happen("call", "call", "call", "call", "call")
					pass(time.Hour) // all are exhausted
					r.answers(func(Request) Result { return ok() })
					r.losesThe(n, call)
					scope := h.begin(began, func(rp *dispatch.Replay) { rp.RatePerSec = 2 })
					recovery, err := h.replays.Recover(t.Context(), ep, began, time.Now(), "key/1")
					if err != nil {
						t.Fatal(err)
					}
					pass(time.Minute)
					for _, id := range []string{scope.ID, recovery.ID} {
						var sequences []int64
						for _, s := range r.replayed(id) {
							sequences = append(sequences, s.sequence)
						}
						rep := h.report(id)
						if !slices.Equal(sequences, []int64{1, 2, 3, 4, 5}) || rep.State != dispatch.ReplayFinished || rep.Events != 5 || rep.Deliveries != 5 ||
							rep.Scanned != rep.Total || rep.Counts[delivery.Delivered] != 5 || len(rep.Counts) != 1 {
							t.Errorf("%v were sent, the report is %+v", sequences, rep)
						}
					}
				})
			})
		}
	}
}
