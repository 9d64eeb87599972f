package webhooks

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"
)

// TestASlowLogKeepsPlansAndNotRows lets the log take facts slower than events could
// be planned and sent: what is not planned waits in the log, for nothing, and not in
// the store, where each delivery would be written, read and deleted.
func TestASlowLogKeepsPlansAndNotRows(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 1)
		const endpoints, events = 10, 4_000
		for i := range endpoints {
			r.endpoint(fmt.Sprint("ep", i))
		}
		r.trouble = func() (before, after time.Duration, lost bool) { return 200 * time.Millisecond, 0, false }
		h := r.start(nil)
		defer h.stop()
		r.happen(entities(events)...)
		pass(time.Minute)
		if sent, rows := len(r.seen()), r.store.Inserted(); sent != endpoints*events || rows != 0 {
			t.Errorf("%d requests and %d rows, want %d and none", sent, rows, endpoints*events)
		}
	})
}
