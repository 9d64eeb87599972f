package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// entityKey names an entity; ids of two orgs may be equal.
type entityKey struct{ org, id string }

func keyOf(e *event.Recorded) entityKey { return entityKey{e.Org, e.Subject} }

// states are the folded entities of one partition. They are read from the
// tables that the sink writes and kept while they are in use: young takes
// what is touched, and becomes old, which is forgotten next, when it is full.
type states[S any] struct {
	store *Store
	// sql gets the wanted keys as the external table wanted(org, id), and read
	// reads a state out of its third and fourth column.
	sql string
	// server is when the server began that the partition was claimed on.
	server     time.Time
	read       func(state, more string) (*S, error)
	young, old map[entityKey]*S
	// max is how many young ones there may be.
	max int
	// met are the entities that were met since the beginning of the log; nil if
	// the session did not begin there.
	met *filter
}

// maxStates bounds the states that one partition keeps, twice over (young and
// old). 10,000 agents on 64 partitions have about 160 calls each at a time; a
// call takes 3 KB or more.
const maxStates = 512

func newCallStates(store *Store, generation int, checkpoint int64, server time.Time) *states[projections.AnalyticsCall] {
	sql := `
SELECT org_id, call_id, argMax(state, version), argMax(custom, version)
FROM calls_` + suffix(generation) + `
WHERE (org_id, call_id) IN (SELECT org, id FROM wanted)
GROUP BY org_id, call_id`
	return newStates(store, sql, checkpoint, server, func(state, custom string) (*projections.AnalyticsCall, error) {
		return projections.ReadAnalyticsCall([]byte(state), []byte(custom))
	})
}

// newAgentStates reads an agent as its rows know it without a gap: up to the first
// interval that has no end or no successor. Rows of several inserts, and those of
// two months in one, are not kept or lost together, and a later one knows nothing of
// the end of an earlier one. What follows in the log is then folded again, to the
// rows that are there and to those that are not.
func newAgentStates(store *Store, generation int, checkpoint int64, server time.Time) *states[projections.AnalyticsAgent] {
	table := "agent_states_" + suffix(generation)
	sql := `
SELECT org_id, agent_id, argMax(agent, version), ''
FROM ` + table + `
WHERE (org_id, agent_id, seq) IN
(
    WITH arraySort(groupUniqArrayIf(seq, isNotNull(ended_at))) AS ended,
         arrayCount((seq, place) -> seq = place, ended, arrayEnumerate(ended)) AS whole
    SELECT org_id, agent_id, arrayJoin([toUInt32(whole), toUInt32(whole + 1)])
    FROM ` + table + `
    WHERE (org_id, agent_id) IN (SELECT org, id FROM wanted)
    GROUP BY org_id, agent_id
)
GROUP BY org_id, agent_id`
	return newStates(store, sql, checkpoint, server, func(state, _ string) (*projections.AnalyticsAgent, error) {
		return projections.ReadAnalyticsAgent([]byte(state))
	})
}

// newStates makes the states of a session that goes on from a checkpoint. One
// that begins at the beginning, as a rebuild does, need not ask the tables for
// an entity that it never met. Should there be a state after all, left by an
// insert of a former owner, folding anew from the first event comes to the same.
func newStates[S any](store *Store, sql string, checkpoint int64, server time.Time, read func(state, more string) (*S, error)) *states[S] {
	s := &states[S]{store: store, sql: sql, server: server, read: read, max: maxStates, young: make(map[entityKey]*S), old: make(map[entityKey]*S)}
	if checkpoint == 0 {
		s.met = newFilter()
	}
	return s
}

// load makes the states of the events' entities available to get. It is called
// before a batch is folded: the batch may hold more entities than are kept.
func (s *states[S]) load(ctx context.Context, events []*event.Recorded) error {
	if len(s.young) >= s.max {
		s.old, s.young = s.young, make(map[entityKey]*S)
	}
	var missing []entityKey
	for _, e := range events {
		key := keyOf(e)
		if _, ok := s.young[key]; ok {
			continue
		}
		if st, ok := s.old[key]; ok {
			s.young[key] = st
			continue
		}
		s.young[key] = new(S)
		if s.met == nil || s.met.add(key) {
			missing = append(missing, key)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.ask(ctx, missing); err != nil {
		return fmt.Errorf("reading states: %w", err)
	}
	return nil
}

// trim keeps the states of the events' last entities, when a batch had more of
// them than are kept. It is called when the batch's rows are made.
func (s *states[S]) trim(events []*event.Recorded) {
	if len(s.young) <= s.max {
		return
	}
	kept := make(map[entityKey]*S, s.max)
	for i := len(events) - 1; i >= 0 && len(kept) < s.max; i-- {
		key := keyOf(events[i])
		kept[key] = s.young[key]
	}
	s.young, s.old = kept, make(map[entityKey]*S)
}

// get returns the state of an entity that was loaded.
func (s *states[S]) get(key entityKey) *S { return s.young[key] }

// reload takes the state of an entity from the tables, whatever is kept of it.
func (s *states[S]) reload(ctx context.Context, key entityKey) (*S, error) {
	s.young[key] = new(S)
	err := s.ask(ctx, []entityKey{key})
	return s.young[key], err
}

func (s *states[S]) ask(ctx context.Context, keys []entityKey) error {
	wanted, err := ext.NewTable("wanted", ext.Column("org", "String"), ext.Column("id", "String"))
	if err != nil {
		return err
	}
	for _, k := range keys {
		if err := wanted.Append(k.org, k.id); err != nil {
			return err
		}
	}
	ctx = ch.Context(ctx, ch.WithExternalTable(wanted))
	return s.store.query(ctx, s.sql+ofServer, nil, func(r driver.Rows) error {
		var key entityKey
		var state, more string
		if err := r.Scan(&key.org, &key.id, &state, &more); err != nil {
			return err
		}
		if key == (entityKey{}) {
			return s.sameServer(more)
		}
		st, err := s.read(state, more)
		if err != nil {
			return fmt.Errorf("%s/%s: %w", key.org, key.id, err)
		}
		s.young[key] = st
		return nil
	})
}

// ofServer adds a row of nobody's that tells when the server began. One that was
// started anew may have lost states: what is folded from there on would look
// newer than what is right.
const ofServer = "\nUNION ALL\nSELECT '', '', '', toString(toUnixTimestamp64Milli(" + startedExpr + "))"

func (s *states[S]) sameServer(began string) error {
	ms, err := strconv.ParseInt(began, 10, 64)
	if err == nil && !sameServer(time.UnixMilli(ms), s.server) {
		err = errRestarted
	}
	return err
}
