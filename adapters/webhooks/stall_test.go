package webhooks

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/domain/event"
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
