package watermill

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
)

// initPatience bounds how long a new topic may take to get its leaders.
const initPatience = 30 * time.Second

// Subscriber implements message.Subscriber and message.SubscribeInitializer. It
// is safe for concurrent use.
type Subscriber struct {
	cfg       SubscriberConfig
	transport transport

	mu      sync.Mutex
	closed  bool
	cancels map[*context.CancelFunc]struct{}
	running sync.WaitGroup
}

var (
	_ message.Subscriber           = (*Subscriber)(nil)
	_ message.SubscribeInitializer = (*Subscriber)(nil)
)

// NewSubscriber makes a subscriber; it connects when it is used.
func NewSubscriber(cfg SubscriberConfig) (*Subscriber, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Subscriber{
		cfg: cfg.withDefaults(), transport: newTransport(cfg.Brokers, cfg.Transport),
		cancels: make(map[*context.CancelFunc]struct{}),
	}, nil
}

// SubscribeInitialize creates a topic, if it does not exist, and waits for its
// leaders. The topics of the log are created by the Kafka adapter, with
// settings that this would not give them.
func (s *Subscriber) SubscribeInitialize(topic string) error {
	ctx, cancel := context.WithTimeout(context.Background(), initPatience)
	defer cancel()
	b := kafkago.NewBackoff(20*time.Millisecond, time.Second)
	for {
		err := s.create(ctx, topic)
		if err == nil {
			err = s.leaders(ctx, topic)
		}
		if err == nil {
			return nil
		}
		if kafkago.Permanent(err) || !b.Wait(ctx) {
			return fmt.Errorf("creating topic %s: %w", topic, err)
		}
	}
}

func (s *Subscriber) create(ctx context.Context, topic string) error {
	if s.leaders(ctx, topic) == nil {
		return nil
	}
	resp, err := s.transport.Client(initPatience).CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{
		Topic: topic, NumPartitions: s.cfg.Partitions, ReplicationFactor: s.cfg.ReplicationFactor,
	}}})
	if err != nil {
		return err
	}
	if err := resp.Errors[topic]; err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
		return err
	}
	return nil
}

func (s *Subscriber) leaders(ctx context.Context, topic string) error {
	_, err := s.partitions(ctx, topic)
	return err
}

// partitions returns a topic's partitions once all have a leader.
func (s *Subscriber) partitions(ctx context.Context, topic string) ([]kafka.Partition, error) {
	meta, err := s.transport.Client(initPatience).Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	if err != nil {
		return nil, err
	}
	for _, t := range meta.Topics {
		if t.Error != nil {
			return nil, t.Error
		}
		for _, p := range t.Partitions {
			if p.Error != nil || p.Leader.Port == 0 {
				return nil, fmt.Errorf("partition %d: %w", p.ID, kafka.LeaderNotAvailable)
			}
		}
		if len(t.Partitions) > 0 {
			return t.Partitions, nil
		}
	}
	return nil, kafka.UnknownTopicOrPartition
}

// Subscribe returns a channel of a topic's messages, which ends with ctx and
// with Close. The context of a message ends when it is acked or nacked, and when
// its partition is taken away: then its ack is heeded no more.
func (s *Subscriber) Subscribe(ctx context.Context, topic string) (<-chan *message.Message, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, fmt.Errorf("subscribing to %s: %w", topic, ErrClosed)
	}
	ctx, cancel := context.WithCancel(ctx)
	s.cancels[&cancel] = struct{}{}
	out := make(chan *message.Message)
	s.running.Go(func() {
		defer close(out)
		defer func() {
			s.mu.Lock()
			delete(s.cancels, &cancel)
			s.mu.Unlock()
			cancel()
		}()
		if s.cfg.Group == "" {
			s.readAll(ctx, topic, out)
			return
		}
		s.readAssigned(ctx, topic, out)
	})
	return out, nil
}

// Close ends every subscription and returns when their channels are closed.
func (s *Subscriber) Close() error {
	s.mu.Lock()
	s.closed = true
	for cancel := range s.cancels {
		(*cancel)()
	}
	s.mu.Unlock()
	s.running.Wait()
	s.transport.close()
	return nil
}

// readAll reads every partition from its start.
func (s *Subscriber) readAll(ctx context.Context, topic string, out chan<- *message.Message) {
	b := kafkago.NewBackoff(20*time.Millisecond, time.Second)
	partitions, err := s.partitions(ctx, topic)
	for err != nil {
		if !b.Wait(ctx) {
			return
		}
		partitions, err = s.partitions(ctx, topic)
	}
	var wg sync.WaitGroup
	for _, p := range partitions {
		wg.Go(func() {
			s.deliver(ctx, topic, p.ID, kafka.FirstOffset, out, func(int64) {})
		})
	}
	wg.Wait()
}

// readAssigned reads the partitions that the group gives us.
func (s *Subscriber) readAssigned(ctx context.Context, topic string, out chan<- *message.Message) {
	err := kafkago.Join(ctx, s.transport.Broker, s.cfg.group(topic), func(ctx context.Context, a kafkago.Assignment) {
		if s.cfg.Offsets == nil {
			s.deliver(ctx, topic, a.Partition, a.Committed, out, a.Commit)
			return
		}
		s.hold(ctx, topic, a.Partition, out)
	})
	if err != nil {
		s.cfg.Logger.Error("subscribing failed", slog.Any("topic", topic), slog.String("group", s.cfg.Group), slog.Any("err", err))
	}
}

// hold reads a partition by claims of it, one after the other if they do not hold,
// until ctx ends.
func (s *Subscriber) hold(ctx context.Context, topic string, partition int, out chan<- *message.Message) {
	b := kafkago.NewBackoff(100*time.Millisecond, 5*time.Second)
	for {
		claimed := time.Now()
		next, ok := s.claim(ctx, topic, partition)
		if !ok {
			return
		}
		reading, stop := context.WithCancel(ctx)
		watch := s.cfg.Offsets.Lost(topic, partition)
		go func() {
			select {
			case <-watch:
				stop()
			case <-reading.Done():
			}
		}()
		s.deliver(reading, topic, partition, next, out, func(int64) {})
		stop()
		s.cfg.Offsets.Release(topic, partition)
		if ctx.Err() != nil {
			return
		}
		s.cfg.Logger.Warn("a claim did not hold, claiming again", slog.Any("topic", topic), slog.Int("partition", partition), slog.String("group", s.cfg.Group))
		if time.Since(claimed) > time.Minute {
			b.Reset()
		}
		if !b.Wait(ctx) {
			return
		}
	}
}

func (s *Subscriber) claim(ctx context.Context, topic string, partition int) (next int64, ok bool) {
	b := kafkago.NewBackoff(100*time.Millisecond, 5*time.Second)
	for {
		next, err := s.cfg.Offsets.Claim(ctx, topic, partition)
		if ctx.Err() != nil {
			if err == nil {
				s.cfg.Offsets.Release(topic, partition)
			}
			return 0, false
		}
		if err == nil {
			return next, true
		}
		s.cfg.Logger.Warn("claiming a partition failed, trying again", slog.Any("topic", topic), slog.Int("partition", partition), slog.String("group", s.cfg.Group), slog.Any("err", err))
		if !b.Wait(ctx) {
			return 0, false
		}
	}
}

// deliver reads a partition and hands its messages out until ctx ends.
func (s *Subscriber) deliver(ctx context.Context, topic string, partition int, from int64, out chan<- *message.Message, acked func(next int64)) {
	fetch := kafkago.FetchConfig{MaxWait: s.cfg.MaxWait, MaxBytes: s.cfg.FetchBytes}
	ask := func(ctx context.Context, offset int64) (kafkago.Fetched[kafkago.Record], error) {
		if s.cfg.Shared != nil {
			return s.cfg.Shared.Fetch(ctx, topic, partition, offset, fetch)
		}
		return kafkago.Fetch(ctx, s.transport.Broker, topic, partition, offset, fetch, func(m kafka.Message) kafkago.Record {
			m.Headers = slices.Clone(m.Headers)
			return kafkago.Record{Message: m}
		})
	}
	poller := kafkago.NewPoller(ask, kafkago.PollConfig{StallAfter: s.cfg.StallAfter, Logger: s.cfg.Logger}, topic, partition, from)
	polled := make(chan []kafkago.Record)
	var polling sync.WaitGroup
	defer polling.Wait()
	polling.Go(func() { s.poll(ctx, poller, polled) })
	newWindow(s.cfg.InFlight, s.cfg.NackPause, out, acked).run(ctx, polled)
}

// poll passes on what comes until ctx ends.
func (s *Subscriber) poll(ctx context.Context, poller *kafkago.Poller[kafkago.Record], polled chan<- []kafkago.Record) {
	defer poller.Close()
	b := kafkago.NewBackoff(100*time.Millisecond, 5*time.Second)
	for {
		f, err := poller.Poll(ctx)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			// Never skip: what cannot be read stays in the way, loudly.
			s.cfg.Logger.Error("reading a partition failed, trying again", slog.String("group", s.cfg.Group), slog.Any("err", err))
			b.Wait(ctx)
			continue
		}
		b.Reset()
		select {
		case polled <- f.Records:
		case <-ctx.Done():
			return
		}
	}
}
