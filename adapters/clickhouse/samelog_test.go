package clickhouse

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// The log may be another one, and what it has before the checkpoint tells.
func TestAClaimTellsTheLastRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(31).day(20)
	r := newRig(t, w)
	part := w.log[event.Calls][0]
	var session projections.Session
	claim := func(what string, want projections.Mark) {
		t.Helper()
		var err error
		session, err = r.analytics.Applier(1).Claim(t.Context(), event.Calls, 0)
		must(t, err)
		got := session.Last()
		got.RecordedAt = got.RecordedAt.UTC()
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", what, diff)
		}
	}
	mark := func(e event.Recorded) projections.Mark {
		return projections.Mark{Offset: e.Position.Offset, RecordedAt: e.RecordedAt}
	}
	claim("at first", projections.Mark{Offset: -1, RecordedAt: time.Unix(0, 0).UTC()}) // which says that it is not known
	must(t, session.Apply(t.Context(), part[:3]))
	claim("after some", mark(part[2]))
	must(t, session.Apply(t.Context(), part[3:4]))
	must(t, r.store.exec(t.Context(), "OPTIMIZE TABLE sink_checkpoints FINAL"))
	claim("after one more", mark(part[3]))
}
