package webhooks

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/projections"
)

// A page behind a replay that the org does not have was empty, as if it were the end
// of the list.
func TestAListOfReplaysGoesOnBehindOneOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		r.endpoint("a")
		h := r.start(nil)
		defer h.stop()
		since := time.Now()
		pass(time.Second)
		rp := h.begin(since)
		if behind, err := h.replays.List(t.Context(), "org", rp.ID, 1); err != nil || len(behind) != 0 {
			t.Errorf("behind the only one: %d, %v", len(behind), err)
		}
		for _, c := range []struct{ org, before string }{{"org", "nobody"}, {"org", "\x00"}, {"org", "\xff"}, {"other", rp.ID}} {
			if _, err := h.replays.List(t.Context(), c.org, c.before, 1); !errors.Is(err, projections.ErrCursor) {
				t.Errorf("of %s, before %q: %v, want ErrCursor", c.org, c.before, err)
			}
		}
	})
}
