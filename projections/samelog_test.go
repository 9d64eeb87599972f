package projections_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/memory/readmodel"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func TestSameLog(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 29, 12, 0, 0, 123456789, time.UTC)
	record := func(offset int64, at time.Time) []event.Recorded {
		return []event.Recorded{{
			Event:    event.Event{Envelope: event.Envelope{RecordedAt: at}},
			Position: event.Position{Topic: event.Calls, Partition: 2, Offset: offset},
		}}
	}
	down := errors.New("connection refused")
	for name, c := range map[string]struct {
		last  time.Time
		found []event.Recorded
		err   error
		start int64
		// want is what it says; "" is nothing.
		want           string
		other, deleted bool
	}{
		"the record is there":                            {last: at.Truncate(time.Microsecond), found: record(9, at)},
		"another is in its place":                        {last: at, found: record(9, at.Add(time.Microsecond)), other: true, want: "trunkline.calls.v1/2@9 was recorded at 2026-11-29T12:00:00.123456Z when it had its effect, and what is there now at 2026-11-29T12:00:00.123457Z: it is not the log that this was made from"},
		"none is in its place":                           {last: at, found: record(10, at), other: true, want: "trunkline.calls.v1/2@9, recorded at 2026-11-29T12:00:00.123456Z, is not there any more: it is not the log that this was made from"},
		"nothing is there":                               {last: at, other: true, want: "trunkline.calls.v1/2@9, recorded at 2026-11-29T12:00:00.123456Z, is not there any more: it is not the log that this was made from"},
		"the log ends before it":                         {last: at, err: projections.ErrOutOfRange, start: 9, other: true, want: "trunkline.calls.v1/2 has been read up to 10, but the log ends before: it is not the log that this was made from"},
		"retention has deleted it":                       {last: at, err: projections.ErrOutOfRange, start: 10},
		"retention has deleted the next one":             {last: at, err: projections.ErrOutOfRange, start: 11, deleted: true, want: "trunkline.calls.v1/2 has been read up to 10, but the log begins at 11: what stood between was deleted unread"},
		"its time is not known":                          {found: record(9, at)},
		"its time was made up":                           {last: time.Unix(0, 0), found: record(9, at)},
		"it has no time, and was kept with another's":    {last: at, found: record(9, time.Time{})},
		"it has a made-up time and was kept with a time": {last: at, found: record(9, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))},
		"the log is away":                                {last: at, err: down, want: "reading trunkline.calls.v1/2@9 again, the last record that had its effect: connection refused"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := projections.SameLog(t.Context(), event.Calls, projections.Mark{Partition: 2, Offset: 9, RecordedAt: c.last},
				func(context.Context) ([]event.Recorded, error) { return c.found, c.err },
				func(context.Context) (int64, error) { return c.start, nil })
			if said := fmt.Sprint(err); (err != nil || c.want != "") && said != c.want || errors.Is(err, projections.ErrOtherLog) != c.other || errors.Is(err, projections.ErrDeleted) != c.deleted {
				t.Errorf("it says %v, want %q", err, c.want)
			}
		})
	}
}

// The log is lost while a store lives on, and another one grows past the checkpoint.
func TestNothingOfAnotherLogIsApplied(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(t *testing.T) *memory.Log{
		"another log": func(t *testing.T) *memory.Log {
			log := memory.NewLog(1)
			notes(t, log, 100, 15)
			return log
		},
		"a log that is just as long": func(t *testing.T) *memory.Log {
			log := memory.NewLog(1)
			notes(t, log, 100, 10)
			return log
		},
		"a log that ends one before": func(t *testing.T) *memory.Log {
			log := memory.NewLog(1)
			notes(t, log, 100, 9)
			return log
		},
		"an empty log": func(*testing.T) *memory.Log { return memory.NewLog(1) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				first, store := memory.NewLog(1), readmodel.NewStore(projections.Models())
				notes(t, first, 0, 10)
				r := start(t, first, store, new(observed))
				synctest.Wait()
				stop(t, r)
				rows := func() []string {
					t.Helper()
					all, err := store.Rows(t.Context(), projections.Ref{Model: "calls", Generation: 1})
					if err != nil {
						t.Fatal(err)
					}
					return all
				}
				before := rows()
				<-time.After(time.Second)
				second, o := change(t), new(observed)
				r = start(t, second, store, o)
				<-time.After(time.Minute)
				notes(t, second, 200, 20)
				<-time.After(time.Minute)
				if parts := r.Parts(); len(parts) != 1 || !parts[0].OtherLog || !strings.Contains(parts[0].Err, "trunkline.calls.v1/0@9 was recorded at") {
					t.Errorf("it is not said: %+v", parts)
				}
				if next, failures := o.look(); len(next) > 0 || failures < 10 {
					t.Errorf("it went on to %v, and failed %d times", next, failures)
				}
				if diff := cmp.Diff(before, rows()); diff != "" {
					t.Errorf("rows (-before +after):\n%s", diff)
				}
				stop(t, r)
				// The right log is back, and has grown.
				notes(t, first, 10, 5)
				r = start(t, first, store, o)
				synctest.Wait()
				if next, _ := o.look(); next[0] != 15 {
					t.Errorf("with the right log it came to %v, want 15", next)
				}
				stop(t, r)
			})
		})
	}
}
