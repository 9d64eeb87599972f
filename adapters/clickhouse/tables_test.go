package clickhouse

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	gocmp "github.com/google/go-cmp/cmp"

	"trunkline.dev/trunkline/domain/agent"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/catalog"
	"trunkline.dev/trunkline/domain/event"
)

// folded folds the entities of a topic as every other part of the hub does.
func folded[S any, P interface {
	*S
	event.Entity
}](w *world, topic event.Topic, each func(key entityKey, s *S, version uint64)) {
	states := make(map[entityKey]*S)
	versions := make(map[entityKey]uint64)
	for _, part := range w.log[topic] {
		for _, e := range part {
			key := entityKey{e.Org, e.Subject}
			if states[key] == nil {
				states[key] = new(S)
			}
			if _, dup := w.dups[e.Position]; dup {
				continue
			}
			if catalog.Apply(P(states[key]), e) == nil {
				versions[key]++
				each(key, states[key], versions[key])
			}
		}
	}
}

type shownCall struct {
	Org, ID, Direction, From, To, Agent, Campaign, Status, Disposition string
	Started, Answered, Ended                                           *time.Time
	Duration                                                           *int64
	Notes                                                              uint32
	Tags                                                               []string
	Custom                                                             string
	Updated                                                            time.Time
	Version                                                            uint64
}

func TestCallsAreTheFoldOfTheirEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(18).day(80)
	r := newRig(t, w)
	// Nothing but the view puts old states aside.
	must(t, r.store.exec(t.Context(), "SYSTEM STOP MERGES calls_g1"))
	must(t, replay(t.Context(), r.analytics, 1, w, 17))
	byKey := make(map[entityKey]shownCall)
	folded(w, event.Calls, func(key entityKey, c *call.Call, version uint64) {
		s := shownCall{
			Org: key.org, ID: key.id, Direction: c.Direction, From: c.From, To: c.To, Campaign: c.Campaign, Status: c.Status,
			Disposition: c.Disposition, Started: c.StartedAt, Answered: c.AnsweredAt, Ended: c.EndedAt, Duration: c.DurationSec,
			Notes: uint32(len(c.Notes)), Tags: c.Tags, Updated: c.UpdatedAt, Version: version,
		}
		if c.Agent != nil {
			s.Agent = c.Agent.ID
		}
		if s.Tags == nil {
			s.Tags = []string{}
		}
		if c.Custom != nil {
			s.Custom = `{"k":{"a":"ü<b>"}}`
		}
		byKey[key] = s
	})
	var want, got []shownCall
	for _, s := range byKey {
		want = append(want, s)
	}
	must(t, r.store.query(t.Context(), `
SELECT org_id, call_id, direction, from_number, to_number, agent_id, campaign, status, disposition, started_at, answered_at, ended_at,
       duration_sec, notes, tags, custom, updated_at, version
FROM calls`, nil, func(rows driver.Rows) error {
		var s shownCall
		err := rows.Scan(&s.Org, &s.ID, &s.Direction, &s.From, &s.To, &s.Agent, &s.Campaign, &s.Status, &s.Disposition, &s.Started,
			&s.Answered, &s.Ended, &s.Duration, &s.Notes, &s.Tags, &s.Custom, &s.Updated, &s.Version)
		got = append(got, s)
		return err
	}))
	for _, list := range [][]shownCall{want, got} {
		slices.SortFunc(list, func(a, b shownCall) int { return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.ID, b.ID)) })
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
}

type shownInterval struct {
	Org, Agent    string
	Seq           uint32
	State, Reason string
	From          time.Time
	To            *time.Time
	Seconds       *float64
}

func TestAgentStatesAreTheIntervalsOfTheFold(t *testing.T) {
	t.Parallel()
	w := newWorld(19).day(150)
	r := newRig(t, w)
	must(t, r.store.exec(t.Context(), "SYSTEM STOP MERGES agent_states_g1"))
	must(t, replay(t.Context(), r.analytics, 1, w, 13))
	type intervalKey struct {
		entityKey
		seq int64
	}
	byKey := make(map[intervalKey]shownInterval)
	folded(w, event.Agents, func(key entityKey, a *agent.Agent, _ uint64) {
		if p := a.Previous; p != nil {
			to := p.To
			byKey[intervalKey{key, p.Seq}] = shownInterval{key.org, key.id, uint32(p.Seq), string(p.State), p.Reason, p.From, &to, ptr(p.Seconds)}
		}
		byKey[intervalKey{key, a.Seq}] = shownInterval{key.org, key.id, uint32(a.Seq), string(a.State), a.Reason, a.Since, nil, nil}
	})
	var want, got []shownInterval
	for _, s := range byKey {
		want = append(want, s)
	}
	must(t, r.store.query(t.Context(), `
SELECT org_id, agent_id, seq, state, reason, started_at, ended_at, seconds
FROM agent_states`, nil, func(rows driver.Rows) error {
		var s shownInterval
		err := rows.Scan(&s.Org, &s.Agent, &s.Seq, &s.State, &s.Reason, &s.From, &s.To, &s.Seconds)
		got = append(got, s)
		return err
	}))
	for _, list := range [][]shownInterval{want, got} {
		slices.SortFunc(list, func(a, b shownInterval) int {
			return cmp.Or(cmp.Compare(a.Org, b.Org), cmp.Compare(a.Agent, b.Agent), cmp.Compare(a.Seq, b.Seq))
		})
	}
	if len(want) < 20 {
		t.Fatalf("only %d intervals", len(want))
	}
	if diff := gocmp.Diff(want, got); diff != "" {
		t.Errorf("intervals (-want +got):\n%s", diff)
	}
}

// A session keeps a few states only and reads the others back, whether it began
// at the beginning or not.
func TestForgottenStatesAreReadBack(t *testing.T) {
	t.Parallel()
	w := newWorld(20).day(80)
	r := newRig(t, w)
	for p, part := range w.log[event.Calls] {
		half := len(part) / 2
		for _, events := range [][]event.Recorded{part[:half], part[half:]} {
			claimed, err := r.analytics.Applier(1).Claim(t.Context(), event.Calls, p)
			must(t, err)
			s := claimed.(*session[analyticsRows])
			s.mapper.(*analyticsMapper).calls.max = 2
			for chunk := range slices.Chunk(events, 5) {
				must(t, s.Apply(t.Context(), chunk))
			}
			s.Close()
		}
	}
	must(t, replay(t.Context(), r.analytics, 1, w, 1000)) // the other topics
	wantDigest(t, r.analytics, 1, fresh(t, r.analytics, w))
}

// What a bucket cannot hold is in the first or the last one, and not in one between.
func TestAStartThatNoBucketHoldsIsAtTheEnd(t *testing.T) {
	t.Parallel()
	w := newWorld(1)
	for id, year := range map[string]int{"early": 1950, "late": 2199} {
		w.say("org-a", id, call.Started{Direction: "outbound", From: "+1", To: "+2", StartedAt: time.Date(year, 5, 1, 12, 30, 0, 0, time.UTC)})
	}
	r := newRig(t, w)
	must(t, replay(t.Context(), r.analytics, 1, w, 50))
	for view, want := range map[string]string{
		"calls_per_hour": "1970-01-01 00:00:00, 2106-02-07 06:00:00",
		"calls_per_day":  "1970-01-01 00:00:00, 2106-02-07 00:00:00",
	} {
		if got := r.text(t, "SELECT arrayStringConcat(arraySort(groupArray(toString(bucket))), ', ') FROM "+view); got != want {
			t.Errorf("%s has %s, want %s", view, got, want)
		}
	}
}
