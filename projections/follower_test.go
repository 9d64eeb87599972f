package projections_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// world is a partition of calls and a projector that has come some way.
type world struct {
	log  []event.Recorded
	come int64
	// waited is the furthest that anybody waited for.
	waited int64
}

// truth is what the projector finds of an event.
type truth struct {
	version       int64
	before, after event.Entity
}

// fold is what the projector makes of the log below an offset.
func (w *world) fold(below int64) (rows map[projections.Key]projections.Loaded, steps []truth) {
	rows = make(map[projections.Key]projections.Loaded)
	states := make(map[projections.Key]event.Entity)
	for _, e := range w.log[:below] {
		k := projections.Key{Org: e.Org, ID: e.Subject}
		row, state := rows[k], states[k]
		if state == nil {
			state = new(call.Call)
		}
		repeated := false
		for _, h := range row.Recent {
			repeated = repeated || h == projections.HashID(e.ID)
		}
		after := catalog.Copy(state)
		err := catalog.Apply(after, e)
		switch {
		case repeated, len(row.Parked) > 0:
			steps = append(steps, truth{})
		case err != nil:
			row.Parked = append(row.Parked, e.ID)
			steps = append(steps, truth{})
		default:
			row.Version++
			row.Recent = append(row.Recent, projections.HashID(e.ID))
			row.Last = projections.Mark{Offset: e.Position.Offset}
			if row.Version == 1 {
				row.First = row.Last
			}
			t := truth{version: row.Version, after: after}
			if row.Version > 1 {
				t.before = state
			}
			steps = append(steps, t)
			states[k] = after
		}
		rows[k] = row
	}
	for k, row := range rows {
		if states[k] != nil {
			row.State, _ = event.Marshal(states[k])
			rows[k] = row
		}
	}
	return rows, steps
}

func (w *world) Known(_ context.Context, _ event.Topic, keys []projections.Key, have ...event.Position) (map[projections.Key]projections.Loaded, error) {
	for _, at := range have {
		if w.come <= at.Offset {
			return nil, projections.ErrBehind
		}
	}
	rows, _ := w.fold(w.come)
	found := make(map[projections.Key]projections.Loaded)
	for _, k := range keys {
		if row, ok := rows[k]; ok {
			found[k] = row
		}
	}
	return found, nil
}

func (w *world) Wait(_ context.Context, _ string, at ...event.Position) error {
	for _, p := range at {
		w.come = max(w.come, p.Offset+1)
		w.waited = max(w.waited, p.Offset+1)
	}
	return nil
}

// happen appends an event of a call; its id repeats an earlier one if told so.
func (w *world) happen(id, subject string, data string, kind event.Type) {
	n := int64(len(w.log))
	at := time.Date(2026, 11, 28, 9, 0, 0, 0, time.UTC)
	w.log = append(w.log, event.Recorded{
		Event: event.Event{Data: json.RawMessage(data), Envelope: event.Envelope{
			ID: id, Type: kind, Source: "api", Subject: subject, Org: "org", OccurredAt: at, RecordedAt: at,
		}},
		Position: event.Position{Topic: event.Calls, Offset: n},
	})
}

func callsModel() projections.Model { return projections.Calls() }

// What the follower finds is what the projector finds, wherever the projector
// is, though its database is killed and goes back, whatever is forgotten, passed by or poisoned, and whenever it begins anew.
func TestTheFollowerFindsWhatTheProjectorFinds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		w := &world{}
		for i := range rapid.IntRange(1, 60).Draw(t, "events") {
			subject := fmt.Sprintf("call-%d", rapid.IntRange(0, 4).Draw(t, "call"))
			id := fmt.Sprintf("event-%d", i)
			if i > 0 && rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
				again := w.log[rapid.IntRange(0, i-1).Draw(t, "of")]
				id, subject = again.ID, again.Subject
			}
			switch rapid.IntRange(0, 19).Draw(t, "kind") {
			case 0:
				w.happen(id, subject, `{"note":7}`, "call.note_added.v1")
			case 1, 2, 3, 4:
				w.happen(id, subject, `{"direction":"outbound","from":"+14143756757","to":"+14155550100"}`, "call.started.v1")
			default:
				w.happen(id, subject, fmt.Sprintf(`{"note":"note %d"}`, i), "call.note_added.v1")
			}
		}
		_, want := w.fold(int64(len(w.log)))
		next := int64(rapid.IntRange(0, len(w.log)).Draw(t, "from"))
		limit := rapid.SampledFrom([]int{1, 3000, 1 << 20}).Draw(t, "limit")
		f := projections.NewFollower(callsModel(), 0, next, w, w, limit)
		for next < int64(len(w.log)) {
			if rapid.IntRange(0, 9).Draw(t, "restart") == 0 {
				f.Restart(next)
			}
			if to := int64(rapid.IntRange(0, len(w.log)).Draw(t, "projector")); to > w.come || rapid.IntRange(0, 4).Draw(t, "killed") == 0 {
				w.come = to
			}
			if rapid.IntRange(0, 9).Draw(t, "pass") == 0 {
				f.Pass(w.log[next])
				next++
				continue
			}
			n := min(int64(rapid.IntRange(1, 8).Draw(t, "batch")), int64(len(w.log))-next)
			batch := w.log[next : next+n]
			steps, err := f.Fold(t.Context(), batch)
			if err != nil {
				t.Fatal(err)
			}
			for i, s := range steps {
				is := want[next+int64(i)]
				if s.Apart {
					f.Learn(batch[i], is.version, is.after)
					continue
				}
				got := truth{version: s.Version, before: s.Before, after: s.After}
				if diff := cmp.Diff(is, got, cmp.AllowUnexported(truth{})); diff != "" {
					t.Fatalf("offset %d (want −, got +):\n%s", next+int64(i), diff)
				}
			}
			next += n
		}
	})
}

// A call that is followed from its birth, or from where the projector is, is
// never asked of the history, and the projector is not waited for.
func TestTheFollowerNeedsNoHistoryInTheUsualCase(t *testing.T) {
	t.Parallel()
	w := &world{}
	for i := range 40 {
		w.happen(fmt.Sprintf("event-%d", i), fmt.Sprintf("call-%d", i%7), `{"note":"n"}`, "call.note_added.v1")
	}
	w.come = 10
	f := projections.NewFollower(callsModel(), 0, 10, w, w, 1<<20)
	for next := 10; next < 40; next += 5 {
		steps, err := f.Fold(t.Context(), w.log[next:next+5])
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range steps {
			if want := int64((next+i)/7 + 1); s.Apart || s.Version != want {
				t.Errorf("offset %d: version %d, apart %t; want version %d", next+i, s.Version, s.Apart, want)
			}
		}
	}
	if w.waited > 10 {
		t.Errorf("the projector was waited for up to offset %d", w.waited)
	}
}

// The projector parks what grows without end, and the follower must not know better.
func TestTheFollowerLeavesWhatHasOutgrownToTheHistory(t *testing.T) {
	t.Parallel()
	w := &world{}
	long := fmt.Sprintf(`{"note":%q}`, strings.Repeat("and on ", 64<<10))
	for i := range projections.SnapshotEvery + 1 {
		w.happen(fmt.Sprintf("event-%d", i), "call", long, "call.note_added.v1")
	}
	f := projections.NewFollower(callsModel(), 0, 0, w, w, 1<<30)
	steps, err := f.Fold(t.Context(), w.log)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range steps {
		if want := i >= projections.SnapshotEvery-1; s.Apart != want {
			t.Errorf("event %d is left to the history: %t", i, s.Apart)
		}
	}
}

// While the projector is far ahead only the first event of a call is asked of
// the history.
func TestTheFollowerGoesOnFromWhatTheHistorySaid(t *testing.T) {
	t.Parallel()
	w := &world{}
	for i := range 30 {
		w.happen(fmt.Sprintf("event-%d", i), fmt.Sprintf("call-%d", i%3), `{"note":"n"}`, "call.note_added.v1")
	}
	w.come = 30
	_, want := w.fold(30)
	f := projections.NewFollower(callsModel(), 0, 9, w, w, 1<<20)
	asked := 0
	for next := 9; next < 30; next += 3 {
		steps, err := f.Fold(t.Context(), w.log[next:next+3])
		if err != nil {
			t.Fatal(err)
		}
		for i, s := range steps {
			if s.Apart {
				asked++
				f.Learn(w.log[next+i], want[next+i].version, want[next+i].after)
			}
		}
	}
	if asked != 3 {
		t.Errorf("the history was asked %d times, want 3: once for each call", asked)
	}
}
