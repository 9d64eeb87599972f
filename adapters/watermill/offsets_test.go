package watermill_test

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/google/go-cmp/cmp"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/watermill"
	"trunkline.dev/trunkline/domain/event"
)

const patience = time.Minute

// checkpoints is an Offsets store that keeps count.
type checkpoints struct {
	t       *testing.T
	mu      sync.Mutex
	next    map[int]int64
	claimed map[int]int
	changed chan struct{}
	// lost is closed when the claim that is made next does not hold any more.
	lost chan struct{}
}

func (c *checkpoints) Lost(string, int) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lost
}

func (c *checkpoints) Claim(_ context.Context, _ string, partition int) (int64, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.claimed[partition]++; c.claimed[partition] > 1 {
		c.t.Errorf("partition %d is claimed while somebody has it", partition)
	}
	return c.next[partition], nil
}

func (c *checkpoints) Release(_ string, partition int) {
	c.mu.Lock()
	c.claimed[partition]--
	c.mu.Unlock()
	c.changed <- struct{}{}
}

func (c *checkpoints) moved(partition int, next int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next[partition] = next
}

// facts publishes n events of one call and returns them.
func facts(t *testing.T, addr string, transport *kafka.Transport, n int) []event.Event {
	t.Helper()
	pub, err := watermill.NewPublisher(watermill.PublisherConfig{
		Brokers: []string{addr}, Transport: transport,
		Key: func(_ string, m *message.Message) []byte { return []byte(m.Metadata.Get("key")) },
	})
	if err != nil {
		t.Fatal(err)
	}
	defer pub.Close()
	var events []event.Event
	var messages []*message.Message
	for i := range n {
		at := time.Date(2026, 11, 22, 9, 0, i, 1000, time.UTC)
		e := event.Event{
			Envelope: event.Envelope{
				ID: fmt.Sprintf("e-%d", i), Type: "call.note_added.v1", Source: "api", Subject: "c-1", Org: "o-1",
				OccurredAt: at, RecordedAt: at,
			},
			Data: fmt.Appendf(nil, `{"n":%d}`, i),
		}
		m := message.NewMessage("", message.Payload(e.Data))
		m.Metadata.Set("key", event.Key(e.Org, e.Subject))
		for _, h := range event.Headers(e.Envelope) {
			m.Metadata.Set(h.Name, h.Value)
		}
		events, messages = append(events, e), append(messages, m)
	}
	if err := pub.Publish(string(event.Calls), messages...); err != nil {
		t.Fatal(err)
	}
	return events
}

func receive(t *testing.T, ctx context.Context, messages <-chan *message.Message) *message.Message {
	t.Helper()
	select {
	case m, ok := <-messages:
		if !ok {
			t.Fatal("the channel was closed")
		}
		return m
	case <-ctx.Done():
		t.Fatal("no message came")
	}
	return nil
}

// claims is a topic with facts of one call, and subscribers of a group whose
// checkpoints we keep.
type claims struct {
	t         *testing.T
	addr      string
	transport *kafka.Transport
	store     *checkpoints
}

func newClaims(t *testing.T) *claims {
	t.Helper()
	store := &checkpoints{t: t, next: make(map[int]int64), claimed: make(map[int]int), changed: make(chan struct{}, 100)}
	return &claims{t: t, addr: testenv.Kafka(t), transport: newTransport(t), store: store}
}

func (c *claims) subscriber() *watermill.Subscriber {
	c.t.Helper()
	s, err := watermill.NewSubscriber(watermill.SubscriberConfig{
		Brokers: []string{c.addr}, Transport: c.transport, Group: "webhooks", Offsets: c.store, InFlight: 3, Partitions: 1,
		SessionTimeout: 6 * time.Second, Heartbeat: 100 * time.Millisecond, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Cleanup(func() { _ = s.Close() })
	return s
}

// begin makes the topic and its facts, and the first subscriber.
func (c *claims) begin() (*watermill.Subscriber, []event.Event) {
	c.t.Helper()
	s := c.subscriber()
	if err := s.SubscribeInitialize(string(event.Calls)); err != nil {
		c.t.Fatal(err)
	}
	return s, facts(c.t, c.addr, c.transport, 10)
}

// TestSubscriberClaimsAgainWhatItLost: a claim that does not hold any more is given
// back and made anew, and reading goes on where the new one says.
func TestSubscriberClaimsAgainWhatItLost(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := newClaims(t)
	store, lost := c.store, make(chan struct{})
	store.lost = lost
	s, _ := c.begin()
	messages, err := s.Subscribe(ctx, string(event.Calls))
	if err != nil {
		t.Fatal(err)
	}
	first := receive(t, ctx, messages)
	first.Ack()
	store.mu.Lock()
	store.next[0], store.lost = 7, nil
	store.mu.Unlock()
	close(lost)
	<-store.changed // given back
	for {
		m := receive(t, ctx, messages)
		got, err := watermill.Recorded(m)
		if err != nil {
			t.Fatal(err)
		}
		if got.Position.Offset < 7 {
			m.Ack() // it was on its way when the claim was lost
			continue
		}
		if got.Position.Offset != 7 {
			t.Errorf("reading went on at %d", got.Position.Offset)
		}
		return
	}
}

func TestSubscriberStartsAtOurCheckpoint(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c := newClaims(t)
	store := c.store
	first, events := c.begin()
	store.moved(0, 4)

	messages, err := first.Subscribe(ctx, string(event.Calls))
	if err != nil {
		t.Fatal(err)
	}
	var held []*message.Message
	for i := range 3 {
		m := receive(t, ctx, messages)
		held = append(held, m)
		got, err := watermill.Recorded(m)
		if err != nil {
			t.Fatal(err)
		}
		want := event.Recorded{Event: events[4+i], Position: event.Position{Topic: event.Calls, Offset: int64(4 + i)}}
		if d := cmp.Diff(want, got); d != "" {
			t.Error(d)
		}
	}
	// Acks make room; the checkpoint stays where its owner puts it.
	held[0].Ack()
	held = append(held, receive(t, ctx, messages))

	// Another subscriber takes over: what is in flight here ends there.
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	<-store.changed
	for i, m := range held {
		if m.Context().Err() == nil {
			t.Errorf("context of message %d outlives its partition", i)
		}
	}
	store.moved(0, 5)
	messages, err = c.subscriber().Subscribe(ctx, string(event.Calls))
	if err != nil {
		t.Fatal(err)
	}
	m := receive(t, ctx, messages)
	if got, err := watermill.Recorded(m); err != nil || got.Position.Offset != 5 || m.Metadata.Get(watermill.MetaPrevious) != "-1" {
		t.Errorf("went on from %v after %s, %v; want offset 5 after -1", got.Position, m.Metadata.Get(watermill.MetaPrevious), err)
	}
}

func TestRecordedOfAForeignMessage(t *testing.T) {
	t.Parallel()
	m := message.NewMessage("id", []byte("{}"))
	if _, err := watermill.Recorded(m); err == nil {
		t.Error("a message without a position was read")
	}
	m.Metadata.Set(watermill.MetaTopic, string(event.Calls))
	m.Metadata.Set(watermill.MetaPartition, "2")
	m.Metadata.Set(watermill.MetaOffset, "7")
	got, err := watermill.Recorded(m)
	if err != nil || got.Fault == nil || got.Position != (event.Position{Topic: event.Calls, Partition: 2, Offset: 7}) {
		t.Errorf("got %v, %v; want a fault at calls/2@7", got, err)
	}
}
