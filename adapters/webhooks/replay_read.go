package webhooks

import (
	"context"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

const (
	// readAtOnce bounds the partitions that are read at the same moment.
	readAtOnce = 8
	// readBudget bounds the records that one take looks at: what a scope leaves
	// out is skipped, and must not keep a step from being written down.
	readBudget = 20_000
)

// pastLane is one partition on its way into a replay.
type pastLane struct {
	dispatch.ReplayPart
	// end is where reading stops for now.
	end int64
	// events were read and not taken yet; read is where reading goes on.
	events []event.Recorded
	read   int64
}

// at is where the lane stands: before the first event that was not taken.
func (l *pastLane) at() int64 {
	if len(l.events) > 0 {
		return l.events[0].Position.Offset
	}
	return l.read
}

// pastReader merges partitions by the time at which their events were recorded;
// each keeps its own order. It holds one piece of each partition.
type pastReader struct {
	past  Past
	lanes []*pastLane
}

func newPastReader(past Past, parts []dispatch.ReplayPart) *pastReader {
	r := &pastReader{past: past}
	for _, p := range parts {
		if p.State == dispatch.PartReading || p.State == dispatch.PartReady {
			r.lanes = append(r.lanes, &pastLane{ReplayPart: p, end: p.End, read: p.Next})
		}
	}
	return r
}

// take returns up to n events that are covered, the earliest first.
func (r *pastReader) take(ctx context.Context, n int, covers func(event.Recorded) bool) ([]event.Recorded, error) {
	var taken []event.Recorded
	for budget := readBudget; len(taken) < n; {
		var empty []*pastLane
		var first *pastLane
		for _, l := range r.lanes {
			for len(l.events) > 0 && !covers(l.events[0]) {
				l.events = l.events[1:]
				budget--
			}
			switch {
			case len(l.events) == 0 && l.read < l.end:
				empty = append(empty, l)
			case len(l.events) > 0 && (first == nil || l.events[0].RecordedAt.Before(first.events[0].RecordedAt)):
				first = l
			}
		}
		switch {
		case len(empty) > 0 && budget <= 0:
			return taken, nil
		case len(empty) > 0:
			// Which event comes next is known once every lane shows its first.
			if err := r.fill(ctx, empty); err != nil {
				return nil, err
			}
		case first == nil:
			return taken, nil
		default:
			taken = append(taken, first.events[0])
			first.events = first.events[1:]
		}
	}
	return taken, nil
}

func (r *pastReader) fill(ctx context.Context, lanes []*pastLane) error {
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(readAtOnce)
	for _, l := range lanes {
		g.Go(func() (err error) {
			l.events, l.read, err = r.past.Read(ctx, l.Partition, l.read, l.end)
			return err
		})
	}
	return g.Wait()
}

// exhausted reports whether nothing is left up to the ends.
func (r *pastReader) exhausted() bool {
	for _, l := range r.lanes {
		if l.at() < l.end {
			return false
		}
	}
	return true
}

// moves are what has changed since the last step, with the state of each part
// where it stands now.
func (r *pastReader) moves(state func(*pastLane) dispatch.PartState) []dispatch.Move {
	var moves []dispatch.Move
	for _, l := range r.lanes {
		if to, s := l.at(), state(l); to != l.Next || s != l.State {
			moves = append(moves, dispatch.Move{Partition: l.Partition, From: l.Next, To: to, State: s})
		}
	}
	return moves
}

// moved notes that the moves are durable.
func (r *pastReader) moved(moves []dispatch.Move) {
	at := make(map[dispatch.Partition]dispatch.Move, len(moves))
	for _, m := range moves {
		at[m.Partition] = m
	}
	kept := r.lanes[:0]
	for _, l := range r.lanes {
		if m, ok := at[l.Partition]; ok {
			l.Next, l.State = m.To, m.State
		}
		if l.State != dispatch.PartDone {
			kept = append(kept, l)
		}
	}
	clear(r.lanes[len(kept):])
	r.lanes = kept
}

// The log keeps the time at which a record was appended, a little after its event
// was recorded: by the broker's clock it may look earlier, and after an outage it
// may be much later.
const (
	clockSkew    = time.Minute
	appendedLate = time.Hour
)

// partsOf are the partitions that can hold events that were recorded in a time,
// as of now. Without an end they stay open.
func partsOf(ctx context.Context, past Past, ends projections.Ends, from, until time.Time, topics ...event.Topic) ([]dispatch.ReplayPart, error) {
	begin, err := past.At(ctx, from.Add(-clockSkew), topics...)
	if err != nil {
		return nil, err
	}
	now, err := ends.Ends(ctx, topics...)
	if err != nil {
		return nil, err
	}
	last := now
	if !until.IsZero() {
		if last, err = past.At(ctx, until.Add(appendedLate), topics...); err != nil {
			return nil, err
		}
	}
	var parts []dispatch.ReplayPart
	for _, t := range topics {
		for id, end := range now[t] {
			if stop, ok := last[t][id]; ok {
				end = min(end, stop)
			}
			p := dispatch.ReplayPart{Partition: dispatch.Partition{Topic: t, ID: id}, State: dispatch.PartReading, Next: begin[t][id], End: end}
			p.Next = min(p.Next, max(end, 0))
			p.Begin = p.Next
			switch {
			case until.IsZero():
				p.End = dispatch.Open
			case p.Next >= p.End:
				p.State = dispatch.PartDone
			}
			parts = append(parts, p)
		}
	}
	return parts, nil
}

// partsOfScope are those that a replay of a scope has to read.
func (e *Engine) partsOfScope(ctx context.Context, r dispatch.Replay) ([]dispatch.ReplayPart, error) {
	parts, err := partsOf(ctx, e.cfg.Past, e.cfg.Ends, r.From, r.Until, r.Topics()...)
	if err != nil || r.Entity == "" {
		return parts, err
	}
	count := make(map[event.Topic]int)
	for _, p := range parts {
		count[p.Topic]++
	}
	return slices.DeleteFunc(parts, func(p dispatch.ReplayPart) bool {
		return p.ID != e.cfg.Past.PartitionOf(r.Org, r.Entity, count[p.Topic])
	}), nil
}
