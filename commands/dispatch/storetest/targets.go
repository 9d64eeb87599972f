package storetest

import (
	"testing"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

func targets(_ *testing.T, r *rig) {
	target := delivery.Endpoint{
		ID: "a", Org: "org", URL: "https://elsewhere.example", Dialect: "plain", Events: []string{"*"}, Enabled: true, Ordering: "entity",
		CreatedAt: r.now, UpdatedAt: r.now, Secrets: []delivery.Secret{{Value: "whsec_x"}},
	}
	r.add(r.replay("a", func(rp *dispatch.Replay) { rp.Target = &target }))
	r.add(r.replay("b"))
	read := func() map[string]delivery.Endpoint {
		got, err := r.Targets(r.Context(), "a", "b", "unknown")
		if err != nil {
			r.Fatal(err)
		}
		return got
	}
	r.same("targets", map[string]delivery.Endpoint{"a": target}, read())
	d := dispatch.Decision{
		Org: "org", ID: "a", Kinds: []dispatch.ReplayKind{dispatch.OfScope}, From: []dispatch.ReplayState{dispatch.ReplayRunning}, To: dispatch.ReplayPaused, Detail: "for lunch",
	}
	if _, _, err := r.Decide(r.Context(), d); err != nil {
		r.Fatal(err)
	}
	if got := read()["a"]; got.Enabled || got.DisabledReason != "the replay is paused: for lunch" || got.Secrets[0].Value != "whsec_x" {
		r.Errorf("while it is paused: %+v", got)
	}
	d.From, d.To = []dispatch.ReplayState{dispatch.ReplayPaused}, dispatch.ReplayRunning
	resumed, _, err := r.Decide(r.Context(), d)
	if err != nil {
		r.Fatal(err)
	}
	target.UpdatedAt, target.EnabledAt = resumed.ChangedAt, resumed.ChangedAt
	r.same("after it was resumed", map[string]delivery.Endpoint{"a": target}, read())
	d.From, d.To = []dispatch.ReplayState{dispatch.ReplayRunning}, dispatch.ReplayAborted
	if _, _, err := r.Decide(r.Context(), d); err != nil {
		r.Fatal(err)
	}
	r.same("after its end", map[string]delivery.Endpoint{}, read())
}

// healthOfTargets: whatever ends the replay, and whichever commit comes after it.
func healthOfTargets(_ *testing.T, r *rig) {
	c := r.claim(calls(0))
	part := dispatch.Part{Partition: calls(0), Epoch: c.Epoch}
	failed := func(endpoint string) dispatch.HealthChange {
		return dispatch.HealthChange{EndpointID: endpoint, Org: "org", SentAt: r.now, Failures: 1, FailingSince: r.now, LastStatus: 500}
	}
	want := delivery.Health{LastSentAt: r.now, ConsecutiveFailures: 1, FailingSince: r.now, LastStatus: 500}
	left := func(what string, ids ...string) {
		r.Helper()
		got, err := r.Health(r.Context(), "finished", "aborted", "ep")
		if err != nil {
			r.Fatal(err)
		}
		all := make(map[string]delivery.Health)
		for _, id := range ids {
			all[id] = want
		}
		r.same(what, all, got)
	}
	own := func(rp *dispatch.Replay) { rp.Target = &delivery.Endpoint{ID: rp.ID, Org: "org", Enabled: true} }
	r.add(r.replay("finished", own))
	r.add(r.replay("aborted", own))
	r.add(r.replay("to the webhook"))
	r.commit(part, failed("finished"), failed("aborted"), failed("ep"))
	r.decide("aborted", dispatch.ReplayRunning, dispatch.ReplayPaused)
	left("while they go on", "finished", "aborted", "ep")
	r.decide("aborted", dispatch.ReplayPaused, dispatch.ReplayAborted)
	left("once one was aborted", "finished", "ep")
	leased := r.lease("one")
	for _, id := range []string{"finished", "to the webhook"} {
		r.step(true, dispatch.Step{ReplayID: id, Epoch: leased[id].Epoch, State: dispatch.ReplayFinished})
	}
	left("once they have ended", "ep")
	// What was measured before the end may be committed after it.
	part.Delete = []dispatch.Owed{r.owed(calls(0), "x", 1)}
	got := r.commit(part, failed("finished"), failed("aborted"))
	r.same("what the late commit is told", map[string]delivery.Health{"finished": want, "aborted": want}, got)
	left("after a late commit", "ep")
}
