package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// A machine that loses its power loses what its operating system had not
// written yet, and ClickHouse flushes nothing of an insert: of rows and their
// checkpoint either may be gone, and the rest be there. So a checkpoint carries
// with it how far it had come some time before (settled), and when the server
// that it was written to had begun. Who finds that the server is another one by
// now goes on from settled; what is in the tables from there on it reads back and
// leaves out, as after any insert whose outcome is unknown. It is no less right
// after a restart that lost nothing, and costs minutes of the log.

// DefaultSettle is how long rows are given to reach the disk. Linux writes what
// has been waiting for 30 seconds, and looks every 5
// (vm.dirty_expire_centisecs, vm.dirty_writeback_centisecs).
const DefaultSettle = 2 * time.Minute

// settling tells how far one partition has come for good.
type settling struct {
	after   time.Duration
	settled int64
	// marks say how far it had come when, the oldest first.
	marks []settlingMark
}

type settlingMark struct {
	at   time.Time
	next int64
}

// settlingMarks is how many marks there are within the time that rows are given.
const settlingMarks = 12

// reached notes that all below next is in the tables.
func (s *settling) reached(now time.Time, next int64) {
	if n := len(s.marks); n > 0 && now.Sub(s.marks[n-1].at) < s.after/settlingMarks {
		return
	}
	s.marks = append(s.marks, settlingMark{now, next})
}

// at returns how far it has come for good.
func (s *settling) at(now time.Time) int64 {
	for len(s.marks) > 0 && now.Sub(s.marks[0].at) >= s.after {
		s.settled = max(s.settled, s.marks[0].next)
		s.marks = s.marks[1:]
	}
	return s.settled
}

// started returns when the server began, by its clock, to the second.
func (s *Store) started(ctx context.Context) (time.Time, error) {
	var at time.Time
	if err := s.row(ctx, "SELECT "+startedExpr, nil, &at); err != nil {
		return at, fmt.Errorf("asking when ClickHouse began: %w", err)
	}
	return at, nil
}

// still reports whether the server is the one that began at a time, as far as was
// learned within so long.
func (s *Store) still(ctx context.Context, server time.Time, within time.Duration) (bool, error) {
	now, err := s.startedWithin(ctx, within)
	if err == nil && !sameServer(now, server) {
		now, err = s.startedWithin(ctx, 0) // the other one may be the older
	}
	return sameServer(now, server), err
}

// startedWithin is started as of so long ago at most: each query costs ClickHouse
// milliseconds, and the sessions of all partitions ask.
func (s *Store) startedWithin(ctx context.Context, age time.Duration) (time.Time, error) {
	select {
	case s.probing <- struct{}{}:
		defer func() { <-s.probing }()
	case <-ctx.Done():
		return time.Time{}, ctx.Err()
	}
	if time.Since(s.startedAt) < age {
		return s.start, nil
	}
	at, err := s.started(ctx)
	if err == nil {
		s.start, s.startedAt = at, time.Now()
	}
	return at, err
}

// lately is how old the answer may be when nothing comes: sessions ask every five
// seconds.
const lately = time.Second

const startedExpr = "now64(3, 'UTC') - toIntervalSecond(uptime())"

// sameServer compares two answers of started: uptime is whole seconds, and clocks
// are set right.
func sameServer(a, b time.Time) bool { return a.Sub(b).Abs() < 2*time.Second }

// sayRestarted says, once for each server, that partitions go back.
func (s *Store) sayRestarted(ctx context.Context, server time.Time) {
	s.mu.Lock()
	known := sameServer(server, s.restarted)
	s.restarted = server
	s.mu.Unlock()
	if !known {
		s.cfg.Logger.InfoContext(ctx, "ClickHouse was started anew: its last minutes are compared with the log, in case it lost power", slog.Time("started", server))
	}
}

// errRestarted breaks a session whose rows may be gone.
var errRestarted = errors.New("ClickHouse was started anew since the partition was claimed, and may have lost what was not on its disk")
