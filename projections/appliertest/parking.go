package appliertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// junk replaces the data of the i-th event.
func junk(events []event.Recorded, i int) []event.Recorded {
	events[i].Data = []byte(`{"ended_at":"yesterday"}`)
	return events
}

// parked lists what a generation has set aside: the event's id, and whether it
// only waits.
func (h Harness) parked(t fataler, m projections.Model, generation int) map[string]bool {
	t.Helper()
	all, err := h.Store.Parked(context.Background(), projections.Ref{Model: m.Name, Generation: generation}, projections.ParkedQuery{})
	if err != nil {
		t.Fatal(err)
	}
	ids := make(map[string]bool)
	for _, p := range all {
		if p.Reason == "" {
			t.Fatalf("%s is parked without a reason", p.ID)
		}
		ids[p.ID] = p.Behind
	}
	return ids
}

func (h Harness) parking(m projections.Model) *projections.Parking {
	return projections.NewParking(h.Store, []projections.Model{m}, func() time.Time { return began })
}

func poison(t *testing.T, h Harness) {
	m := projections.Calls()
	events := junk(story(0), 2) // the end of c1
	h.apply(t, m, 1, events)
	if diff := cmp.Diff(map[string]bool{"e3": false, "e4": true}, h.parked(t, m, 1)); diff != "" {
		t.Errorf("parked events and whether they only wait (-want +got):\n%s", diff)
	}
	h.versions(t, m, 1, 2)
}

// versions checks those of the two calls of a story.
func (h Harness) versions(t *testing.T, m projections.Model, c1, c2 int64) {
	t.Helper()
	one, two := projections.Key{Org: "org", ID: "c1"}, projections.Key{Org: "org", ID: "c2"}
	loaded, err := h.Store.Load(t.Context(), projections.Ref{Model: m.Name, Generation: 1}, []projections.Key{one, two})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{c1, c2}, []int64{loaded[one].Version, loaded[two].Version}); diff != "" {
		t.Errorf("versions of the poisoned call and of the other (-want +got):\n%s", diff)
	}
}

// brokenFold has a model whose fold panics at one event, after it has changed
// the state.
func brokenFold(t *testing.T, h Harness) {
	m := projections.Calls()
	m.Fold = func(s event.Entity, e event.Recorded) error {
		c := s.(*call.Call)
		c.Notes = append(c.Notes, call.Note{Body: "half done"})
		if e.ID == "e3" {
			panic("fold of e3")
		}
		return nil
	}
	h.apply(t, m, 1, story(0))
	if diff := cmp.Diff(map[string]bool{"e3": false, "e4": true}, h.parked(t, m, 1)); diff != "" {
		t.Errorf("parked events and whether they only wait (-want +got):\n%s", diff)
	}
	h.versions(t, m, 1, 2)
	for _, row := range h.rows(t, m, 1) {
		if strings.Contains(row, "c1") && strings.Count(row, "half done") > 1 {
			t.Errorf("the state kept what the broken fold left: %s", row)
		}
	}
}

// outgrown tells of a call more and more; a batch of many calls like it would be more
// than the memory that there is.
func outgrown(t *testing.T, h Harness) {
	m := projections.Calls()
	events := story(0)
	for len(events) < 40 {
		n := int64(len(events))
		events = append(events, at(event.Calls, 100+n, "org", "c1", fmt.Sprint("note", n), call.NoteAdded{Note: strings.Repeat("and on ", 64<<10)}))
	}
	for _, e := range events { // whatever comes in one batch
		h.apply(t, m, 1, []event.Recorded{e})
	}
	other := h.create(t, m)
	h.apply(t, m, other, events)
	want := make(map[string]bool)
	for _, e := range events[34:] { // three of the story are c1's, two c2's, one is a repeat
		want[e.ID] = len(want) > 0
	}
	for _, generation := range []int{1, other} {
		if diff := cmp.Diff(want, h.parked(t, m, generation)); diff != "" {
			t.Errorf("parked events of generation %d and whether they only wait (-want +got):\n%s", generation, diff)
		}
	}
	h.versions(t, m, projections.SnapshotEvery-1, 2)
}

func retry(t *testing.T, h Harness) {
	m := projections.Calls()
	broken := m
	broken.Fold = refusing("e3")
	events := story(0)
	s, err := h.applier(broken, 1, false).Claim(t.Context(), m.Topic, partition)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Apply(t.Context(), events[:5]); err != nil {
		t.Fatal(err)
	}
	k := projections.Key{Org: "org", ID: "c1"}
	still, err := h.parking(broken).Retry(t.Context(), m.Name, k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(projections.Released{Parked: 2, Reason: "not understood yet"}, still); diff != "" {
		t.Errorf("a retry that helps nothing (-want +got):\n%s", diff)
	}
	done, err := h.parking(m).Retry(t.Context(), m.Name, k)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(projections.Released{Applied: 2}, done); diff != "" {
		t.Errorf("a retry that helps (-want +got):\n%s", diff)
	}
	// The projector, whose memory is out of date now, goes on by itself.
	more := append(events[5:6], at(event.Calls, 100, "org", "c1", "e9", call.NoteAdded{Note: "later"}))
	if err := s.Apply(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	whole := h.create(t, m)
	h.apply(t, m, whole, append(story(0), more[1]))
	if diff := cmp.Diff(h.rows(t, m, whole), h.rows(t, m, 1)); diff != "" {
		t.Errorf("rows after the retry (-never parked +retried):\n%s", diff)
	}
}

// refusing is a fold that does not know one event.
func refusing(id string) func(event.Entity, event.Recorded) error {
	return func(s event.Entity, e event.Recorded) error {
		if e.ID == id {
			return errors.New("not understood yet")
		}
		return catalog.Apply(s, e)
	}
}

func skip(t *testing.T, h Harness) {
	m := projections.Calls()
	events := junk(story(0), 2)
	h.apply(t, m, 1, events)
	beside := h.create(t, m)
	h.apply(t, m, beside, events)
	poisoned := events[2].Position
	if _, err := h.parking(m).Skip(t.Context(), m.Name, events[0].Position, "tired", "user/ada"); !errors.Is(err, projections.ErrNotParked) {
		t.Errorf("skipping an event that is not parked: %v, want ErrNotParked", err)
	}
	done, err := h.parking(m).Skip(t.Context(), m.Name, poisoned, "sent by a broken dialer", "user/ada")
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(projections.Released{Applied: 1}, done); diff != "" {
		t.Errorf("skip (-want +got):\n%s", diff)
	}
	later := h.create(t, m)
	h.apply(t, m, later, events)
	live := h.rows(t, m, 1)
	for name, generation := range map[string]int{"beside": beside, "later": later} {
		if diff := cmp.Diff(live, h.rows(t, m, generation)); diff != "" {
			t.Errorf("the generation built %s (-live +it):\n%s", name, diff)
		}
	}
	if len(h.parked(t, m, 1)) != 0 {
		t.Error("events are parked after the skip")
	}
}

func nameless(t *testing.T, h Harness) {
	m := projections.Calls()
	var events []event.Recorded
	for i, e := range []event.Envelope{
		{},
		{ID: "e1", Type: call.Ended{}.EventType(), Org: "org", RecordedAt: began, OccurredAt: began},
		{ID: "e2", Type: call.Ended{}.EventType(), Subject: "c1", RecordedAt: began, OccurredAt: began},
		{ID: "e3", Type: call.Ended{}.EventType(), Org: "org", Subject: "c1\x00", RecordedAt: began, OccurredAt: began},
		{ID: "e4", Type: call.Ended{}.EventType(), Org: "org", Subject: "c1\xff", RecordedAt: began, OccurredAt: began},
	} {
		foreign := at(event.Calls, int64(i), "", "", "", call.Ended{EndedAt: began})
		foreign.Envelope = e
		if e.ID == "" {
			foreign.Fault = errors.New("no ce_id header")
		}
		events = append(events, foreign)
	}
	h.apply(t, m, 1, events)
	if diff := cmp.Diff(map[string]bool{"": false, "e1": false, "e2": false, "e3": false, "e4": false}, h.parked(t, m, 1)); diff != "" {
		t.Errorf("parked events (-want +got):\n%s", diff)
	}
	// Whatever they name has nothing to do with them.
	h.apply(t, m, 1, story(int64(len(events))))
	if n := len(h.parked(t, m, 1)); n != len(events) {
		t.Errorf("%d events are parked, want %d", n, len(events))
	}
	for _, e := range events {
		if _, err := h.parking(m).Skip(t.Context(), m.Name, e.Position, "foreign", "user/ada"); err != nil {
			t.Errorf("skipping %s: %v", e.Position, err)
		}
	}
	if diff := cmp.Diff(map[string]bool{}, h.parked(t, m, 1)); diff != "" {
		t.Errorf("parked events after the skip (-want +got):\n%s", diff)
	}
}
