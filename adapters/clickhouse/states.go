package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/ext"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"trunkline.dev/trunkline/domain/event"
)

// entityKey names an entity; ids of two orgs may be equal.
type entityKey struct{ org, id string }

func keyOf(e *event.Recorded) entityKey { return entityKey{e.Org, e.Subject} }

// states are the folded entities of one partition. They are read from the
// tables that the sink writes and kept while they are in use: young takes
// what is touched, and becomes old, which is forgotten next, when it is full.
type states[S any] struct {
	store      *Store
	sql        string
	young, old map[entityKey]*S
}

// maxStates bounds the states that one partition keeps, twice over (young and
// old). 10,000 agents on 64 partitions have about 80 calls each at a time.
const maxStates = 2048

// Both queries get the wanted keys as the external table wanted(org, id).
func callStates(generation int) string {
	return `
SELECT org_id, call_id, argMax(state, version)
FROM calls_` + suffix(generation) + `
WHERE (org_id, call_id) IN (SELECT org, id FROM wanted)
GROUP BY org_id, call_id`
}

func agentStates(generation int) string {
	return `
SELECT org_id, agent_id, argMax(agent, version)
FROM agent_states_` + suffix(generation) + `
WHERE (org_id, agent_id) IN (SELECT org, id FROM wanted)
GROUP BY org_id, agent_id`
}

func newStates[S any](store *Store, sql string) *states[S] {
	return &states[S]{store: store, sql: sql, young: make(map[entityKey]*S), old: make(map[entityKey]*S)}
}

// load makes the states of the events' entities available to get. It is called
// before a batch is folded: the batch may hold more entities than are kept.
func (s *states[S]) load(ctx context.Context, events []*event.Recorded) error {
	if len(s.young) >= maxStates {
		s.old, s.young = s.young, make(map[entityKey]*S, maxStates)
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
		missing = append(missing, key)
	}
	if len(missing) == 0 {
		return nil
	}
	if err := s.read(ctx, missing); err != nil {
		return fmt.Errorf("reading states: %w", err)
	}
	return nil
}

// get returns the state of an entity that was loaded.
func (s *states[S]) get(key entityKey) *S { return s.young[key] }

func (s *states[S]) read(ctx context.Context, keys []entityKey) error {
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
	return s.store.query(ctx, s.sql, nil, func(r driver.Rows) error {
		var key entityKey
		var state string
		if err := r.Scan(&key.org, &key.id, &state); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(state), s.young[key]); err != nil {
			return fmt.Errorf("reading the state of %s/%s: %w", key.org, key.id, err)
		}
		return nil
	})
}
