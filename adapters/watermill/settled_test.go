package watermill_test

import (
	"context"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/watermill"
)

// book knows which messages' Publish has returned.
//
// TestReconnect compares what it has received with what Publish has returned
// for, at the moment at which it has received all. After a lost answer a message
// is received while its Publish still tries again, and then the comparison is
// wrong and not the Pub/Sub. So the suite gets such a message a moment later.
type book struct {
	mu   sync.Mutex
	done map[string]chan struct{}
}

func newBook() *book { return &book{done: make(map[string]chan struct{})} }

func (b *book) entry(uuid string) chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.done[uuid]
	if c == nil {
		c = make(chan struct{})
		b.done[uuid] = c
	}
	return c
}

func (b *book) published(messages []*message.Message) {
	for _, m := range messages {
		c := b.entry(m.UUID)
		b.mu.Lock()
		select {
		case <-c:
		default:
			close(c)
		}
		b.mu.Unlock()
	}
}

// bookkeeping is the moment that the suite takes to note what was published.
const bookkeeping = 100 * time.Millisecond

// await waits until a message's Publish has returned.
func (b *book) await(m *message.Message) {
	c := b.entry(m.UUID)
	select {
	case <-c:
		return
	default:
	}
	select {
	case <-c:
		<-time.After(bookkeeping)
	case <-m.Context().Done():
	}
}

type settledPublisher struct {
	*watermill.Publisher
	book *book
}

func (p settledPublisher) Publish(topic string, messages ...*message.Message) error {
	err := p.Publisher.Publish(topic, messages...)
	if err == nil {
		p.book.published(messages)
	}
	return err
}

type settledSubscriber struct {
	*watermill.Subscriber
	book *book
}

func (s settledSubscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	in, err := s.Subscriber.Subscribe(ctx, topic)
	if err != nil {
		return nil, err
	}
	out := make(chan *message.Message)
	go func() {
		defer close(out)
		for m := range in {
			s.book.await(m)
			select {
			case out <- m:
			case <-m.Context().Done():
			}
		}
	}()
	return out, nil
}
