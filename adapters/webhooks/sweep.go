package webhooks

import (
	"context"
	"time"

	"trunkline.dev/trunkline/commands/dispatch"
	"trunkline.dev/trunkline/domain/delivery"
)

// sweepAll gives rows the status that fits their lane, a page at a time.
func (e *Engine) sweepAll(ctx context.Context) bool {
	e.mu.Lock()
	var streams []*stream
	for _, o := range e.owners {
		for _, s := range o.streams {
			if s.sweep && !o.stopping {
				streams = append(streams, s)
			}
		}
	}
	e.mu.Unlock()
	for _, s := range streams {
		if err := e.sweep(ctx, s); err != nil {
			e.put(ctx, "sweeping held deliveries is put off", err)
			return false
		}
	}
	return true
}

// unknownPatience is how long the directory may take to tell of an endpoint. What
// is owed to one that it never tells of is dropped: the endpoint was deleted.
const unknownPatience = 30 * time.Second

func (e *Engine) sweep(ctx context.Context, s *stream) error {
	e.mu.Lock()
	if e.recorder.full() {
		// Each row makes a fact and stays in memory until the log has it. The recorder
		// wakes the keeper when there is room.
		e.mu.Unlock()
		return nil
	}
	if since := s.lane.unknownSince; s.lane.gone && !since.IsZero() && e.cfg.Clock().Sub(since) < unknownPatience {
		e.mu.Unlock()
		return nil
	}
	s.sweep = false
	wrong := []delivery.Status{delivery.Pending}
	switch {
	case s.lane.gone:
		wrong = append(wrong, delivery.IsHeld)
	case s.lane.open:
		wrong[0] = delivery.IsHeld
	}
	q := dispatch.PageQuery{Partition: s.owner.part, EndpointID: s.lane.endpoint.ID, Limit: pageRows, Exclude: inHand(s)}
	open, gone := s.lane.open, s.lane.gone
	e.mu.Unlock()
	more := false
	for _, status := range wrong {
		q.Status = status
		rows, err := e.cfg.Store.Page(ctx, q)
		if err != nil {
			e.mu.Lock()
			s.sweep = true
			e.mu.Unlock()
			return err
		}
		more = more || len(rows) == pageRows
		e.mu.Lock()
		if s.lane.open == open && s.lane.gone == gone && !s.owner.stopping {
			e.sweepRows(s, rows)
		} else {
			more = true
		}
		e.mu.Unlock()
	}
	e.mu.Lock()
	s.sweep = s.sweep || more
	e.mu.Unlock()
	return nil
}

func (e *Engine) sweepRows(s *stream, rows []dispatch.Owed) {
	for _, row := range rows {
		if s.items[row.Key()] != nil {
			continue
		}
		it := s.adopt(row)
		if !s.lane.open {
			e.holdOrDrop(it)
			continue
		}
		s.expect(it)
		it.phase, it.Status, it.LastError = parked, delivery.Pending, ""
		it.NextAttemptAt = e.cfg.Clock()
		e.touch(it)
	}
	if len(rows) > 0 {
		e.commitSoon()
	}
}

// expect counts an item among what waits in the store, as if it had never been
// adopted: until its row is loaded, or it is forgotten after all, what follows in its
// key must wait behind it.
func (s *stream) expect(it *item) {
	s.rows++
	if !s.direct {
		return // the store knows the order
	}
	k := s.keys[it.OrderKey]
	if k == nil {
		k = &key{}
		s.keys[it.OrderKey] = k
	}
	k.parked++
}
