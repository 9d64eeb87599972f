package reactor

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// Horizon tells up to which moment a reactor has looked at everything that was in
// the log, so that what is due by then may be done: whatever would have undone it
// has been seen. It is used by one goroutine at a time.
type Horizon struct {
	pool  *pgxpool.Pool
	ends  projections.Ends
	name  string
	topic event.Topic
	marks map[int]mark
}

// mark says that a partition of the log ended before end at the time at.
type mark struct {
	at  time.Time
	end int64
}

// NewHorizon makes the horizon of a reactor for a topic.
func NewHorizon(pool *pgxpool.Pool, ends projections.Ends, name string, topic event.Topic) *Horizon {
	return &Horizon{pool: pool, ends: ends, name: name, topic: topic, marks: make(map[int]mark)}
}

// Look returns, for each partition that has come that far, up to which time all
// was seen. The end of the log is remembered until the checkpoint has reached it:
// a busy partition always ends a little behind its checkpoint's next look.
func (h *Horizon) Look(ctx context.Context, now time.Time) (map[int]time.Time, error) {
	ends, err := h.ends.Ends(ctx, h.topic)
	if err != nil {
		return nil, fmt.Errorf("asking where the log ends: %w", err)
	}
	have, err := Checkpoints(ctx, h.pool, h.name, h.topic)
	if err != nil {
		return nil, err
	}
	until := make(map[int]time.Time)
	for p, end := range ends[h.topic] {
		m, marked := h.marks[p]
		reached := marked && have[p] >= m.end
		if reached {
			until[p] = m.at
		}
		if have[p] >= end {
			until[p] = now
		}
		if !marked || reached {
			h.marks[p] = mark{at: now, end: end}
		}
	}
	return until, nil
}

// Columns are the partitions and times of a look, as the arrays of a statement.
func Columns(until map[int]time.Time) (partitions []int, times []time.Time) {
	for p, t := range until {
		partitions, times = append(partitions, p), append(times, t)
	}
	return partitions, times
}
