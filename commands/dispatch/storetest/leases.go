package storetest

import (
	"slices"
	"testing"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
)

func (r *rig) lease(owner string) map[string]dispatch.Leased { return r.leaseSome(owner, 10) }

func (r *rig) leaseSome(owner string, most int) map[string]dispatch.Leased {
	r.Helper()
	leased, err := r.Lease(r.Context(), owner, time.Minute, most)
	if err != nil {
		r.Fatal(err)
	}
	byID := make(map[string]dispatch.Leased)
	for _, l := range leased {
		byID[l.ID] = l
	}
	return byID
}

func leases(_ *testing.T, r *rig) {
	r.add(r.replay("a"))
	r.add(r.replay("paused", func(rp *dispatch.Replay) { rp.State = dispatch.ReplayPaused }))
	first := r.lease("one")
	if len(first) != 1 || first["a"].Epoch == 0 {
		r.Fatalf("leased %+v", first)
	}
	if other := r.lease("two"); len(other) != 0 {
		r.Errorf("a second owner got %+v", other)
	}
	r.same("renewed", first, r.lease("one"))
	if err := r.Release(r.Context(), "one"); err != nil {
		r.Fatal(err)
	}
	if other := r.lease("two"); other["a"].Epoch <= first["a"].Epoch {
		r.Errorf("the next owner got %+v after %+v", other, first)
	}
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: first["a"].Epoch, Events: 1})
}

func (r *rig) decide(id string, from, to dispatch.ReplayState) {
	r.Helper()
	if _, done, err := r.Decide(r.Context(), dispatch.Decision{
		Org: "org", ID: id, Kinds: []dispatch.ReplayKind{dispatch.OfScope}, From: []dispatch.ReplayState{from}, To: to,
	}); err != nil || !done {
		r.Fatalf("done %v, %v", done, err)
	}
}

func rests(_ *testing.T, r *rig) {
	r.add(r.replay("a"))
	first := r.lease("one")["a"]
	r.step(true, dispatch.Step{ReplayID: "a", Epoch: first.Epoch, Rest: time.Minute})
	for _, owner := range []string{"one", "two"} {
		if got := r.lease(owner); len(got) != 0 {
			r.Errorf("while it rests %s got %+v", owner, got)
		}
	}
	if err := r.Release(r.Context(), "one"); err != nil {
		r.Fatal(err)
	}
	if got := r.lease("two"); len(got) != 0 {
		r.Errorf("after its former owner left: %+v", got)
	}
	r.decide("a", dispatch.ReplayRunning, dispatch.ReplayPaused)
	if got := r.lease("two"); len(got) != 0 {
		r.Errorf("while it is paused: %+v", got)
	}
	r.decide("a", dispatch.ReplayPaused, dispatch.ReplayRunning)
	second := r.lease("one")["a"]
	if second.Epoch <= first.Epoch {
		r.Errorf("after it was resumed: %+v after %+v", second, first)
	}
	r.step(false, dispatch.Step{ReplayID: "a", Epoch: first.Epoch, Rest: time.Minute})
	// A decision takes it from nobody who has it.
	r.decide("a", dispatch.ReplayRunning, dispatch.ReplayAborting)
	if got := r.lease("two"); len(got) != 0 {
		r.Errorf("while another has it: %+v", got)
	}
}

func restsUntilTheEnd(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	var rows []dispatch.Owed
	for i, id := range []string{"read", "aborting", "not read", "empty"} {
		r.add(r.replay(id))
		s := dispatch.Step{ReplayID: id, Epoch: r.lease("one")[id].Epoch, Read: id == "read" || id == "empty"}
		if id != "empty" {
			s.Owed = []dispatch.Owed{r.owed(calls(0), id, int64(i), func(o *dispatch.Owed) { o.ReplayID = id })}
		}
		r.step(true, s)
		rows = append(rows, s.Owed...)
		if id == "aborting" {
			r.decide(id, dispatch.ReplayRunning, dispatch.ReplayAborting)
		}
	}
	for id, l := range r.lease("one") {
		r.step(true, dispatch.Step{ReplayID: id, Epoch: l.Epoch, Rest: time.Minute})
	}
	given := func(what string, want ...string) {
		r.Helper()
		var got []string
		for id := range r.lease("two") {
			got = append(got, id)
		}
		slices.Sort(got)
		r.same(what, want, got)
	}
	given("while rows are left", "empty")
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, Delete: rows})
	given("when they have ended", "aborting", "empty", "read")
}

func turns(_ *testing.T, r *rig) {
	for i, id := range []string{"a1", "a2", "a3", "b1", "b2"} {
		r.add(r.replay(id, func(rp *dispatch.Replay) { rp.Org, rp.CreatedAt = id[:1], r.now.Add(time.Duration(i)*time.Second) }))
	}
	given := func(owner string, most int, want ...string) map[string]dispatch.Leased {
		r.Helper()
		leased := r.leaseSome(owner, most)
		var got []string
		for id := range leased {
			got = append(got, id)
		}
		slices.Sort(got)
		r.same(owner, want, got)
		return leased
	}
	first := given("one", 2, "a1", "b1")
	given("two", 1, "a2")
	// The other org has fewer, and one that has rested comes after those that waited.
	r.step(true, dispatch.Step{ReplayID: "b1", Epoch: first["b1"].Epoch, Rest: time.Microsecond})
	given("one", 2, "a1", "b2")
	given("three", 1, "b1")
	given("three", 5, "a3", "b1")
}
