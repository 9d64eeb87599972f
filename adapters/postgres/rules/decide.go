package rules

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/alert"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/rule"
)

const (
	// ticksAtOnce bounds the ticks that one transaction decides.
	ticksAtOnce = 60
	// appendPatience bounds how long the clock is locked while the log is away.
	appendPatience = 10 * time.Second
	// settled is how many ticks a rule must have existed before it is decided: by
	// then every hub that closed a tick has seen it.
	settledTicks = 2
)

// querier is a pool or a transaction.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

// rules are all rules of all orgs.
func (s *Service) rules(ctx context.Context, q querier) ([]rule.Rule, error) {
	rows, err := q.Query(ctx, rulesSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the alert rules: %w", err)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) (rule.Rule, error) {
		var settings []byte
		var r rule.Rule
		if err := row.Scan(&r.ID, &r.Org, &settings); err != nil {
			return r, err
		}
		return r, json.Unmarshal(settings, &r)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the alert rules: %w", err)
	}
	return all, nil
}

// unsettled reports whether an alert is open, of whatever rule.
func (s *Service) unsettled(ctx context.Context) (some bool, err error) {
	if err = s.cfg.Pool.QueryRow(ctx, unsettledSQL).Scan(&some); err != nil {
		err = fmt.Errorf("reading the alert rules' states: %w", err)
	}
	return some, err
}

// topicsOf are the topics that must have closed a tick before it is decided.
func topicsOf(rules []rule.Rule) []event.Topic {
	topics := Topics()
	for _, r := range rules {
		if r.Metric.Topic() == event.Deliveries {
			return append(topics, event.Deliveries)
		}
	}
	return topics
}

// decide decides the ticks that every partition has closed.
func (s *Service) decide(ctx context.Context, rules []rule.Rule, ends map[event.Topic]map[int]int64) error {
	err := pgx.BeginFunc(ctx, s.cfg.Pool, func(tx pgx.Tx) error {
		var decided *time.Time
		err := tx.QueryRow(ctx, clockSQL).Scan(&decided)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil // another hub is at it
		}
		if err != nil {
			return err
		}
		until, ok, err := s.closedUntil(ctx, tx, ends)
		if err != nil || !ok {
			return err
		}
		ahead := decided != nil && decided.Sub(until) > aheadMax && decided.Sub(s.cfg.Clock()) > aheadMax
		if ahead {
			// By then partitions were ahead, and have returned. Their ticks are yet to come.
			back := rule.TickOf(s.cfg.Clock(), s.cfg.Step).Add(-s.cfg.Step)
			if _, err := tx.Exec(ctx, dropTicksSQL, back); err != nil {
				return err
			}
			decided = &back
		}
		from := s.undecided(decided, until, rules)
		states, err := s.states(ctx, tx)
		if err != nil {
			return err
		}
		last := from
		for tick, n := from.Add(s.cfg.Step), 0; !tick.After(until) && n < ticksAtOnce; tick, n = tick.Add(s.cfg.Step), n+1 {
			if err := s.decideTick(ctx, tx, tick, rules, states); err != nil {
				return err
			}
			last = tick
		}
		if !ahead && last.Equal(from) {
			return nil // where deciding begins is by our clock, and may be ahead of the log's end
		}
		_, err = tx.Exec(ctx, decidedSQL, last)
		return err
	})
	if err != nil {
		return fmt.Errorf("deciding alert rules: %w", err)
	}
	return nil
}

// undecided is the tick after which deciding goes on: what was decided stays, what
// is too old is not told any more, and before there were rules there is nothing.
func (s *Service) undecided(decided *time.Time, until time.Time, rules []rule.Rule) time.Time {
	from := rule.TickOf(s.cfg.Clock().Add(-s.cfg.CatchUp), s.cfg.Step)
	first := until // without rules there are only alerts to end
	if at := eldest(rules); !at.IsZero() {
		first = rule.TickOf(at, s.cfg.Step)
	}
	if first = first.Add(-s.cfg.Step); first.After(from) {
		from = first
	}
	if decided != nil && decided.After(from) {
		from = decided.UTC()
	}
	return from
}

// closedUntil is the last tick that all partitions have closed; false while one
// of them has closed none.
func (s *Service) closedUntil(ctx context.Context, tx pgx.Tx, ends map[event.Topic]map[int]int64) (time.Time, bool, error) {
	rows, err := tx.Query(ctx, closedSQL)
	if err != nil {
		return time.Time{}, false, err
	}
	closed := make(map[event.Topic]map[int]time.Time)
	var topic event.Topic
	var partition int
	var at time.Time
	if _, err := pgx.ForEachRow(rows, []any{&topic, &partition, &at}, func() error {
		if closed[topic] == nil {
			closed[topic] = make(map[int]time.Time)
		}
		closed[topic][partition] = at.UTC()
		return nil
	}); err != nil {
		return time.Time{}, false, err
	}
	var until time.Time
	for topic, partitions := range ends {
		for p := range partitions {
			at, ok := closed[topic][p]
			if !ok {
				return time.Time{}, false, nil
			}
			if until.IsZero() || at.Before(until) {
				until = at
			}
		}
	}
	return until, !until.IsZero(), nil
}

// state is how a rule stands, and of which org it is.
type state struct {
	rule.State
	org string
}

func (s *Service) states(ctx context.Context, tx pgx.Tx) (map[string]state, error) {
	rows, err := tx.Query(ctx, statesSQL)
	if err != nil {
		return nil, err
	}
	states := make(map[string]state)
	var id string
	var st state
	_, err = pgx.ForEachRow(rows, []any{&id, &st.org, &st.AlertID, &st.Since}, func() error {
		states[id] = st
		return nil
	})
	return states, err
}

// decideTick decides all rules at one tick: facts first, then what is remembered. A
// hub that was frozen says nothing: another may have decided since, by other rules.
func (s *Service) decideTick(ctx context.Context, tx pgx.Tx, tick time.Time, rules []rule.Rule, states map[string]state) error {
	began := time.Now()
	if _, err := tx.Exec(ctx, totalSQL, tick); err != nil {
		return err
	}
	series, err := s.series(ctx, tx, tick, rules)
	if err != nil {
		return err
	}
	var facts []event.Event
	var b pgx.Batch
	change := func(r rule.Rule, before, after rule.State, p event.Payload) error {
		if p != nil {
			id := after.AlertID
			if id == "" {
				id = before.AlertID
			}
			e, err := rule.Fact(r.Org, id, tick, event.Time(s.cfg.Clock()), p)
			if err != nil {
				return err
			}
			facts = append(facts, e)
		}
		states[r.ID] = state{State: after, org: r.Org}
		b.Queue(saveStateSQL, r.ID, r.Org, after.AlertID, after.Since)
		return nil
	}
	exist := make(map[string]bool, len(rules))
	for _, r := range rules {
		exist[r.ID] = true
		if tick.Sub(r.UpdatedAt) < settledTicks*s.cfg.Step {
			continue
		}
		before, known := states[r.ID]
		value, ok := r.Value(series[r.ID])
		after, p := r.Decide(before.State, tick, value, ok)
		if _, raises := p.(alert.Triggered); raises && !known {
			// What was known may have been lost: the alert may be open already.
			open, err := s.cfg.Open(ctx, r)
			if err != nil {
				return err
			}
			if open != "" {
				after, p = rule.State{AlertID: open, Since: tick}, nil
			}
		}
		if known && p == nil {
			continue
		}
		if err := change(r, before.State, after, p); err != nil {
			return err
		}
	}
	for id, st := range states {
		switch {
		case exist[id]:
			continue
		case st.AlertID != "":
			if err := change(rule.Rule{ID: id, Org: st.org}, st.State, rule.State{}, alert.Resolved{Note: "The rule was deleted."}); err != nil {
				return err
			}
		}
		delete(states, id)
		b.Queue(forgetRuleSQL, id)
	}
	if err := s.append(ctx, began, facts); err != nil {
		return err
	}
	b.Queue(sweepSamplesSQL, tick)
	return tx.SendBatch(ctx, &b).Close()
}

// append makes facts durable, while the clock is certainly ours.
func (s *Service) append(ctx context.Context, began time.Time, facts []event.Event) error {
	if len(facts) == 0 {
		return nil
	}
	if err := reactor.Late(began, s.lockedMost); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, appendPatience)
	defer cancel()
	if _, err := s.cfg.Log.Append(ctx, facts...); err != nil {
		return fmt.Errorf("appending to %s: %w", event.Alerts, err)
	}
	return nil
}

// series reads what the rules' values are made of, in two statements for all.
func (s *Service) series(ctx context.Context, tx pgx.Tx, tick time.Time, rules []rule.Rule) (map[string]rule.Series, error) {
	out := make(map[string]rule.Series, len(rules))
	var ids []string
	var nowFrom, nowTo, beforeFrom, beforeTo []time.Time
	for _, r := range rules {
		// Whole ticks: the window before ends where this one begins.
		window := rule.Ticks(r.Window(), s.cfg.Step)
		from, to := tick.Add(-s.cfg.Step), tick
		if r.Metric.Windowed() {
			from = tick.Add(-window)
		}
		floor := func(t time.Time) time.Time { // what was counted for the rule as it was before does not count
			if t.Before(r.UpdatedAt) {
				return r.UpdatedAt
			}
			return t
		}
		ids = append(ids, r.ID)
		nowFrom, nowTo = append(nowFrom, floor(from)), append(nowTo, to)
		beforeFrom, beforeTo = append(beforeFrom, floor(from.Add(-window))), append(beforeTo, to.Add(-window))
		span := window
		if r.Metric.Windowed() {
			span += window
		}
		out[r.ID] = rule.Series{Whole: tick.Sub(r.UpdatedAt) >= span+settledTicks*s.cfg.Step}
	}
	for _, w := range []struct {
		from, to []time.Time
		put      func(*rule.Series, rule.Sample)
	}{
		{nowFrom, nowTo, func(s *rule.Series, v rule.Sample) { s.Now = v }},
		{beforeFrom, beforeTo, func(s *rule.Series, v rule.Sample) { s.Before = v }},
	} {
		rows, err := tx.Query(ctx, seriesSQL, ids, w.from, w.to)
		if err != nil {
			return nil, err
		}
		var v rule.Sample
		if _, err := pgx.ForEachRow(rows, []any{&v.RuleID, &v.N, &v.Sum, &v.Max}, func() error {
			one := out[v.RuleID]
			w.put(&one, v)
			out[v.RuleID] = one
			return nil
		}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
