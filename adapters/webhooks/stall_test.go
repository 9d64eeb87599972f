package webhooks

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestAnEngineSaysWhatItCannotDo(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		var h *hub
		says := func(when string, words ...string) {
			t.Helper()
			err := h.Stalled()
			if len(words) == 0 && err != nil {
				t.Errorf("%s: %v", when, err)
			}
			for _, w := range words {
				if err == nil || !strings.Contains(err.Error(), w) {
					t.Errorf("%s: it says %v, not %q", when, err, w)
				}
			}
		}
		r.store.Fail(errors.New("the database is down"))
		h = r.start(nil)
		defer h.stop()
		pass(10 * time.Second)
		says("without a claim", "claiming", "the database is down")
		r.store.Fail(nil)
		pass(5 * time.Second)
		says("with its claim")
		r.happen("call")
		pass(10 * time.Second)
		says("after work was done")
		r.store.Fail(errors.New("the database is down"))
		r.happen("call")
		pass(10 * time.Second)
		says("without checkpoints", "writing down", "the database is down")
		r.store.Fail(nil)
		pass(10 * time.Second)
		says("when all is well again")
		r.store.Fail(errors.New("the database is down"))
		if _, err := h.Claim(t.Context(), event.Leads, 0); err == nil {
			t.Error("a claim without a store")
		}
		r.store.Fail(nil)
		says("right after a claim that failed", "claiming")
		pass(stallCounts)
		says("when nobody tried again: it is another's by now")
	})
}

// The log is lost while the store lives on, and another one grows past the
// checkpoint: its events must not be passed over, nor taken for those that follow.
func TestNothingOfAnotherLogIsPlanned(t *testing.T) {
	t.Parallel()
	for name, grow := range map[string]func(r *rig){
		"it is longer":  func(r *rig) { r.happen("a", "b", "c", "d", "e") },
		"it is as long": func(r *rig) { r.happen("a", "b", "c") },
		"it is shorter": func(r *rig) { r.happen("a") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, 1)
				r.endpoint("a")
				r.receive = func(Request) Result { return status(500) }
				h := r.start(nil)
				r.happen("x", "y", "z")
				pass(10 * time.Second)
				h.stop()
				before := len(r.store.Rows())
				if next := r.store.Next(dispatch.Partition{Topic: event.Calls}); next != 3 || before != 3 {
					t.Fatalf("the checkpoint is %d, and %d deliveries are unfinished", next, before)
				}
				r.mu.Lock()
				right := r.log
				r.log = make([][]event.Recorded, 1)
				r.mu.Unlock()
				grow(r)
				r.receive = func(Request) Result { return ok() }
				h = r.start(nil)
				pass(time.Minute)
				if err := h.Stalled(); err == nil || !strings.Contains(err.Error(), "planning deliveries is put off: trunkline.calls.v1/0") || !errors.Is(err, projections.ErrOtherLog) {
					t.Errorf("it says %v", err)
				}
				r.happen("f", "g", "h")
				pass(30 * time.Minute)
				// What was planned before goes on.
				if rows := r.store.Rows(); len(rows) > 0 {
					t.Errorf("%d deliveries wait still", len(rows))
				}
				if next := r.store.Next(dispatch.Partition{Topic: event.Calls}); next != 3 {
					t.Errorf("the checkpoint is %d", next)
				}
				h.stop()
				for _, q := range r.requests {
					if !strings.Contains("xyz", q.entity) {
						t.Errorf("a request of %s", q.entity)
					}
				}
				// The right log is back, and has grown.
				r.mu.Lock()
				r.log = right
				r.mu.Unlock()
				r.happen("x")
				h = r.start(nil)
				pass(time.Minute)
				if err := h.Stalled(); err != nil {
					t.Errorf("with the right log: %v", err)
				}
				if next := r.store.Next(dispatch.Partition{Topic: event.Calls}); next != 4 {
					t.Errorf("with the right log the checkpoint is %d", next)
				}
				h.stop()
			})
		})
	}
}

// Each of many partitions cannot be planned, and tries again every few seconds.
func TestWhatIsPutOffDoesNotFillTheLog(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const partitions, minutes = 16, 10
		r := newRig(t, partitions)
		var said bytes.Buffer
		r.endpoint("a")
		calls := make([]string, 100)
		for i := range calls {
			calls[i] = fmt.Sprint("call", i)
		}
		h := r.start(nil)
		r.happen(calls...)
		pass(10 * time.Second)
		h.stop()
		r.mu.Lock()
		r.log = make([][]event.Recorded, partitions) // another log
		r.mu.Unlock()
		h = r.start(func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&said, nil)) })
		pass(minutes * time.Minute)
		h.stop()
		if n := strings.Count(said.String(), "\n"); n == 0 || n > minutes*6+6 {
			t.Errorf("it is said %d times in %d minutes", n, minutes)
		}
	})
}
