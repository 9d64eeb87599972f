package timers

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

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
	// saveEvery is how often the checkpoint is stored while nothing happens that
	// timers are about. What lies between is read again after a restart.
	saveEvery = time.Second
)

// Claim implements projections.Applier. It waits for the disk, unlike Apply: an
// epoch that a crash of Postgres took back would be given out twice.
func (s *Service) Claim(ctx context.Context, topic event.Topic, partition int) (projections.Session, error) {
	c := &session{service: s, topic: topic, partition: partition}
	err := s.cfg.Pool.QueryRow(ctx, claimSQL, projections.Timers, topic, partition, s.cfg.Owner).Scan(&c.next, &c.epoch)
	if err != nil {
		return nil, fmt.Errorf("claiming the timers of %s/%d: %w", topic, partition, err)
	}
	c.stored, c.saved = c.next, c.service.cfg.Clock()
	// The former owner's timers are in the table and nobody told our loop.
	s.signal()
	return c, nil
}

// session is the ownership of one partition. It is used by one goroutine.
type session struct {
	service     *Service
	topic       event.Topic
	partition   int
	next, epoch int64
	// stored is the checkpoint in the table, saved when it was written there.
	stored int64
	saved  time.Time
}

// Next implements projections.Session.
func (c *session) Next() int64 { return c.next }

// Close implements projections.Session; a session holds nothing.
func (c *session) Close() {}

// Apply implements projections.Session. It does not wait for the disk: if
// Postgres crashes, rows and checkpoint go back together.
func (c *session) Apply(ctx context.Context, events []event.Recorded) error {
	for len(events) > 0 && events[0].Position.Offset < c.next {
		events = events[1:]
	}
	if len(events) == 0 {
		return nil
	}
	last := events[len(events)-1]
	keys, now := projections.TimerKeys(events), c.service.cfg.Clock()
	if len(keys) == 0 && now.Sub(c.saved) < saveEvery && !c.sweeps(last) {
		c.looked(last)
		return nil
	}
	var first time.Time
	err := pgx.BeginFunc(ctx, c.service.cfg.Pool, func(tx pgx.Tx) error {
		known, err := c.advance(ctx, tx, last, keys)
		if err != nil {
			return err
		}
		changed := c.service.waits.Fold(known, events)
		rows := make([]row, 0, len(changed))
		for k, t := range changed {
			rows = append(rows, row{Key: k, CallTimer: t, partition: c.partition})
			if next := t.Next(); first.IsZero() || (!next.IsZero() && next.Before(first)) {
				first = next
			}
		}
		return c.write(ctx, tx, rows, last)
	})
	if err != nil {
		return fmt.Errorf("setting timers: %w", err)
	}
	c.looked(last)
	c.stored, c.saved = c.next, now
	c.service.armed(first)
	return nil
}

// looked notes that what was in the log up to an event has had its effect.
func (c *session) looked(last event.Recorded) {
	c.next = last.Position.Offset + 1
	c.service.looked(c.partition, c.next)
}

func (c *session) sweeps(last event.Recorded) bool {
	return c.stored/sweepEvery != (last.Position.Offset+1)/sweepEvery
}

// advance moves the checkpoint behind the last event and reads what is
// remembered of the calls.
func (c *session) advance(ctx context.Context, tx pgx.Tx, last event.Recorded, keys []projections.Key) (map[projections.Key]projections.CallTimer, error) {
	orgs, ids := make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		orgs[i], ids[i] = k.Org, k.ID
	}
	moved := int64(0)
	known := make(map[projections.Key]projections.CallTimer, len(keys))
	var batch pgx.Batch
	batch.Queue("SET LOCAL synchronous_commit = off")
	batch.Queue(advanceSQL, projections.Timers, c.topic, c.partition, c.stored, c.epoch, last.Position.Offset+1, toDB(last.RecordedAt)).
		Exec(func(tag pgconn.CommandTag) error {
			moved = tag.RowsAffected()
			return nil
		})
	if len(keys) > 0 {
		batch.Queue(loadSQL, orgs, ids).Query(func(rows pgx.Rows) error {
			all, err := pgx.CollectRows(rows, scan)
			for _, r := range all {
				known[r.Key] = r.CallTimer
			}
			return err
		})
	}
	if err := tx.SendBatch(ctx, &batch).Close(); err != nil {
		return nil, err
	}
	if moved != 1 {
		return nil, projections.ErrFenced
	}
	return known, nil
}

func (c *session) write(ctx context.Context, tx pgx.Tx, rows []row, last event.Recorded) error {
	var batch pgx.Batch
	if len(rows) > 0 {
		batch.Queue(saveSQL, columns(rows)...)
	}
	if c.sweeps(last) {
		// A foreign producer's time from the future must not sweep it all.
		now := c.service.cfg.Clock()
		if last.RecordedAt.Before(now) {
			now = last.RecordedAt
		}
		batch.Queue(sweepSQL, c.partition, now.Add(-projections.RepeatSpan-sweepMargin), sweepRows)
	}
	if batch.Len() == 0 {
		return nil
	}
	return tx.SendBatch(ctx, &batch).Close()
}
