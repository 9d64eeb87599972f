package storetest

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

// replayCases are the tests of replays, starts and cancels.
var replayCases = []testCase{
	{"a replay is stored once, by its id and by what it does", addsOnce},
	{"replays are listed newest first and by org", listsReplays},
	{"one owner at a time moves a replay on", leases},
	{"a replay that rests is nobody's until its time or a decision", rests},
	{"a replay that rests is given out when nothing is left of it", restsUntilTheEnd},
	{"orgs take turns, and the replays of an org", turns},
	{"a step is whole, and only for the owner where it stands", steps},
	{"a decision is taken in the states it is for", decides},
	{"the deliveries of a replay are counted as they end", countsEnds},
	{"what an offered row waited for may go in the same moment", offersAfterDeletes},
	{"a receiver of a replay's own is there until its end", targets},
	{"the health of a receiver of a replay's own ends with the replay", healthOfTargets},
	{"a cancel is told once, and again when its owner asks, and decided in a commit", cancels},
	{"an undecided cancel is told to the next owner", cancelsSurvive},
	{"what is held can be dropped", drops},
	{"all that is unfinished of a replay can be cancelled", cancelsReplay},
	{"the part of a start is taken by the partition's owner", startsAreTaken},
}

type testCase struct {
	name string
	test func(*testing.T, *rig)
}

func (r *rig) replay(id string, change ...func(*dispatch.Replay)) dispatch.Replay {
	rp := dispatch.Replay{
		ID: id, Org: "org", Kind: dispatch.OfScope, State: dispatch.ReplayRunning, EndpointID: "ep", RatePerSec: 12.5,
		Scope:     delivery.Scope{From: r.now.Add(-time.Hour), Until: r.now, Types: []string{"call.*"}, Entity: "x", ListID: "l"},
		CreatedBy: "key/1", CreatedAt: r.now, ChangedAt: r.now, Total: 20,
	}
	for _, f := range change {
		f(&rp)
	}
	return rp
}

func (r *rig) add(rp dispatch.Replay, parts ...dispatch.ReplayPart) dispatch.Replay {
	r.Helper()
	stored, added, err := r.AddReplay(r.Context(), rp, parts)
	if err != nil || !added {
		r.Fatalf("added %v, %v", added, err)
	}
	return stored
}

func part(id int, next, end int64) dispatch.ReplayPart {
	return dispatch.ReplayPart{Partition: calls(id), State: dispatch.PartReading, Next: next, End: end}
}

func (r *rig) step(want bool, s dispatch.Step) {
	r.Helper()
	done, err := r.Step(r.Context(), s)
	if err != nil || done != want {
		r.Fatalf("done %v, want %v, error %v", done, want, err)
	}
}

func (r *rig) read(id string) dispatch.Replay {
	r.Helper()
	rp, ok, err := r.Replay(r.Context(), "org", id)
	if err != nil || !ok {
		r.Fatalf("replay %s: found %v, %v", id, ok, err)
	}
	return rp
}

func addsOnce(_ *testing.T, r *rig) {
	want := r.replay("a")
	r.same("stored", want, r.add(want, part(0, 3, 9), part(1, 0, 4)))
	parts, err := r.Parts(r.Context(), "a")
	if err != nil {
		r.Fatal(err)
	}
	first, second := part(0, 3, 9), part(1, 0, 4)
	first.Begin = 3
	r.same("parts", []dispatch.ReplayPart{first, second}, parts)
	stored, added, err := r.AddReplay(r.Context(), r.replay("a", func(rp *dispatch.Replay) { rp.EndpointID = "other" }), nil)
	if err != nil || added {
		r.Fatalf("added %v, %v", added, err)
	}
	r.same("the same id", want, stored)
	same := func(rp *dispatch.Replay) { rp.Same = "what it does" }
	r.add(r.replay("b", same))
	stored, added, err = r.AddReplay(r.Context(), r.replay("c", same), nil)
	if err != nil || added || stored.ID != "b" {
		r.Fatalf("the same again: %s, added %v, %v", stored.ID, added, err)
	}
	if _, done, err := r.Decide(r.Context(), dispatch.Decision{
		Org: "org", ID: "b", Kinds: []dispatch.ReplayKind{dispatch.OfScope}, From: []dispatch.ReplayState{dispatch.ReplayRunning}, To: dispatch.ReplayAborted,
	}); err != nil || !done {
		r.Fatalf("done %v, %v", done, err)
	}
	r.add(r.replay("c", same))
	if _, ok, err := r.Replay(r.Context(), "stranger", "a"); ok || err != nil {
		r.Errorf("another org: found %v, %v", ok, err)
	}
}

func listsReplays(_ *testing.T, r *rig) {
	for i := range 4 {
		r.add(r.replay(fmt.Sprintf("r%d", i), func(rp *dispatch.Replay) {
			rp.CreatedAt = r.now.Add(time.Duration(i) * time.Second)
			if i == 2 {
				rp.Org = "stranger"
			}
		}))
	}
	for _, c := range []struct {
		before string
		limit  int
		want   []string
	}{{"", 10, []string{"r3", "r1", "r0"}}, {"", 2, []string{"r3", "r1"}}, {"r1", 2, []string{"r0"}}, {"r0", 2, nil}} {
		list, err := r.Replays(r.Context(), "org", c.before, c.limit)
		if err != nil {
			r.Fatal(err)
		}
		var got []string
		for _, rp := range list {
			got = append(got, rp.ID)
		}
		r.same("before "+c.before, c.want, got)
	}
}

func steps(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	r.add(r.replay("a"), part(0, 3, 9), part(1, 0, 4))
	epoch := r.lease("one")["a"].Epoch
	again := func(entity string, offset int64) dispatch.Owed {
		return r.owed(calls(0), entity, offset, func(o *dispatch.Owed) {
			o.ReplayID = "a"
			o.OrderKey = o.EntityKey()
		})
	}
	waits, none := "waits", ""
	paced := r.now.Add(time.Second)
	s := dispatch.Step{
		ReplayID: "a", Epoch: epoch, Owed: []dispatch.Owed{again("x", 3), again("y", 4)}, Events: 3, Filtered: 1, Detail: &waits, PacedUntil: paced,
		Moves: []dispatch.Move{{Partition: calls(0), From: 3, To: 6, State: dispatch.PartReading}, {Partition: calls(1), From: 0, To: 4, State: dispatch.PartDone}},
	}
	wrong := s
	wrong.Moves = []dispatch.Move{s.Moves[0], {Partition: calls(1), From: 1, To: 4, State: dispatch.PartDone}}
	r.step(false, wrong)
	r.step(true, s)
	r.step(false, s)
	want := r.replay("a")
	want.Events, want.Deliveries, want.Filtered, want.Scanned, want.Detail, want.PacedUntil = 3, 2, 1, 7, waits, paced
	want.First, want.Last = event.Position{Topic: event.Calls, Offset: 3}, event.Position{Topic: event.Calls, Offset: 4}
	r.same("after a step", want, r.read("a"))
	r.same("offered", []int64{3, 4}, offsets(r.load(c, calls(0), 10).Rows))
	standing, err := r.Standing(r.Context(), want)
	if err != nil {
		r.Fatal(err)
	}
	r.same("standing", dispatch.Standing{Total: 2, Fresh: 2}, standing)
	// A part that is done does not move.
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: epoch, Moves: []dispatch.Move{{Partition: calls(1), From: 4, To: 5, State: dispatch.PartReading}}})
	cursor := "somewhere"
	// A recovery goes on from where it is, and from nowhere once it has read all.
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: epoch, Cursor: &dispatch.CursorMove{From: cursor, To: "further"}, Scanned: 2})
	dropped := again("z", 5)
	dropped.Status, dropped.LastError = delivery.IsDropped, "unspeakable"
	r.step(true, dispatch.Step{ReplayID: "a", Epoch: epoch, Cursor: &dispatch.CursorMove{To: cursor}, Read: true, Scanned: 2, Detail: &none, Dropped: []dispatch.Owed{dropped}})
	want.Cursor, want.Read, want.Scanned, want.Detail, want.Deliveries = cursor, true, 9, "", 3
	ends, err := r.Ends(r.Context(), "a")
	if err != nil {
		r.Fatal(err)
	}
	r.same("ends", []dispatch.ReplayEnd{{Status: delivery.IsDropped, Reason: "unspeakable", Count: 1, Example: dropped.ID}}, ends)
	r.same("after the last", want, r.read("a"))
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: epoch, Cursor: &dispatch.CursorMove{From: cursor}, Scanned: 2})
	r.step(true, dispatch.Step{ReplayID: "a", Epoch: epoch, State: dispatch.ReplayFinished})
	got := r.read("a")
	if got.State != dispatch.ReplayFinished || got.EndedAt.IsZero() {
		r.Errorf("at its end: %+v", got)
	}
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: epoch, Events: 1})
	if left := r.lease("one"); len(left) != 0 {
		r.Errorf("an ended replay is leased: %+v", left)
	}
}

func decides(_ *testing.T, r *rig) {
	r.add(r.replay("a"))
	d := dispatch.Decision{
		Org: "org", ID: "a", Kinds: []dispatch.ReplayKind{dispatch.OfScope}, From: []dispatch.ReplayState{dispatch.ReplayRunning}, To: dispatch.ReplayPaused, Detail: "for lunch",
	}
	epoch := r.lease("one")["a"].Epoch
	got, done, err := r.Decide(r.Context(), d)
	if err != nil || !done || got.State != dispatch.ReplayPaused || got.Detail != "for lunch" || !got.EndedAt.IsZero() {
		r.Fatalf("%+v, done %v, %v", got, done, err)
	}
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: epoch, Events: 1})
	if got, done, err = r.Decide(r.Context(), d); err != nil || done || got.State != dispatch.ReplayPaused {
		r.Errorf("in another state: %+v, done %v, %v", got, done, err)
	}
	d.From, d.To, d.Detail = []dispatch.ReplayState{dispatch.ReplayPaused}, dispatch.ReplayAborting, "enough"
	if _, done, err = r.Decide(r.Context(), d); err != nil || !done {
		r.Fatalf("done %v, %v", done, err)
	}
	waits := "waits"
	r.step(true, dispatch.Step{ReplayID: "a", Epoch: epoch, Detail: &waits})
	if got := r.read("a"); got.Detail != "enough" {
		r.Errorf("why it was aborted became %q", got.Detail)
	}
	d.From, d.Kinds = []dispatch.ReplayState{dispatch.ReplayAborting}, []dispatch.ReplayKind{dispatch.OfStart}
	if _, done, err = r.Decide(r.Context(), d); err != nil || done {
		r.Errorf("of another kind: done %v, %v", done, err)
	}
	d.ID = "unknown"
	if got, done, err = r.Decide(r.Context(), d); err != nil || done || got.ID != "" {
		r.Errorf("an unknown one: %+v, done %v, %v", got, done, err)
	}
}

func countsEnds(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	r.add(r.replay("a"))
	var rows []dispatch.Owed
	for i, end := range []delivery.Status{delivery.Delivered, delivery.Delivered, delivery.IsExhausted, delivery.IsDropped, delivery.IsHeld} {
		rows = append(rows, r.owed(calls(0), fmt.Sprint(i), int64(i), func(o *dispatch.Owed) {
			o.ReplayID, o.Status = "a", end
			if end == delivery.IsExhausted {
				o.LastError = "answered 500"
			}
			if end == delivery.IsDropped {
				o.LastError = "not wanted"
			}
		}))
	}
	pending := slices.Clone(rows)
	for i := range pending[:4] {
		pending[i].Status = delivery.Pending
	}
	if err := r.Offer(r.Context(), pending); err != nil {
		r.Fatal(err)
	}
	live := r.owed(calls(0), "live", 9)
	p := dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{live}}
	r.commit(p)
	p.Insert, p.Delete = nil, append(slices.Clone(rows[:4]), live)
	r.commit(p)
	r.commit(p) // what is gone is not counted again
	rows[4].Status, rows[4].LastError = delivery.IsDropped, "given up"
	p.Delete = rows[4:]
	r.commit(p)
	ends, err := r.Ends(r.Context(), "a")
	if err != nil {
		r.Fatal(err)
	}
	r.same("ends", []dispatch.ReplayEnd{
		{Status: delivery.Delivered, Count: 2, Example: rows[0].ID},
		{Status: delivery.IsDropped, Reason: "given up", Count: 1, Example: rows[4].ID},
		{Status: delivery.IsDropped, Reason: "not wanted", Count: 1, Example: rows[3].ID},
		{Status: delivery.IsExhausted, Reason: "answered 500", Count: 1, Example: rows[2].ID},
	}, ends)
}
