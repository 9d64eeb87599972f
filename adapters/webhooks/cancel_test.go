package webhooks

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// sentSequences are those that a receiver took.
func (r *rig) sentSequences() []int64 {
	var got []int64
	for _, s := range r.seen() {
		if s.status == 200 {
			got = append(got, s.sequence)
		}
	}
	return got
}

func (h *hub) cancelled(id string, want dispatch.Verdict) {
	h.link.t.Helper()
	got, err := h.service().Cancel(h.link.t.Context(), "org", id, "not wanted")
	if err != nil || got != want {
		h.link.t.Errorf("the verdict is %q, want %q, %v", got, want, err)
	}
}

func (r *rig) checkDropped(n int) {
	r.t.Helper()
	dropped := factsOf[delivery.Dropped](r)
	if len(dropped) != n || n > 0 && dropped[0].Reason != "not wanted" {
		r.t.Errorf("dropped: %+v, want %d", dropped, n)
	}
}

func TestCancelOfAWaitingDeliveryLetsTheNextGo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call", "call")
		pass(8 * time.Second) // the first has failed twice, the others wait behind it
		r.answers(func(Request) Result { return ok() })
		h.cancelled(delivery.ID("call#3", "a", ""), dispatch.Cancelled)
		h.cancelled(delivery.ID("call#1", "a", ""), dispatch.Cancelled)
		pass(time.Second)
		if diff := cmp.Diff([]int64{2}, r.sentSequences()); diff != "" {
			t.Error(diff)
		}
		r.checkDropped(2)
		h.cancelled(delivery.ID("call#1", "a", ""), dispatch.TooLate)
		h.cancelled(delivery.ID("call#2", "a", ""), dispatch.TooLate)
		r.happen("call")
		pass(time.Second)
		if diff := cmp.Diff([]int64{2, 4}, r.sentSequences()); diff != "" {
			t.Error(diff)
		}
		r.checkNoRows()
	})
}

func TestCancelOfAHeldDelivery(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(nil)
		defer h.stop()
		r.happen("call", "call")
		pass(time.Second)
		h.cancelled(delivery.ID("call#1", "a", ""), dispatch.Cancelled)
		r.checkDropped(1)
		r.change("a", func(e *delivery.Endpoint) { e.Enabled = true })
		pass(5 * time.Second)
		if diff := cmp.Diff([]int64{2}, r.sentSequences()); diff != "" {
			t.Error(diff)
		}
	})
}

// A request that is under way is not broken off: it decides, as far as it can.
func TestCancelOfADeliveryThatIsUnderWay(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		status  int
		want    dispatch.Verdict
		sent    []int64
		dropped int
	}{
		{"that succeeds is too late", 200, dispatch.TooLate, []int64{1, 2}, 0},
		{"that fails is the last attempt", 500, dispatch.Cancelled, []int64{2}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a")
				r.answers(func(Request) Result { return status(500) })
				h := r.start(nil)
				defer h.stop()
				r.happen("call", "call")
				pass(4 * time.Second)
				n := 0
				r.answers(func(Request) Result {
					<-time.After(3 * time.Second)
					r.mu.Lock()
					defer r.mu.Unlock()
					if n++; n == 1 && c.status != 200 {
						return status(c.status)
					}
					return ok()
				})
				pass(2 * time.Second) // the second attempt is under way
				h.cancelled(delivery.ID("call#1", "a", ""), c.want)
				pass(time.Minute)
				if diff := cmp.Diff(c.sent, r.sentSequences()); diff != "" {
					t.Error(diff)
				}
				r.checkDropped(c.dropped)
			})
		})
	}
}

// Who was told that it is cancelled does not see it sent by the next owner.
func TestACancelSurvivesKills(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{0, 20 * time.Millisecond, 60 * time.Millisecond, 110 * time.Millisecond, time.Second} {
		t.Run(after.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a")
				r.answers(func(Request) Result { return status(500) })
				h := r.start(nil)
				r.happen("call", "call")
				pass(8 * time.Second)
				r.answers(func(Request) Result { return ok() })
				keys, err := r.store.AskCancel(t.Context(), "org", delivery.ID("call#1", "a", ""), "not wanted")
				if err != nil || len(keys) != 1 {
					t.Fatalf("%v, %v", keys, err)
				}
				h.nudge()
				pass(after)
				h.kill()
				h = r.start(nil)
				pass(time.Minute)
				verdicts, err := r.store.Verdicts(t.Context(), keys)
				if err != nil || verdicts[keys[0]] == dispatch.Undecided {
					t.Errorf("the verdict is %v, %v", verdicts, err)
				}
				if diff := cmp.Diff([]int64{2}, slices.Compact(r.sentSequences())); diff != "" {
					t.Error(diff)
				}
				r.checkDropped(1)
				h.stop()
			})
		})
	}
}

// A kill as soon as the row is gone leaves no verdict that would be guessed.
func TestACancelThatTheRowWentWithIsNotTooLate(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a", func(e *delivery.Endpoint) { e.Enabled = false })
		h := r.start(nil)
		r.happen("call")
		pass(time.Second)
		id := delivery.ID("call#1", "a", "")
		keys, err := r.store.AskCancel(t.Context(), "org", id, "not wanted")
		if err != nil {
			t.Fatal(err)
		}
		h.nudge()
		for len(r.store.Rows()) > 0 {
			pass(time.Millisecond)
		}
		h.kill()
		h = r.start(nil)
		defer h.stop()
		pass(5 * time.Second)
		verdicts, err := r.store.Verdicts(t.Context(), keys)
		if err != nil || verdicts[id] != dispatch.Cancelled {
			t.Errorf("the verdict is %q, %v", verdicts[id], err)
		}
		r.checkDropped(1)
	})
}

func TestCancelWithoutAnOwnerIsDecidedLater(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 2)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		h := r.start(nil)
		r.happen(entities(6)...)
		pass(8 * time.Second)
		h.stop()
		idle := r.start(nil, 0) // nobody has the other partition
		var other string
		for _, row := range r.store.Rows() {
			if row.Partition == 1 {
				other = row.ID
			}
		}
		idle.cancelled(other, dispatch.Undecided)
		idle.stop()
		h = r.start(nil)
		pass(time.Second)
		r.checkDropped(1)
		h.stop()
	})
}

// A resend of a waiting delivery is cancelled with it.
func TestCancelTakesReplaysOfTheDeliveryToo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		r.answers(func(Request) Result { return status(500) })
		h := r.start(nil)
		defer h.stop()
		r.happen("call")
		pass(time.Second)
		id := delivery.ID("call#1", "a", "")
		if err := h.service().Resend(t.Context(), "org", id); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		h.cancelled(id, dispatch.Cancelled)
		n := len(r.seen())
		pass(time.Hour)
		if after := len(r.seen()); after != n {
			t.Errorf("%d more requests after it was cancelled", after-n)
		}
		r.checkNoRows()
	})
}
