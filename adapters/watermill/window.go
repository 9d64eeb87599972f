package watermill

import (
	"context"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
)

// window hands out the messages of one partition in order, a bounded number of
// them at a time, and moves the position behind the acked ones that have no
// other before them.
type window struct {
	size  int
	pause time.Duration
	out   chan<- *message.Message
	acked func(next int64)

	waiting  []record  // to be handed out, in order
	inFlight []*flight // handed out, in order; the first is not acked
	previous int64     // offset of the last record that came, -1 at first
	settled  chan *flight
	// rewinding is true from a nack until the message goes back to waiting.
	rewinding bool
	resume    time.Time // no message goes out before
}

type record struct {
	kafkago.Record
	previous int64
}

// flight is a message that was handed out.
type flight struct {
	record  record
	message *message.Message
	cancel  context.CancelFunc
	acked   bool
	done    bool // acked or nacked
}

func newWindow(size int, pause time.Duration, out chan<- *message.Message, acked func(int64)) *window {
	return &window{size: size, pause: pause, out: out, acked: acked, previous: -1, settled: make(chan *flight, size)}
}

// run hands out what comes until ctx ends.
func (w *window) run(ctx context.Context, polled <-chan []kafkago.Record) {
	defer w.close()
	var next *flight // the first of waiting, once it is a message
	for {
		more := polled
		if len(w.waiting) > 0 {
			more = nil
			if next == nil {
				next = w.prepare(ctx)
			}
		}
		var out chan<- *message.Message
		var offered *message.Message
		var timer <-chan time.Time
		if next != nil && !w.rewinding && len(w.inFlight) < w.size {
			if wait := time.Until(w.resume); wait > 0 {
				timer = time.After(wait)
			} else {
				out, offered = w.out, next.message
			}
		}
		select {
		case <-ctx.Done():
			if next != nil {
				next.cancel()
			}
			return
		case records := <-more:
			for _, k := range records {
				w.waiting = append(w.waiting, record{Record: k, previous: w.previous})
				w.previous = k.Offset
			}
		case out <- offered:
			w.waiting = w.waiting[1:]
			w.inFlight = append(w.inFlight, next)
			w.watch(ctx, next)
			next = nil
		case f := <-w.settled:
			if w.settle(f) && next != nil {
				next.cancel()
				next = nil // others go out before it
			}
		case <-timer:
		}
	}
}

func (w *window) prepare(ctx context.Context) *flight {
	r := w.waiting[0]
	ctx, cancel := context.WithCancel(ctx)
	m := fromKafka(r.Message, r.Event, r.previous)
	m.SetContext(withEvent(ctx, r.Event))
	return &flight{record: r, message: m, cancel: cancel}
}

// watch reports what becomes of a message. It ends with the message's context
// at the latest.
func (w *window) watch(ctx context.Context, f *flight) {
	go func() {
		select {
		case <-f.message.Acked():
			f.acked = true
		case <-f.message.Nacked():
		case <-ctx.Done():
			return
		}
		f.cancel()
		w.settled <- f // has room for all that are in flight
	}()
}

// settle takes note of an ack or nack; it reports whether messages went back to
// waiting.
func (w *window) settle(f *flight) bool {
	f.done = true
	if !f.acked {
		w.rewinding = true
		w.abandonBehind(f)
	}
	for len(w.inFlight) > 0 && w.inFlight[0].done && w.inFlight[0].acked {
		w.acked(w.inFlight[0].record.Offset + 1)
		w.inFlight = w.inFlight[1:]
	}
	return w.rewinding && w.rewind()
}

// abandonBehind ends the contexts of the messages behind a nacked one: they will
// go out again behind it.
func (w *window) abandonBehind(nacked *flight) {
	behind := false
	for _, f := range w.inFlight {
		if behind {
			f.cancel()
		}
		behind = behind || f == nacked
	}
}

// rewind puts the first nacked message and all behind it back, once none of
// them is with a consumer any more: two copies of one message are never out at
// once.
func (w *window) rewind() bool {
	first := -1
	for i, f := range w.inFlight {
		if first < 0 && f.done && !f.acked {
			first = i
		}
		if first >= 0 && !f.done {
			return false
		}
	}
	back := make([]record, 0, len(w.inFlight)-first+len(w.waiting))
	for _, f := range w.inFlight[first:] {
		back = append(back, f.record)
	}
	w.waiting = append(back, w.waiting...)
	w.inFlight = w.inFlight[:first]
	w.rewinding = false
	w.resume = time.Now().Add(w.pause)
	return true
}

// close ends the contexts of what is in flight.
func (w *window) close() {
	for _, f := range w.inFlight {
		f.cancel()
	}
}
