package watermill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
)

// ErrClosed says that a Publisher or Subscriber has been closed.
var ErrClosed = errors.New("closed")

// Publisher implements message.Publisher. It is safe for concurrent use.
// Messages of one Publish keep their order on a partition; two Publishes at
// once have none between them. Facts are appended by commands.Log, which
// promises more.
type Publisher struct {
	cfg       PublisherConfig
	transport transport
	writer    *kafka.Writer
	closing   chan struct{}
	mu        sync.RWMutex // held for reading while publishing
	once      sync.Once
}

var _ message.Publisher = (*Publisher)(nil)

// NewPublisher makes a publisher; it connects when it is used.
func NewPublisher(cfg PublisherConfig) (*Publisher, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	cfg.Linger = cmp.Or(cfg.Linger, time.Millisecond)
	cfg.RetryFor = cmp.Or(cfg.RetryFor, 45*time.Second)
	t := newTransport(cfg.Brokers, cfg.Transport)
	return &Publisher{cfg: cfg, transport: t, closing: make(chan struct{}), writer: &kafka.Writer{
		Addr:      kafka.TCP(cfg.Brokers...),
		Transport: t.Transport,
		// The zero values of a Writer acknowledge nothing, keep no order by key
		// and wait a second.
		RequiredAcks:    kafka.RequireAll,
		Balancer:        kafka.Murmur2Balancer{Consistent: true},
		BatchTimeout:    cfg.Linger,
		BatchSize:       1000,
		BatchBytes:      1_000_000,
		MaxAttempts:     10,
		WriteBackoffMin: 20 * time.Millisecond,
		WriteBackoffMax: 500 * time.Millisecond,
	}}, nil
}

// Publish returns once all messages are on all replicas in sync. When it fails,
// some may be.
func (p *Publisher) Publish(topic string, messages ...*message.Message) error {
	p.mu.RLock()
	defer p.mu.RUnlock()
	select {
	case <-p.closing:
		return fmt.Errorf("publishing to %s: %w", topic, ErrClosed)
	default:
	}
	if len(messages) == 0 {
		return nil
	}
	left := make([]kafka.Message, len(messages))
	for i, m := range messages {
		var key []byte
		if p.cfg.Key != nil {
			key = p.cfg.Key(topic, m)
		}
		left[i] = toKafka(topic, m, key)
	}
	ctx, cancel := p.context(messages[0].Context())
	defer cancel()
	b := kafkago.NewBackoff(20*time.Millisecond, 500*time.Millisecond)
	for {
		err := p.writer.WriteMessages(ctx, left...)
		if err == nil {
			return nil
		}
		failed, permanent := unwritten(left, err)
		if left = failed; len(left) == 0 {
			return nil
		}
		if permanent || !b.Wait(ctx) {
			return fmt.Errorf("publishing to %s: %w", topic, err)
		}
	}
}

// context ends after RetryFor, and when the publisher closes: a dead broker must
// not hold up a stop. Of the message's context it keeps the values only, because
// Watermill's router ends that before it closes its publishers.
func (p *Publisher) context(values context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(values), p.cfg.RetryFor)
	stop := make(chan struct{})
	go func() {
		select {
		case <-p.closing:
			cancel()
		case <-stop:
		}
	}()
	return ctx, func() { close(stop); cancel() }
}

// unwritten returns the messages that an error of the Writer is about, in their
// order, and whether sending them again is hopeless.
func unwritten(sent []kafka.Message, err error) (left []kafka.Message, permanent bool) {
	var each kafka.WriteErrors
	if !errors.As(err, &each) || len(each) != len(sent) {
		var tooLarge kafka.MessageTooLargeError
		return sent, errors.As(err, &tooLarge) || kafkago.Permanent(err)
	}
	for i, e := range each {
		if e == nil {
			continue
		}
		permanent = permanent || kafkago.Permanent(e)
		m := sent[i]
		left = append(left, kafka.Message{Topic: m.Topic, Key: m.Key, Value: m.Value, Headers: m.Headers})
	}
	return left, permanent
}

// Close gives up what is being retried and returns when no Publish is left.
func (p *Publisher) Close() error {
	var err error
	p.once.Do(func() {
		close(p.closing)
		p.mu.Lock()
		defer p.mu.Unlock()
		err = p.writer.Close()
		p.transport.close()
	})
	return err
}
