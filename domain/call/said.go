package call

import (
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"trunkline.dev/trunkline/domain/event"
)

// AgentSaid is what one fact said of a call's agent.
type AgentSaid struct {
	// At is when; zero is what a state of an earlier release knew.
	At    time.Time `json:"at,omitzero"`
	Agent Agent     `json:"agent"`
	// Unless marks a word that counts as long as nobody else is known (see
	// Dispositioned.Restated).
	Unless bool `json:"unless,omitempty"`
}

// KeysSaid are the keys of a map that one moment's facts set.
type KeysSaid struct {
	At   time.Time `json:"at"`
	Keys []string  `json:"keys"`
}

// saidAt is when a fact was said: when it happened, but not after it was recorded.
// A start happens by its source's clock, and what is said of the call next without
// a time by ours, which may be behind.
func saidAt(e event.Envelope) time.Time {
	if e.RecordedAt.IsZero() || e.OccurredAt.Before(e.RecordedAt) {
		return e.OccurredAt
	}
	return e.RecordedAt
}

// maxAgentsSaid bounds what is kept of a call whose agent is told again and again.
const maxAgentsSaid = 16

// agentIs takes in what a fact says of the agent: all that was said, in the order in
// which it happened, says who it is. What comes late so stands before what is newer.
func (c *Call) agentIs(a *Agent, e event.Envelope, unless bool) {
	if a == nil {
		return
	}
	said := c.AgentSaid
	if len(said) == 0 && c.Agent != nil {
		said = []AgentSaid{{Agent: *c.Agent}}
	}
	at := saidAt(e)
	i := len(said)
	for i > 0 && said[i-1].At.After(at) {
		i--
	}
	said = slices.Insert(slices.Clip(said), i, AgentSaid{At: at, Agent: *a, Unless: unless})
	c.AgentSaid = bounded(said)
	c.Agent = lastAgent(c.AgentSaid)
}

// bounded drops what changes nothing, whatever comes between: what was said before
// and after alike. Of too much the two oldest become one.
func bounded(said []AgentSaid) []AgentSaid {
	same := func(a, b AgentSaid) bool { return a.Agent == b.Agent && a.Unless == b.Unless }
	for i := 1; i < len(said)-1; i++ {
		if same(said[i-1], said[i]) && same(said[i], said[i+1]) {
			said = slices.Delete(said, i, i+1)
			i--
		}
	}
	for len(said) > maxAgentsSaid {
		if first, second := said[0], &said[1]; first.Unless == second.Unless && !first.Unless {
			second.Agent = *mergeAgent(&first.Agent, &second.Agent)
		}
		said = said[1:]
	}
	return said
}

// lastAgent is the agent by all that was said, the oldest first.
func lastAgent(said []AgentSaid) *Agent {
	var sure, unless *Agent
	for _, s := range said {
		switch {
		case !s.Unless:
			sure = mergeAgent(sure, &s.Agent)
		case unless == nil:
			unless = ptr(s.Agent)
		}
	}
	if sure != nil {
		return sure
	}
	return unless
}

// mergeRaw sets keys of a map: of each the newest fact does. said is which moments
// set the keys; those of states of an earlier release have none.
func mergeRaw(into *map[string]json.RawMessage, said *[]KeysSaid, from map[string]json.RawMessage, e event.Envelope) {
	if len(from) == 0 {
		return
	}
	times := make(map[string]time.Time)
	for _, s := range *said {
		for _, k := range s.Keys {
			times[k] = s.At
		}
	}
	merged := make(map[string]json.RawMessage, len(*into)+len(from))
	maps.Copy(merged, *into)
	at := saidAt(e)
	for k, v := range from {
		if last, known := times[k]; known && at.Before(last) {
			continue
		}
		merged[k], times[k] = v, at
	}
	*into, *said = merged, byMoment(times)
}

// byMoment lists keys by when they were set, the oldest first.
func byMoment(times map[string]time.Time) []KeysSaid {
	var said []KeysSaid
	for _, k := range slices.SortedFunc(maps.Keys(times), func(a, b string) int {
		if d := times[a].Compare(times[b]); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	}) {
		if n := len(said); n > 0 && said[n-1].At.Equal(times[k]) {
			said[n-1].Keys = append(said[n-1].Keys, k)
			continue
		}
		said = append(said, KeysSaid{At: times[k], Keys: []string{k}})
	}
	return said
}
