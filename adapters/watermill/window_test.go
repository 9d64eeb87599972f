package watermill

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"pgregory.net/rapid"
	"trunkline.dev/trunkline/adapters/internal/kafkago"
)

// rig is a window with a consumer that the test plays.
type rig struct {
	out      chan *message.Message
	mu       sync.Mutex
	position int64
}

// start runs a window over offsets 10, 12, 13, 14, …: a gap, as a control
// record leaves one.
func start(t *testing.T, ctx context.Context, size, records int) *rig {
	r := &rig{out: make(chan *message.Message)}
	w := newWindow(size, time.Second, r.out, func(next int64) {
		r.mu.Lock()
		defer r.mu.Unlock()
		if next <= r.position {
			t.Errorf("position moved from %d to %d", r.position, next)
		}
		r.position = next
	})
	polled := make(chan []kafkago.Record)
	go w.run(ctx, polled)
	batch := []kafkago.Record{{Message: kafka.Message{Offset: 10}}}
	for i := range records - 1 {
		batch = append(batch, kafkago.Record{Message: kafka.Message{Offset: int64(12 + i)}})
	}
	polled <- batch
	return r
}

func (r *rig) next() int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.position
}

// take receives n messages and returns them with their offsets.
func (r *rig) take(n int) (messages []*message.Message, offsets []string) {
	for range n {
		m := <-r.out
		messages = append(messages, m)
		offsets = append(offsets, m.Metadata.Get(MetaOffset)+" after "+m.Metadata.Get(MetaPrevious))
	}
	return messages, offsets
}

// idle fails if a message is on offer.
func (r *rig) idle(t *testing.T) {
	t.Helper()
	synctest.Wait()
	select {
	case m := <-r.out:
		t.Errorf("offset %s was handed out", m.Metadata.Get(MetaOffset))
	default:
	}
}

func TestWindowHandsOutSoManyInOrder(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.Context(), 3, 5)
		messages, offsets := r.take(3)
		if d := cmp.Diff([]string{"10 after -1", "12 after 10", "13 after 12"}, offsets); d != "" {
			t.Error(d)
		}
		r.idle(t)
		messages[1].Ack()
		r.idle(t)
		if r.next() != 0 {
			t.Errorf("position %d with the first message unacked", r.next())
		}
		messages[0].Ack()
		synctest.Wait()
		if r.next() != 13 {
			t.Errorf("position %d, want 13 behind the two acked", r.next())
		}
		more, offsets := r.take(2)
		if d := cmp.Diff([]string{"14 after 13", "15 after 14"}, offsets); d != "" {
			t.Error(d)
		}
		for _, m := range append(more, messages[2]) {
			m.Ack()
		}
		synctest.Wait()
		if r.next() != 16 {
			t.Errorf("position %d, want 16", r.next())
		}
	})
}

func TestWindowSendsAgainFromANack(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r := start(t, t.Context(), 4, 5)
		messages, _ := r.take(4)
		messages[2].Ack()
		messages[1].Nack()
		synctest.Wait()
		for i, ended := range []bool{false, true, true, true} {
			if got := messages[i].Context().Err() != nil; got != ended {
				t.Errorf("message %d: context ended %t, want %t", i, got, ended)
			}
		}
		// One of those behind it is still with its consumer.
		<-time.After(time.Hour)
		r.idle(t)
		nacked := time.Now()
		messages[3].Nack()
		again, offsets := r.take(3)
		if d := cmp.Diff([]string{"12 after 10", "13 after 12", "14 after 13"}, offsets); d != "" {
			t.Error(d)
		}
		if waited := time.Since(nacked); waited < time.Second {
			t.Errorf("sent again after %s, the pause is a second", waited)
		}
		messages[0].Ack()
		for _, m := range again {
			m.Ack()
		}
		last, _ := r.take(1)
		last[0].Ack()
		synctest.Wait()
		if r.next() != 16 {
			t.Errorf("position %d, want 16", r.next())
		}
	})
}

func TestWindowEndsTheContextsOfAPartitionThatIsGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r := start(t, ctx, 2, 5)
		messages, _ := r.take(2)
		cancel()
		synctest.Wait()
		for i, m := range messages {
			if m.Context().Err() == nil {
				t.Errorf("context of message %d lives on", i)
			}
			m.Ack()
		}
		synctest.Wait()
		if r.next() != 0 {
			t.Errorf("position %d after the partition was gone", r.next())
		}
	})
}

// Whatever the consumer does, every message is acked in the end, in order as
// far as its position tells, and the position is behind the last.
func TestWindowLosesNothing(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		size := rapid.IntRange(1, 6).Draw(rt, "size")
		records := rapid.IntRange(1, 20).Draw(rt, "records")
		steps := rapid.SliceOfN(rapid.IntRange(0, 3), 0, 200).Draw(rt, "steps")
		var got, last int64
		synctest.Test(t, func(t *testing.T) {
			r := start(t, t.Context(), size, records)
			var held []*message.Message
			receive := func() {
				select {
				case m := <-r.out:
					held = append(held, m)
				case <-time.After(2 * time.Second): // longer than the pause after a nack
				}
			}
			// 0 acks, 1 receives, 2 receives and nacks, 3 receives and acks one.
			for i, n := range steps {
				if n > 0 {
					receive()
				}
				if len(held) == 0 || n == 1 {
					continue
				}
				m := held[i%len(held)]
				held = append(held[:i%len(held)], held[i%len(held)+1:]...)
				if n == 2 {
					m.Nack()
					continue
				}
				m.Ack()
			}
			last = int64(11 + records)
			if records == 1 {
				last = 11
			}
			for range 1000 {
				for _, m := range held {
					m.Ack()
				}
				held = nil
				synctest.Wait()
				if r.next() == last {
					break
				}
				receive()
			}
			got = r.next()
		})
		if got != last {
			rt.Fatalf("position %d, want %d", got, last)
		}
	})
}
