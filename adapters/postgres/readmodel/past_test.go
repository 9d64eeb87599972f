package readmodel_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// sweep drops the months of calls that are 40 days old, and has the rest read from
// an archive of the whole log.
func (r *rig) sweep(now time.Time) {
	r.t.Helper()
	janitor, err := readmodel.NewJanitor(readmodel.JanitorConfig{
		Store: r.store, Models: []projections.Model{projections.Calls()}, Ends: r.log, HotWindow: 40 * 24 * time.Hour, Log: quiet(r.t),
		Now:      func() time.Time { return now },
		Archived: func(context.Context, event.Topic, time.Time) (bool, error) { return true, nil },
	})
	if err != nil {
		r.t.Fatal(err)
	}
	dropped, err := janitor.Sweep(r.t.Context())
	if err != nil || len(dropped) == 0 {
		r.t.Fatalf("dropped %v, %v", dropped, err)
	}
	r.reader = readmodel.NewReader(r.pool, &archive{r.log.Events(event.Calls)})
}

// history is that of a call, read in pages.
func (r *rig) history(id string, limit int) []readmodel.Past {
	r.t.Helper()
	var all []readmodel.Past
	for page := (readmodel.Page{Limit: limit}); ; {
		list, err := r.reader.History(r.t.Context(), "org", event.Calls, id, page)
		if err != nil {
			r.t.Fatal(err)
		}
		all = append(all, list.Items...)
		if page.Cursor = list.Next; page.Cursor == "" {
			return all
		}
	}
}

// dated is a fact of the call c1 that was recorded at a time.
func dated(t *testing.T, id string, at time.Time, p event.Payload) event.Event {
	t.Helper()
	e := fact(t, "org", "c1", id, 0, p)
	e.OccurredAt, e.RecordedAt = at, at
	return e
}

func started() call.Started {
	return call.Started{Direction: "inbound", From: "+14155550100", To: "+14155550111", StartedAt: t0}
}

// An archive has what was skipped, since it happened; no version is counted for it.
func TestWhatWasSkippedHasNoVersionInTheArchive(t *testing.T) {
	t.Parallel()
	day := func(n int) time.Time { return t0.AddDate(0, 0, n) }
	bad := func(id string, at time.Time) event.Event {
		e := dated(t, id, at, call.NoteAdded{Note: "x"})
		e.Data = json.RawMessage(`"seven"`)
		return e
	}
	first := dated(t, "e1", day(0), started())
	r := folded(t, first, bad("bad", day(1)), first, dated(t, "e2", day(2), call.Answered{AnsweredAt: t0}), dated(t, "e3", day(3), call.NoteAdded{Note: "soon"}),
		dated(t, "e4", day(40), call.NoteAdded{Note: "late"}), bad("worse", day(41)), dated(t, "waits", day(42), call.NoteAdded{Note: "behind it"}))
	log := r.log.Events(event.Calls)
	if _, err := projections.NewParking(r.store, projections.Models(), time.Now).Skip(t.Context(), "calls", log[1].Position, "broken", "user/ada"); err != nil {
		t.Fatal(err)
	}
	skipped, err := readmodel.NewSkips(r.pool).Skipped(t.Context(), event.Leads, event.Calls)
	if want := []event.Position{log[1].Position}; err != nil || !slices.Equal(skipped, want) {
		t.Errorf("skipped: %v, %v, want %v", skipped, err, want)
	}
	if skipped, err := readmodel.NewSkips(r.pool).Skipped(t.Context(), event.Leads); err != nil || len(skipped) > 0 {
		t.Errorf("skipped of leads: %v, %v", skipped, err)
	}
	check := func(when string, history []readmodel.Past, views []delivery.View) {
		t.Helper()
		for _, limit := range []int{1, 200} {
			if diff := cmp.Diff(history, r.history("c1", limit)); diff != "" {
				t.Errorf("history %s, in pages of %d (-before +after):\n%s", when, limit, diff)
			}
		}
		if diff := cmp.Diff(views, r.views("c1")); diff != "" {
			t.Errorf("views %s (-before +after):\n%s", when, diff)
		}
		got, err := r.reader.CallVersion(t.Context(), "org", "c1", 4)
		if err != nil || got.State.StartedAt == nil || len(got.State.Notes) != 2 {
			t.Errorf("version 4 %s: %+v, %v", when, got.State, err)
		}
	}
	history, views := r.history("c1", 200), r.views("c1")
	if len(history) != 4 {
		t.Fatalf("%d versions, want 4", len(history))
	}
	r.sweep(day(51))
	check("after the first month was dropped", history, views)
	r.sweep(day(120)) // and with no row left
	check("after both were dropped", history, views)
	// The next generation left it out too.
	h := r.hub("one", "calls")
	if _, err := h.rebuilder.Begin(t.Context(), "calls", true); err != nil {
		t.Fatal(err)
	}
	r.stage(h, "calls", projections.StageSwitched)
	r.sweep(day(120))
	check("in the next generation", history, views)
}

func TestAnArchiveThatLacksAnEventIsNoHistory(t *testing.T) {
	t.Parallel()
	var events []event.Event
	for i := range 4 {
		events = append(events, dated(t, fmt.Sprint("e", i), t0.AddDate(0, 0, i), call.NoteAdded{Note: fmt.Sprint(i)}))
	}
	events = append(events, dated(t, "late", t0.AddDate(0, 0, 40), call.NoteAdded{Note: "late"}))
	r := folded(t, events...)
	r.sweep(t0.AddDate(0, 0, 51))
	log := r.log.Events(event.Calls)
	for name, older := range map[string]projections.OlderHistory{"one is missing": &archive{slices.Delete(slices.Clone(log), 1, 2)}, "there is none": nil} {
		reader := readmodel.NewReader(r.pool, older)
		_, listed := reader.History(t.Context(), "org", event.Calls, "c1", readmodel.Page{})
		_, folded := reader.CallVersion(t.Context(), "org", "c1", 5)
		_, viewed := reader.Views(t.Context(), log[4:])
		for _, err := range []error{listed, folded, viewed} {
			if err == nil || !strings.Contains(err.Error(), "of the 4 events before") {
				t.Errorf("%s: %v, want that the archive is incomplete", name, err)
			}
		}
	}
}

// A hub whose clock is behind takes an event before midnight that stands in the log
// behind those of a hub that was in the next month already.
func TestAMonthThatIsDroppedTakesNoneFromTheMiddle(t *testing.T) {
	t.Parallel()
	midnight := time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)
	many := make([]int, 2*projections.SnapshotEvery)
	for i := range many {
		many[i] = i
	}
	many[projections.SnapshotEvery+3] = -1 // above a snapshot
	for name, ms := range map[string][]int{
		"in the middle":    {-2000, -1000, 1, -1, 2000},
		"at the end":       {-2000, 1, 2, -1},
		"more than one":    {1, -1, 2, -2, 3, -3, 4, 5},
		"above a snapshot": many,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var events []event.Event
			for i, n := range ms {
				events = append(events, dated(t, fmt.Sprint("e", i), midnight.Add(time.Duration(n)*time.Millisecond), call.NoteAdded{Note: fmt.Sprint(i)}))
			}
			r := folded(t, events...)
			log := r.log.Events(event.Calls)
			read := func() (histories [][]readmodel.Past, views [][]delivery.View, states []call.Call) {
				for _, limit := range []int{1, 2, 3, 200} {
					histories = append(histories, r.history("c1", limit))
				}
				for _, e := range log { // each by itself, so that it is read from its own rows
					v, err := r.reader.Views(t.Context(), []event.Recorded{e})
					if err != nil {
						t.Fatal(err)
					}
					views = append(views, v)
				}
				for _, at := range []time.Time{midnight, midnight.Add(time.Hour)} {
					item, err := r.reader.CallAsOf(t.Context(), "org", "c1", at, readmodel.ByRecorded)
					if err != nil {
						t.Fatal(err)
					}
					states = append(states, item.State)
				}
				return histories, views, states
			}
			histories, views, states := read()
			r.sweep(midnight.AddDate(0, 1, 15))
			gotHistories, gotViews, gotStates := read()
			if diff := cmp.Diff(histories, gotHistories); diff != "" {
				t.Errorf("history (-before +after the drop):\n%s", diff)
			}
			if diff := cmp.Diff(views, gotViews); diff != "" {
				t.Errorf("views (-before +after the drop):\n%s", diff)
			}
			if diff := cmp.Diff(states, gotStates); diff != "" {
				t.Errorf("states (-before +after the drop):\n%s", diff)
			}
		})
	}
}
