package webhooks

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// maxFacts bounds the facts that wait for the log; beyond it no request is
	// started and nothing is swept.
	maxFacts = 4096
	// maxAppend bounds the facts of one append, in number and in bytes. One costs the
	// broker a flush, which takes 10 to 40 ms on a disk that others use too: at 256
	// facts the log was what bounded a burst.
	maxAppend      = 2048
	maxAppendBytes = 4 << 20
	// factLinger is how long the first fact of an append waits for others. Nobody
	// waits for a fact but the checkpoint, which has its own pace, and every
	// append costs the broker a flush and each of its readers a transaction.
	factLinger = 50 * time.Millisecond
	// cutBody is what is left of a body in a fact that the log found too large.
	cutBody = 16 << 10
)

// fact is what became of a delivery, on its way to the log.
type fact struct {
	item    *item
	id      string
	payload event.Payload
	// occurred is when it happened, recorded when we took note of it.
	occurred, recorded time.Time
	size               int
}

// event is the fact as the log has it. What it takes from the item never changes.
func (f fact) event() (event.Event, error) {
	it := f.item
	return event.New(event.Envelope{
		ID: f.id, Source: "hub", Subject: it.EndpointID, Org: it.Org,
		CorrelationID: it.CorrelationID, CausationID: it.EventID,
		OccurredAt: f.occurred, RecordedAt: f.recorded,
	}, f.payload)
}

// recorder holds the facts until the log has them. Its queue is guarded by
// Engine.mu.
type recorder struct {
	queue fifo[fact]
	// flying are being appended.
	flying int
	wake   chan struct{}
}

func (r *recorder) full() bool { return r.queue.len()+r.flying >= maxFacts }

// fact queues a fact of an item. Called under Engine.mu.
func (e *Engine) fact(it *item, p event.Payload, id string) {
	now := event.Time(e.cfg.Clock())
	e.queueFact(fact{item: it, id: id, payload: p, occurred: now, recorded: now, size: 1024 + len(it.Body)})
}

func (e *Engine) queueFact(f fact) {
	f.item.facts++
	e.recorder.queue.push(f)
	wake(e.recorder.wake)
}

// attemptFact queues the fact of an attempt. Its id holds the time of the
// attempt and the owner's epoch: one that is made again after a crash, or by a
// new owner at the same moment, is another one.
func (e *Engine) attemptFact(it *item, a delivery.Attempted) {
	id := event.DeriveID("attempted", it.Key(), strconv.Itoa(a.Number), strconv.FormatInt(a.StartedAt.UnixMicro(), 10), strconv.FormatInt(it.owner.epoch, 10))
	e.queueFact(fact{
		item: it, id: id, payload: a, occurred: a.StartedAt, recorded: event.Time(e.cfg.Clock()),
		size: 1024 + len(it.Body) + len(a.ResponseBody),
	})
}

// factID is the id of a fact that a delivery has once.
func factID(kind string, it *item) string { return event.DeriveID(kind, it.Key()) }

// heldID is the id of a hold: once for each time that the endpoint is disabled.
func heldID(it *item, l *lane) string {
	at := l.endpoint.UpdatedAt
	if l.disabledAt.After(at) {
		at = l.disabledAt
	}
	return event.DeriveID("held", it.Key(), strconv.FormatInt(at.UnixMicro(), 10))
}

// record appends facts until the engine stops and none are left. What the log
// does not take now it is given again: the ids stay the same.
func (e *Engine) record(ctx context.Context) {
	var batch []fact
	for {
		if !e.gatherFacts(ctx) {
			return
		}
		clear(batch)
		batch = e.nextFacts(batch[:0])
		e.append(ctx, batch)
		e.mu.Lock()
		e.recorder.flying = 0
		if ctx.Err() != nil {
			e.mu.Unlock()
			return
		}
		wasFull := e.recorder.queue.len()+len(batch) >= maxFacts
		for _, f := range batch {
			f.item.facts--
			if f.item.phase == done && f.item.facts == 0 && !f.item.stored {
				f.item.Body = nil
			}
		}
		if e.recorder.queue.len() == 0 {
			e.changed.broadcast()
		}
		if wasFull {
			wake(e.wakeKeeper)
			for _, l := range e.lanes {
				e.pump(l)
			}
		}
		e.mu.Unlock()
	}
}

// gatherFacts waits for facts, and then for more until there are enough for an
// append, the linger is over or the engine drains. It returns false when the
// engine has stopped and none are left.
func (e *Engine) gatherFacts(ctx context.Context) bool {
	var linger <-chan time.Time
	for {
		e.mu.Lock()
		n, hurry := e.recorder.queue.len(), e.draining
		e.mu.Unlock()
		if n >= maxAppend || n > 0 && hurry {
			return true
		}
		if n > 0 && linger == nil {
			timer := time.NewTimer(factLinger)
			defer timer.Stop()
			linger = timer.C
		}
		select {
		case <-e.recorder.wake:
		case <-linger:
			return true
		case <-ctx.Done():
			return n > 0
		}
	}
}

// nextFacts adds the facts of an append to a batch.
func (e *Engine) nextFacts(batch []fact) []fact {
	e.mu.Lock()
	defer e.mu.Unlock()
	q := &e.recorder.queue
	n, size := 0, 0
	for _, f := range q.waiting()[:min(q.len(), maxAppend)] {
		if size >= maxAppendBytes {
			break
		}
		size += f.size
		n++
	}
	batch = append(batch, q.waiting()[:n]...)
	q.drop(n)
	e.recorder.flying = n
	return batch
}

// append returns when the log has the facts, or ctx ended.
func (e *Engine) append(ctx context.Context, batch []fact) {
	events := make([]event.Event, 0, len(batch))
	for _, f := range batch {
		ev, err := f.event()
		if err != nil {
			// It would fail again for ever, and hold its delivery for ever.
			e.cfg.Logger.ErrorContext(ctx, "delivery fact lost", slog.String("event_id", f.id), slog.Any("err", err))
			continue
		}
		events = append(events, ev)
	}
	for pause := 50 * time.Millisecond; len(events) > 0; pause = min(2*pause, 2*time.Second) {
		_, err := e.cfg.Log.Append(ctx, events...)
		if err == nil || ctx.Err() != nil {
			return
		}
		if errors.Is(err, commands.ErrTooLarge) && shrink(batch, events) {
			continue
		}
		e.cfg.Logger.WarnContext(ctx, "delivery facts wait for the log", slog.Int("facts", len(events)), slog.Any("err", err))
		if !background.Rest(ctx, pause) {
			return
		}
	}
}

// shrink cuts the bodies of attempts, the delivery log's but not the receiver's
// copy. It reports whether anything could be cut.
func shrink(batch []fact, events []event.Event) bool {
	cut := false
	for i, ev := range events {
		if len(ev.Data) <= 4*cutBody {
			continue
		}
		for _, f := range batch {
			a, ok := f.payload.(delivery.Attempted)
			if !ok || f.id != ev.ID {
				continue
			}
			a.RequestBody, a.ResponseBody = cutText(a.RequestBody), cutText(a.ResponseBody)
			f.payload = a
			if smaller, err := f.event(); err == nil && len(smaller.Data) < len(ev.Data) {
				events[i], cut = smaller, true
			}
		}
	}
	return cut
}

func cutText(s string) string {
	if len(s) <= cutBody {
		return s
	}
	// A rune that is cut apart would be replaced, which is as good.
	return s[:cutBody] + delivery.CutMark
}

// wake tells a loop that there is something to do, without ever waiting.
func wake(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
