package clickhouse

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// A kill between the parts of one insert, or a lost power, can leave the rows of a
// later interval of an agent and take the end of an earlier one, which no later
// row tells of. Each agent loses the rows of another of its changes.
func TestAnIntervalEndsThoughOnlyLaterOnesWereKept(t *testing.T) {
	t.Parallel()
	const agents = 5
	w := newWorld(29)
	facts := []event.Payload{agent.LogIn{}, agent.Pause{}, agent.Resume{}, agent.LogOut{}}
	lost, kept := make(map[event.Position]bool), make([]int64, worldPartitions)
	for change := range agents + 1 {
		for who := range agents {
			at := w.say("org-a", fmt.Sprintf("agent-%d", who), facts[change%len(facts)]).Position
			lost[at] = change == who+1
			if change == 0 {
				kept[at.Partition] = at.Offset + 1
			}
		}
	}
	w.say("org-a", "call", call.Started{Direction: "inbound", StartedAt: w.now})
	r := newRig(t, w)
	must(t, r.store.exec(t.Context(), "SYSTEM STOP MERGES agent_states_g1"))
	tables := []string{"agent_states_g1"}
	for p, part := range w.log[event.Agents] {
		session, err := r.analytics.Applier(1).Claim(t.Context(), event.Agents, p)
		must(t, err)
		for i, e := range part {
			before := r.parts(t, tables)
			must(t, session.Apply(t.Context(), part[i:i+1]))
			if !lost[e.Position] {
				continue
			}
			for _, p := range r.parts(t, tables) {
				if !slices.Contains(before, p) {
					must(t, r.store.exec(t.Context(), "ALTER TABLE "+p.table+" DROP PART '"+p.name+"'"))
				}
			}
		}
	}
	must(t, r.store.exec(t.Context(), "TRUNCATE TABLE sink_checkpoints"))
	var back []checkpointRow
	for p, next := range kept {
		back = append(back, checkpointRow{projections.AnalyticsName, 1, event.Agents, p, next, w.now, w.now, next, time.Unix(0, 0)})
	}
	must(t, checkpointTable.insert(t.Context(), r.store.conn, "", [][]checkpointRow{back}))
	must(t, replay(t.Context(), r.analytics, 1, w, 5))
	if n := r.number(t, "SELECT count() FROM agent_states WHERE isNull(ended_at)"); n != agents {
		t.Errorf("%d states last, of %d agents", n, agents)
	}
	wantDigest(t, r.analytics, 1, fresh(t, r.analytics, w))
}
