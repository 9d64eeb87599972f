package storetest

import (
	"errors"
	"slices"
	"testing"

	"trunkline.dev/trunkline/commands/dispatch"
)

// refused commits rows and health among which some have texts that no database takes.
func refused(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	stored := r.owed(calls(0), "y", 1)
	r.commit(dispatch.Part{Partition: calls(0), Epoch: c.Epoch, To: 2, Insert: []dispatch.Owed{stored}})
	stored.Attempts, stored.LastError = 1, "no text: \xff"
	var rows []dispatch.Owed
	for i := range int64(9) {
		rows = append(rows, r.owed(calls(0), "x", 2+i, func(o *dispatch.Owed) { o.LastError = "answered 500" }))
	}
	rows[3].LastError, rows[8].CorrelationID = "a\x00b", "a\x00b"
	failed := func(id, why string) dispatch.HealthChange {
		return dispatch.HealthChange{EndpointID: id, Org: "org", SentAt: r.now, Failures: 1, FailingSince: r.now, LastError: why}
	}
	b := dispatch.Batch{
		Parts:  []dispatch.Part{{Partition: calls(0), Epoch: c.Epoch, Seq: 2, From: 2, To: 11, Insert: rows, Update: []dispatch.Owed{stored}}},
		Health: []dispatch.HealthChange{failed("ep", "answered 500"), failed("odd", "a\x00b")},
	}
	fenced, _, err := r.Commit(r.Context(), b)
	named, ok := errors.AsType[*dispatch.RefusedError](err)
	if !ok || len(fenced) > 0 {
		r.Fatalf("fenced %v, error %v", fenced, err)
	}
	slices.Sort(named.Rows)
	r.same("refused rows", []string{"d-0-1", "d-0-10", "d-0-5"}, named.Rows)
	r.same("refused health", []string{"odd"}, named.Endpoints)
	if known, err := r.Health(r.Context(), "ep", "odd"); err != nil || len(known) > 0 {
		r.Errorf("of a refused batch there is health: %+v, %v", known, err)
	}
	rows[3].LastError, rows[8].CorrelationID, b.Health[1].LastError, b.Parts[0].Update[0].LastError = "mended", "corr", "mended", "mended"
	fenced, known, err := r.Commit(r.Context(), b)
	if err != nil || len(fenced) > 0 || known["odd"].LastError != "mended" || known["ep"].ConsecutiveFailures != 1 {
		r.Fatalf("the mended batch: fenced %v, health %+v, %v", fenced, known, err)
	}
	c = r.claim(calls(0))
	if c.Next != 11 || len(c.Backlogs) != 1 || c.Backlogs[0].Rows != 10 {
		r.Errorf("after the mended batch: %+v", c)
	}
}

// refusedOffers offers rows, by hand and by a replay, among which some have texts that
// no database takes.
func refusedOffers(_ *testing.T, r *rig) {
	r.add(r.replay("a"))
	epoch := r.lease("one")["a"].Epoch
	var rows []dispatch.Owed
	for i := range int64(5) {
		rows = append(rows, r.owed(calls(0), "x", i, func(o *dispatch.Owed) { o.ReplayID = "a" }))
	}
	rows[1].CorrelationID, rows[4].EntityID = "a\x00b", "no text: \xff"
	step := dispatch.Step{ReplayID: "a", Epoch: epoch, Events: 5, Owed: rows}
	for how, offer := range map[string]func() error{
		"a step":   func() error { _, err := r.Step(r.Context(), step); return err },
		"an offer": func() error { return r.Offer(r.Context(), rows) },
	} {
		named, ok := errors.AsType[*dispatch.RefusedError](offer())
		if !ok {
			r.Fatalf("%s is not refused", how)
		}
		slices.Sort(named.Rows)
		r.same(how, []string{"d-0-1/a", "d-0-4/a"}, named.Rows)
	}
	if rp := r.read("a"); rp.Deliveries != 0 || rp.Events != 0 {
		r.Errorf("a refused step was done: %+v", rp)
	}
	step.Owed = []dispatch.Owed{rows[0], rows[2], rows[3]}
	r.step(true, step)
	if c := r.claim(calls(0)); len(c.Backlogs) != 1 || c.Backlogs[0].Rows != 3 {
		r.Errorf("after the mended step: %+v", c)
	}
}
