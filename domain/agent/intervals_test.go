package agent_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/event"
)

// TestIntervalsAreContiguous reports states in any order, by clocks that run
// back: no interval is negative, none overlaps the next, and none is lost.
func TestIntervalsAreContiguous(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var a agent.Agent
		var anomalies int64
		for range rapid.IntRange(0, 15).Draw(t, "changes") {
			before := a
			c := agent.Change{
				Reason:   rapid.SampledFrom([]string{"", "lunch"}).Draw(t, "reason"),
				Campaign: rapid.SampledFrom([]string{"", "spring", "autumn"}).Draw(t, "campaign"), Strict: rapid.Bool().Draw(t, "strict"),
			}
			p, to := change(rapid.IntRange(0, 3).Draw(t, "state"), c)
			at := time.Unix(1_770_000_000+rapid.Int64Range(-50, 50).Draw(t, "second"), 0).UTC()
			if err := a.Apply(event.Envelope{Subject: "jsmith", OccurredAt: at}, p); err != nil {
				t.Fatal(err)
			}
			possible := agent.Possible(before.State, to)
			want := agent.Accepted
			switch {
			case !possible && c.Strict:
				want = agent.Rejected
			case !possible:
				want = agent.Marked
			}
			if !possible {
				anomalies++
			}
			if a.Last != want || a.Anomalies != anomalies {
				t.Fatalf("%s → %s is %s with %d anomalies, want %s with %d", before.State, to, a.Last, a.Anomalies, want, anomalies)
			}
			switch a.Seq - before.Seq {
			case 0:
				if a.State != before.State || !a.Since.Equal(before.Since) {
					t.Fatalf("the state changed within interval %d", a.Seq)
				}
			case 1:
				if want == agent.Rejected || a.State != to {
					t.Fatalf("a %s transition to %s made %s", want, to, a.State)
				}
				if before.Seq == 0 {
					break
				}
				i := a.Previous
				if i == nil || i.Seq != before.Seq || i.State != before.State || i.Campaign != before.Campaign || !i.From.Equal(before.Since) || !i.To.Equal(a.Since) || i.To.Before(i.From) || i.Seconds != i.To.Sub(i.From).Seconds() {
					t.Fatalf("%+v became %+v", before, a)
				}
			default:
				t.Fatalf("one event made %d intervals", a.Seq-before.Seq)
			}
		}
	})
}

func change(n int, c agent.Change) (event.Payload, agent.State) {
	switch n {
	case 0:
		return agent.LogIn{Change: c}, agent.LoggedIn
	case 1:
		return agent.Pause{Change: c}, agent.Paused
	case 2:
		return agent.Resume{Change: c}, agent.Resumed
	}
	return agent.LogOut{Change: c}, agent.LoggedOut
}

func TestTransitions(t *testing.T) {
	t.Parallel()
	possible := map[agent.State][]agent.State{
		"":              {agent.LoggedIn, agent.Paused, agent.Resumed, agent.LoggedOut},
		agent.LoggedOut: {agent.LoggedIn},
		agent.LoggedIn:  {agent.Paused, agent.LoggedOut},
		agent.Resumed:   {agent.Paused, agent.LoggedOut},
		agent.Paused:    {agent.Resumed, agent.LoggedOut},
		"unheard of":    nil,
	}
	for from, tos := range possible {
		for _, to := range []agent.State{agent.LoggedIn, agent.Paused, agent.Resumed, agent.LoggedOut} {
			want := false
			for _, s := range tos {
				want = want || s == to
			}
			if got := agent.Possible(from, to); got != want {
				t.Errorf("%q → %q possible: %v", from, to, got)
			}
		}
	}
}
