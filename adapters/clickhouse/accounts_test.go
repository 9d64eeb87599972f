package clickhouse

import (
	"slices"
	"testing"
	"time"

	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestEventsBetweenArePagedOnceEach(t *testing.T) {
	t.Parallel()
	w := newWorld(21).day(40)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 100))
	var all []event.Recorded
	for _, part := range w.log[event.Calls] {
		for _, e := range part {
			if _, dup := w.dups[e.Position]; !dup && e.Org == "org-a" && e.Fault == nil {
				all = append(all, e)
			}
		}
	}
	slices.SortFunc(all, func(a, b event.Recorded) int {
		if projections.MarkOf(a).Before(projections.MarkOf(b)) {
			return -1
		}
		return 1
	})
	times := make([]time.Time, len(all))
	for i, e := range all {
		times[i] = e.RecordedAt
	}
	slices.SortFunc(times, time.Time.Compare)
	for name, span := range map[string][2]time.Time{
		"all":    {times[0], times[len(times)-1].Add(time.Microsecond)},
		"middle": {times[len(times)/3], times[2*len(times)/3]},
		"none":   {times[0].AddDate(-1, 0, 0), times[0]},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var want, got []event.Position
			for _, e := range all {
				if !e.RecordedAt.Before(span[0]) && e.RecordedAt.Before(span[1]) {
					want = append(want, e.Position)
				}
			}
			mark := projections.EventMark{Topic: event.Calls}
			for {
				page, err := r.store.EventsBetween(t.Context(), "org-a", event.Calls, span[0], span[1], mark, 7)
				must(t, err)
				for _, e := range page {
					got = append(got, e.Position)
				}
				if len(page) < 7 {
					break
				}
				mark = projections.MarkOf(page[len(page)-1])
			}
			if diff := gocmp.Diff(want, got); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutcomesAreThoseOfTheDeliveryLog(t *testing.T) {
	t.Parallel()
	w := newWorld(22).day(40).deliver(event.Calls)
	r := newRig(t, w)
	must(t, replay(t.Context(), r.log, 1, w, 100))
	entries := wantEntries(t, w, "org-a", "hook-1")
	want := make(map[string]projections.DeliveryOutcome)
	wanted := []projections.DeliveryKey{{ID: "unknown", EventAt: entries[0].EventAt}}
	first, last := entries[0].EventAt, entries[0].EventAt
	for _, e := range entries {
		o := projections.DeliveryOutcome{Status: e.Status, Reason: e.Reason, Attempts: int64(len(e.Attempts))}
		for _, a := range e.Attempts {
			if a.StartedAt.After(o.LastAttemptAt) {
				o.LastAttemptAt = a.StartedAt
			}
		}
		want[e.ID] = o
		wanted = append(wanted, projections.DeliveryKey{ID: e.ID, EventAt: e.EventAt})
		if e.EventAt.Before(first) {
			first = e.EventAt
		}
		if e.EventAt.After(last) {
			last = e.EventAt
		}
	}
	got, err := r.store.Outcomes(t.Context(), "org-a", "hook-1", wanted)
	must(t, err)
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	other, err := r.store.Outcomes(t.Context(), "org-b", "hook-1", wanted)
	must(t, err)
	if len(other) != 0 {
		t.Errorf("another org sees %v", other)
	}
	for span, n := range map[[2]time.Time]int{{first, last.Add(time.Microsecond)}: len(entries), {first.AddDate(-1, 0, 0), first}: 0} {
		got, err := r.store.LoggedBetween(t.Context(), "org-a", "hook-1", span[0], span[1])
		must(t, err)
		if got != int64(n) {
			t.Errorf("%d deliveries, want %d", got, n)
		}
	}
	read, err := r.store.Checkpoints(t.Context(), projections.DeliveryLogName)
	must(t, err)
	for id, part := range w.log[event.Deliveries] {
		if end := part[len(part)-1].Position.Offset + 1; read[event.Deliveries][id] != end {
			t.Errorf("partition %d is read up to %d of %d", id, read[event.Deliveries][id], end)
		}
	}
}
