package storetest

import (
	"slices"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

func (r *rig) cancel(want ...string) {
	r.Helper()
	keys, err := r.AskCancel(r.Context(), "org", "d-0-1", "not wanted")
	if err != nil {
		r.Fatal(err)
	}
	r.same("keys", want, keys)
}

func cancels(_ *testing.T, r *rig) {
	former, other := r.claim(calls(0)), r.claim(calls(1))
	c := r.claim(calls(0))
	x := r.owed(calls(0), "x", 1)
	again := x
	again.ReplayID = "resend-1"
	again.OrderKey = again.Key()
	p := dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{x}}
	r.commit(p)
	if err := r.Offer(r.Context(), []dispatch.Owed{again}); err != nil {
		r.Fatal(err)
	}
	if keys, err := r.AskCancel(r.Context(), "stranger", x.ID, "not yours"); err != nil || len(keys) > 0 {
		r.Fatalf("another org: %v, %v", keys, err)
	}
	r.cancel(x.Key(), again.Key())
	r.cancel(x.Key(), again.Key())
	bare, bareAgain := x, again
	bare.Body, bare.Headers, bareAgain.Body, bareAgain.Headers = nil, nil, nil, nil
	want := []dispatch.Cancel{
		{Partition: calls(0), Key: x.Key(), EndpointID: "ep", Org: "org", Reason: "not wanted", Row: &bare},
		{Partition: calls(0), Key: again.Key(), EndpointID: "ep", Org: "org", Reason: "not wanted", Row: &bareAgain},
	}
	r.cancels("a former owner is told", nil, false, owned(former, other)...)
	r.cancels("a former owner that asks again is told", nil, true, owned(former, other)...)
	r.cancels("asked", want, false, owned(c, other)...)
	r.cancels("asked and told", nil, false, owned(c, other)...)
	r.cancels("undecided", want, true, owned(c, other)...)
	r.verdict(x.Key(), dispatch.Undecided)
	p.Insert, p.Delete = nil, []dispatch.Owed{x}
	p.Decided = []dispatch.Decided{{Key: x.Key(), Verdict: dispatch.Cancelled}}
	r.commit(p)
	r.verdict(x.Key(), dispatch.Cancelled)
	r.cancels("undecided once one is decided", want[1:], true, owned(c, other)...)
	r.cancel(again.Key())
	if err := r.ForgetCancels(r.Context(), time.Now().Add(time.Hour)); err != nil {
		r.Fatal(err)
	}
	got, err := r.Verdicts(r.Context(), []string{x.Key(), again.Key()})
	if err != nil {
		r.Fatal(err)
	}
	r.same("what is left", map[string]dispatch.Verdict{again.Key(): dispatch.Undecided}, got)
}

// cancels is what owners are told of.
func (r *rig) cancels(what string, want []dispatch.Cancel, again bool, owned ...dispatch.Ownership) {
	r.Helper()
	got, err := r.Cancels(r.Context(), owned, again)
	if err != nil {
		r.Fatal(err)
	}
	slices.SortFunc(got, func(a, b dispatch.Cancel) int { return len(a.Key) - len(b.Key) })
	r.same(what, want, got)
}

func (r *rig) verdict(key string, want dispatch.Verdict) {
	r.Helper()
	got, err := r.Verdicts(r.Context(), []string{key})
	if err != nil {
		r.Fatal(err)
	}
	r.same("verdict", map[string]dispatch.Verdict{key: want}, got)
}

func cancelsSurvive(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	x := r.owed(calls(0), "x", 1)
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: []dispatch.Owed{x}})
	r.cancel(x.Key())
	if _, err := r.Cancels(r.Context(), owned(c), false); err != nil {
		r.Fatal(err)
	}
	next := r.claim(calls(0))
	if len(next.Cancels) != 1 || next.Cancels[0].Key != x.Key() || next.Cancels[0].Row == nil {
		r.Errorf("the next owner is told of %+v", next.Cancels)
	}
	// The row is gone, the verdict is not given yet.
	r.commit(dispatch.Part{Partition: calls(0), Epoch: next.Epoch, Delete: []dispatch.Owed{x}})
	next = r.claim(calls(0))
	if len(next.Cancels) != 1 || next.Cancels[0].Row != nil {
		r.Errorf("once the row is gone the owner is told of %+v", next.Cancels)
	}
	r.commit(dispatch.Part{Partition: calls(0), Epoch: next.Epoch, Decided: []dispatch.Decided{{Key: x.Key(), Verdict: dispatch.TooLate}}})
	if next = r.claim(calls(0)); len(next.Cancels) != 0 {
		r.Errorf("decided, and yet told of %+v", next.Cancels)
	}
}

// drops: what is held is asked about, the oldest first, each until it is decided.
func drops(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	held := func(change func(*dispatch.Owed)) func(*dispatch.Owed) {
		return func(o *dispatch.Owed) {
			o.Status = delivery.IsHeld
			change(o)
		}
	}
	as := func(*dispatch.Owed) {}
	rows := []dispatch.Owed{
		r.owed(calls(0), "a", 2, held(as)),
		r.owed(calls(0), "b", 1, held(as)),
		r.owed(calls(0), "c", 3, held(func(o *dispatch.Owed) { o.ReplayID = "replay" })),
		r.owed(calls(0), "d", 4, held(func(o *dispatch.Owed) { o.EndpointID = "other" })),
		r.owed(calls(0), "e", 5, held(func(o *dispatch.Owed) { o.Org = "stranger" })),
		r.owed(calls(0), "f", 6),
		r.owed(calls(0), "g", 7, held(as)),
	}
	p := dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Insert: rows}
	r.commit(p)
	statuses := []delivery.Status{delivery.IsHeld}
	ask := func(limit int, want ...string) {
		r.Helper()
		keys, err := r.AskDrop(r.Context(), "org", "ep", rows[6].CreatedAt, limit, "given up", statuses...)
		if err != nil {
			r.Fatal(err)
		}
		r.same("asked about", want, keys)
	}
	ask(2, rows[1].Key(), rows[0].Key())
	ask(10, rows[1].Key(), rows[0].Key(), rows[2].Key())
	var told []string
	all, err := r.Cancels(r.Context(), owned(c), false)
	if err != nil {
		r.Fatal(err)
	}
	for _, one := range all {
		told = append(told, one.Key)
		if one.Reason != "given up" || one.EndpointID != "ep" || one.Row == nil || one.Row.Status != delivery.IsHeld {
			r.Errorf("told of %+v", one)
		}
	}
	slices.Sort(told)
	want := []string{rows[0].Key(), rows[1].Key(), rows[2].Key()}
	slices.Sort(want)
	r.same("told of", want, told)
	p.Insert, p.Delete = nil, rows[1:2]
	p.Decided = []dispatch.Decided{{Key: rows[0].Key(), Verdict: dispatch.TooLate}, {Key: rows[1].Key(), Verdict: dispatch.Cancelled}}
	r.commit(p)
	// What is held although it was decided on is asked about anew.
	ask(10, rows[0].Key(), rows[2].Key())
	r.verdict(rows[0].Key(), dispatch.Undecided)
	statuses = append(statuses, delivery.Pending)
	ask(10, rows[0].Key(), rows[2].Key(), rows[5].Key())
}

func cancelsReplay(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	r.add(r.replay("a"))
	one := r.owed(calls(0), "x", 1, func(o *dispatch.Owed) { o.ReplayID = "a" })
	other := r.owed(calls(0), "x", 1)
	if err := r.Offer(r.Context(), []dispatch.Owed{one, other}); err != nil {
		r.Fatal(err)
	}
	for range 2 {
		if err := r.CancelReplay(r.Context(), "a", "the replay was aborted"); err != nil {
			r.Fatal(err)
		}
	}
	got, err := r.Cancels(r.Context(), owned(c), false)
	if err != nil {
		r.Fatal(err)
	}
	if len(got) != 1 || got[0].Key != one.Key() || got[0].Reason != "the replay was aborted" {
		r.Errorf("told of %+v", got)
	}
}

func startsAreTaken(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	other := r.claim(calls(1))
	r.add(r.replay(dispatch.StartID("ep"), func(rp *dispatch.Replay) { rp.Kind = dispatch.OfStart }), part(0, 0, dispatch.Open), part(1, 0, dispatch.Open))
	epoch := r.lease("one")[dispatch.StartID("ep")].Epoch
	move := func(id int, from, to int64, state dispatch.PartState) dispatch.Step {
		return dispatch.Step{ReplayID: dispatch.StartID("ep"), Epoch: epoch, Moves: []dispatch.Move{{Partition: calls(id), From: from, To: to, State: state}}}
	}
	if _, ok, err := r.Take(r.Context(), calls(0), c.Epoch, "ep"); ok || err != nil {
		r.Fatalf("taken before it is ready: %v, %v", ok, err)
	}
	r.step(true, move(0, 0, 5, dispatch.PartReady))
	r.step(true, move(0, 5, 7, dispatch.PartReady))
	takeable, err := r.Takeable(r.Context(), []dispatch.Partition{calls(0), calls(1)})
	if err != nil {
		r.Fatal(err)
	}
	ready := dispatch.Start{Partition: calls(0), EndpointID: "ep", State: dispatch.PartReady, Next: 7}
	r.same("takeable", []dispatch.Start{ready}, takeable)
	r.add(r.replay(dispatch.StartID("gone"), func(rp *dispatch.Replay) { rp.Kind, rp.EndpointID = dispatch.OfStart, "gone" }), part(0, 0, dispatch.Open))
	gone := move(0, 0, 5, dispatch.PartReady)
	gone.ReplayID, gone.Epoch, gone.State = dispatch.StartID("gone"), r.lease("one")[dispatch.StartID("gone")].Epoch, dispatch.ReplayAborted
	r.step(true, gone)
	if takeable, err = r.Takeable(r.Context(), []dispatch.Partition{calls(0)}); err != nil {
		r.Fatal(err)
	}
	r.same("takeable beside one that has ended", []dispatch.Start{ready}, takeable)
	if _, ok, err := r.Take(r.Context(), calls(0), c.Epoch-1, "ep"); ok || err != nil {
		r.Fatalf("taken by a former owner: %v, %v", ok, err)
	}
	for range 2 { // again, if the owner died over it
		next, ok, err := r.Take(r.Context(), calls(0), c.Epoch, "ep")
		if err != nil || !ok || next != 7 {
			r.Fatalf("next %d, ok %v, %v", next, ok, err)
		}
	}
	r.step(false, move(0, 7, 8, dispatch.PartReady))
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, To: 9, Started: []dispatch.Started{{EndpointID: "ep", Next: 9}, {EndpointID: "unknown", Next: 1}}})
	// What was not taken cannot be done.
	r.commit(dispatch.Part{Partition: calls(1), Epoch: other.Epoch, Started: []dispatch.Started{{EndpointID: "ep", Next: 3}}})
	for id, want := range []dispatch.Start{
		{Partition: calls(0), EndpointID: "ep", State: dispatch.PartDone, Next: 9},
		{Partition: calls(1), EndpointID: "ep", State: dispatch.PartReading, Next: 0},
	} {
		epoch := []int64{c.Epoch, other.Epoch}[id]
		got, owned, err := r.Starts(r.Context(), calls(id), epoch, []string{"ep", "unknown"})
		if err != nil || !owned {
			r.Fatalf("owned %v, %v", owned, err)
		}
		r.same("start", map[string]dispatch.Start{"ep": want}, got)
		if got, owned, err = r.Starts(r.Context(), calls(id), epoch-1, []string{"ep"}); err != nil || owned || len(got) > 0 {
			r.Errorf("a former owner is told %v, owned %v, %v", got, owned, err)
		}
	}
	if got, owned, err := r.Starts(r.Context(), calls(0), c.Epoch, []string{"unknown"}); err != nil || !owned || len(got) > 0 {
		r.Errorf("of an unknown endpoint: %v, owned %v, %v", got, owned, err)
	}
	if takeable, err = r.Takeable(r.Context(), []dispatch.Partition{calls(0), calls(1)}); err != nil || len(takeable) > 0 {
		r.Errorf("takeable %+v, %v", takeable, err)
	}
	if _, ok, err := r.Take(r.Context(), calls(0), c.Epoch, "ep"); ok || err != nil {
		r.Errorf("taken twice: %v, %v", ok, err)
	}
	row := r.owed(calls(0), "x", 1)
	if err := r.Offer(r.Context(), []dispatch.Owed{row}); err != nil {
		r.Fatal(err)
	}
	standing, err := r.Standing(r.Context(), r.read(dispatch.StartID("ep")))
	if err != nil {
		r.Fatal(err)
	}
	r.same("standing", dispatch.Standing{Total: 1, Fresh: 1}, standing)
}
