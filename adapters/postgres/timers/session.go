package timers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/adapters/postgres/internal/dbtime"
	"trunkline.dev/trunkline/adapters/postgres/internal/reactor"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

const (
	// sweepEvery is how many offsets lie between two sweeps of a partition. A
	// sweep takes more rows than so many events can have made.
	sweepEvery = 4096
	sweepRows  = 2 * sweepEvery
	// sweepMargin keeps a row longer than the fold asks for, because recorded
	// times of different hubs are not quite in order.
	sweepMargin = 24 * time.Hour
)

// Claim implements projections.Applier.
func (s *Service) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	t, err := reactor.Claim(ctx, s.cfg.Pool, projections.Timers, s.cfg.Owner, topic, partition)
	if err != nil {
		return nil, err
	}
	// The former owner's timers are in the table and nobody told our loop.
	s.signal()
	return &session{Tenure: t, service: s}, nil
}

// session is the ownership of one partition. It is used by one goroutine.
type session struct {
	*reactor.Tenure
	service *Service
}

// Apply implements projections.Session.
func (c *session) Apply(ctx context.Context, events []event.Recorded) error {
	if events = c.New(events); len(events) == 0 {
		return nil
	}
	return c.ApplyNarrowly(ctx, c.service.cfg.Logger, events, c.apply)
}

func (c *session) apply(ctx context.Context, events []event.Recorded) error {
	var first, now time.Time
	known := make(map[projections.Key]projections.CallTimer)
	read := func(b *pgx.Batch) {
		b.Queue(dbtime.NowSQL).QueryRow(func(r pgx.Row) error { return r.Scan(&now) })
		load(b, projections.TimerKeys(events), known)
	}
	err := c.Commit(ctx, events, read, func(ctx context.Context, tx pgx.Tx) error {
		changed := c.service.waits.Fold(known, events)
		rows := make([]row, 0, len(changed))
		for k, t := range changed {
			if known[k].Next().IsZero() && !t.Next().IsZero() {
				t = t.WaitFrom(now)
			}
			rows = append(rows, row{Key: k, CallTimer: t, partition: c.Partition()})
			if next := t.Next(); first.IsZero() || (!next.IsZero() && next.Before(first)) {
				first = next
			}
		}
		return c.write(ctx, tx, rows, events[len(events)-1], now)
	})
	if err != nil {
		return fmt.Errorf("setting timers: %w", err)
	}
	c.service.armed(first)
	return nil
}

// load queues the reading of what is remembered of the calls.
func load(b *pgx.Batch, keys []projections.Key, known map[projections.Key]projections.CallTimer) {
	if len(keys) == 0 {
		return
	}
	orgs, ids := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		orgs[i], ids[i] = k.Org, k.ID
	}
	b.Queue(loadSQL, orgs, ids).Query(func(rows pgx.Rows) error {
		all, err := pgx.CollectRows(rows, scan)
		for _, r := range all {
			known[r.Key] = r.CallTimer
		}
		return err
	})
}

func (c *session) write(ctx context.Context, tx pgx.Tx, rows []row, last event.Recorded, now time.Time) error {
	var batch pgx.Batch
	if len(rows) > 0 {
		batch.Queue(saveSQL, columns(rows)...)
	}
	if c.Next()/sweepEvery != (last.Position.Offset+1)/sweepEvery {
		// A foreign producer's time from the future must not sweep it all.
		if last.RecordedAt.Before(now) {
			now = last.RecordedAt
		}
		batch.Queue(sweepSQL, c.Partition(), now.Add(-projections.RepeatSpan-sweepMargin), sweepRows)
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &batch).Close()
}
