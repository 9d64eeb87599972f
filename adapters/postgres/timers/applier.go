// Package timers keeps durable timers in Postgres: it reads the calls topic to
// arm and to cancel them, and appends the fact of each that is over.
//
// It decides nothing: what is waited for, and for how long, is
// projections.Waits. Its one promise: a wait that is over becomes exactly one
// fact, whatever is killed, and not before everything that was in the log at
// its end has been taken into account.
package timers

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Applier arms and cancels timers. It is projections.Applier, for a
// projections.Runner over the calls topic.
type Applier struct {
	pool  *pgxpool.Pool
	waits projections.Waits
}

var _ projections.Applier = (*Applier)(nil)

// NewApplier returns an applier over a migrated database.
func NewApplier(pool *pgxpool.Pool, waits projections.Waits) *Applier {
	return &Applier{pool: pool, waits: waits}
}

// Claim implements projections.Applier.
func (a *Applier) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	s := &session{applier: a, topic: topic, partition: partition}
	if err := a.pool.QueryRow(ctx, claimSQL, topic, partition).Scan(&s.epoch, &s.next); err != nil {
		return nil, fmt.Errorf("claiming timers of %s/%d: %w", topic, partition, err)
	}
	return s, nil
}

// Checkpoints returns the next offset of each partition.
func (a *Applier) Checkpoints(ctx context.Context) (map[event.Topic]map[int]int64, error) {
	rows, err := a.pool.Query(ctx, checkpointsSQL)
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints of timers: %w", err)
	}
	all := make(map[event.Topic]map[int]int64)
	var (
		topic     event.Topic
		partition int
		next      int64
	)
	_, err = pgx.ForEachRow(rows, []any{&topic, &partition, &next}, func() error {
		if all[topic] == nil {
			all[topic] = make(map[int]int64)
		}
		all[topic][partition] = next
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("reading the checkpoints of timers: %w", err)
	}
	return all, nil
}

type session struct {
	applier     *Applier
	topic       event.Topic
	partition   int
	epoch, next int64
}

// Next implements projections.Session.
func (s *session) Next() int64 { return s.next }

// Close implements projections.Session.
func (s *session) Close() {}

// entity names a call.
type entity struct{ org, call string }

// Apply implements projections.Session. An event that cannot be decoded arms
// and cancels nothing: it is parked where calls are folded.
func (s *session) Apply(ctx context.Context, events []event.Recorded) error {
	if len(events) == 0 {
		return nil
	}
	next := events[len(events)-1].Position.Offset + 1
	err := pgx.BeginFunc(ctx, s.applier.pool, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, "SET LOCAL synchronous_commit = off"); err != nil {
			return err
		}
		tag, err := tx.Exec(ctx, advanceSQL, s.topic, s.partition, s.epoch, s.next, next)
		if err != nil {
			return err
		}
		if tag.RowsAffected() == 0 {
			return projections.ErrFenced
		}
		return s.apply(ctx, tx, events)
	})
	if err != nil {
		return fmt.Errorf("applying timers of %s/%d: %w", s.topic, s.partition, err)
	}
	s.next = next
	return nil
}

func (s *session) apply(ctx context.Context, tx pgx.Tx, events []event.Recorded) error {
	var meaningful []event.Recorded
	var touched []entity
	for _, e := range events {
		if e.Fault != nil {
			continue
		}
		// Whether an event means anything does not depend on the call's state.
		if any, err := s.applier.waits.Apply(&projections.CallWaits{}, e); err != nil || !any {
			continue
		}
		meaningful = append(meaningful, e)
		if k := (entity{e.Org, e.Subject}); !slices.Contains(touched, k) {
			touched = append(touched, k)
		}
	}
	if len(touched) == 0 {
		return nil
	}
	states, err := load(ctx, tx, touched)
	if err != nil {
		return err
	}
	changed := make(map[entity]time.Time)
	for _, e := range meaningful {
		k := entity{e.Org, e.Subject}
		did, err := s.applier.waits.Apply(states[k], e)
		if err != nil {
			continue
		}
		if did {
			changed[k] = e.RecordedAt
		}
	}
	return write(ctx, tx, states, changed)
}

// load reads what is known of calls.
func load(ctx context.Context, tx pgx.Tx, touched []entity) (map[entity]*projections.CallWaits, error) {
	states := make(map[entity]*projections.CallWaits, len(touched))
	var orgs, calls []string
	for _, k := range touched {
		states[k] = &projections.CallWaits{}
		orgs, calls = append(orgs, k.org), append(calls, k.call)
	}
	rows, err := tx.Query(ctx, loadSQL, orgs, calls)
	if err != nil {
		return nil, err
	}
	var (
		k    entity
		have []string
	)
	_, err = pgx.ForEachRow(rows, []any{&k.org, &k.call, &have}, func() error {
		states[k].Have = slices.Clone(have)
		return nil
	})
	return states, err
}

// write brings timers to where the states say. Have is written as JSON because
// arrays of arrays cannot be unnested by rows.
func write(ctx context.Context, tx pgx.Tx, states map[entity]*projections.CallWaits, changed map[entity]time.Time) error {
	batch := &pgx.Batch{}
	var c cancelArrays
	var t timerArrays
	var h haveArrays
	for k, at := range changed {
		s := states[k]
		have, err := event.Marshal(s.Have)
		if err != nil {
			return err
		}
		h.add(k, string(have), at)
		for what := range s.Cancelled {
			c.add(k, what)
		}
		for _, timer := range s.Armed {
			t.add(timer)
		}
	}
	if len(h.orgs) > 0 {
		batch.Queue(haveSQL, h.orgs, h.calls, h.have, h.at)
	}
	if len(c.orgs) > 0 {
		batch.Queue(cancelSQL, c.orgs, c.calls, c.words)
	}
	if len(t.orgs) > 0 {
		batch.Queue(armSQL, t.orgs, t.calls, t.words, t.after, t.ended, t.correlations, t.origins, t.partitions, t.due)
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, batch).Close()
}

type haveArrays struct {
	orgs, calls, have []string
	at                []time.Time
}

func (a *haveArrays) add(k entity, have string, at time.Time) {
	a.orgs, a.calls, a.have, a.at = append(a.orgs, k.org), append(a.calls, k.call), append(a.have, have), append(a.at, at)
}

type cancelArrays struct{ orgs, calls, words []string }

func (a *cancelArrays) add(k entity, what string) {
	a.orgs, a.calls, a.words = append(a.orgs, k.org), append(a.calls, k.call), append(a.words, what)
}

type timerArrays struct {
	orgs, calls, words, ended, correlations, origins []string
	after                                            []int64
	partitions                                       []int
	due                                              []time.Time
}

func (a *timerArrays) add(t projections.Timer) {
	a.orgs, a.calls, a.words = append(a.orgs, t.Org), append(a.calls, t.CallID), append(a.words, t.WaitedFor)
	a.after, a.ended = append(a.after, int64(t.After/time.Second)), append(a.ended, t.EndedEventID)
	a.correlations, a.origins = append(a.correlations, t.CorrelationID), append(a.origins, string(t.Origin))
	a.partitions, a.due = append(a.partitions, t.Partition), append(a.due, t.Due)
}
