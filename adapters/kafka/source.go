package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// leaveGrace is how long a member that is done may take to tell the group.
const leaveGrace = 2 * time.Second

// SourceConfig tunes the read side. Zero values are the defaults.
type SourceConfig struct {
	// MaxWait is how long an idle fetch stays at the broker; an append answers
	// it at once. Default 5 s.
	MaxWait time.Duration
	// FetchBytes bounds one fetch of one partition. Default 1 MiB.
	FetchBytes int
	// StallAfter is how long records may be due without coming before Read
	// fails with projections.ErrStalled. Default 10 s.
	StallAfter time.Duration
	// SessionTimeout is how long a member may be silent before the group goes on
	// without it. Default 10 s, Kafka's least is 6 s.
	SessionTimeout time.Duration
	// Heartbeat is how often a member asks whether the group changes, and so how
	// fast a rebalance starts. Default 1 s.
	Heartbeat time.Duration
	// RebalanceTimeout is how long the group waits for a member to let go of
	// its partitions. Default 30 s.
	RebalanceTimeout time.Duration
}

func (c SourceConfig) withDefaults() SourceConfig {
	c.MaxWait = cmp.Or(c.MaxWait, 5*time.Second)
	c.FetchBytes = cmp.Or(c.FetchBytes, 1<<20)
	c.StallAfter = cmp.Or(c.StallAfter, 10*time.Second)
	c.SessionTimeout = cmp.Or(c.SessionTimeout, 10*time.Second)
	c.Heartbeat = cmp.Or(c.Heartbeat, time.Second)
	c.RebalanceTimeout = cmp.Or(c.RebalanceTimeout, 30*time.Second)
	return c
}

// Validate reports every problem of the configuration.
func (c SourceConfig) Validate() error {
	var errs []error
	if c.FetchBytes < 0 {
		errs = append(errs, errors.New("kafka source: negative FetchBytes"))
	}
	for name, v := range map[string]time.Duration{"MaxWait": c.MaxWait, "StallAfter": c.StallAfter, "SessionTimeout": c.SessionTimeout, "Heartbeat": c.Heartbeat, "RebalanceTimeout": c.RebalanceTimeout} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("kafka source: negative %s", name))
		}
	}
	if d := c.withDefaults(); 3*d.Heartbeat > d.SessionTimeout {
		errs = append(errs, fmt.Errorf("kafka source: three heartbeats of %s do not fit a session of %s", d.Heartbeat, d.SessionTimeout))
	}
	return errors.Join(errs...)
}

// Source implements projections.Source. Kafka's group only says who has which
// partition; where to read is the checkpoint's business, so no offsets are
// committed to Kafka. kafka-go's group Reader is not used: it hands out stale
// records after a rebalance. It is safe for concurrent use; each Run is a member.
type Source struct {
	client *Client
	cfg    SourceConfig
}

var _ projections.Source = (*Source)(nil)

// NewSource makes the read side.
func NewSource(client *Client, cfg SourceConfig) (*Source, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return &Source{client: client, cfg: cfg.withDefaults()}, nil
}

// Run implements projections.Source. It goes on over broker restarts; the only
// error is a wrong argument.
func (s *Source) Run(ctx context.Context, group string, topics []event.Topic, handle func(context.Context, projections.Partition) error) error {
	conns := &conns{open: make(map[net.Conn]struct{})}
	member, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{
		ID:      group,
		Brokers: s.client.cfg.Brokers,
		Topics:  names(topics),
		Dialer: &kafka.Dialer{
			DialFunc: conns.dial, Timeout: dialTimeout, ClientID: s.client.cfg.ClientID,
			TLS: s.client.cfg.TLS, SASLMechanism: s.client.cfg.SASL,
		},
		GroupBalancers:    []kafka.GroupBalancer{kafka.RangeGroupBalancer{}},
		StartOffset:       kafka.FirstOffset,
		SessionTimeout:    s.cfg.SessionTimeout,
		HeartbeatInterval: s.cfg.Heartbeat,
		RebalanceTimeout:  s.cfg.RebalanceTimeout,
		JoinGroupBackoff:  200 * time.Millisecond,
	})
	if err != nil {
		return fmt.Errorf("joining group %s: %w", group, err)
	}
	var handles sync.WaitGroup
	s.generations(ctx, group, member, &handles, handle)
	handles.Wait()
	leave(member, conns)
	return nil
}

// generations runs a handle for each partition of each generation of the group.
func (s *Source) generations(ctx context.Context, group string, member *kafka.ConsumerGroup, handles *sync.WaitGroup, handle func(context.Context, projections.Partition) error) {
	log := s.client.cfg.Logger.With("group", group)
	var said time.Time
	for {
		generation, err := member.Next(ctx)
		if ctx.Err() != nil || errors.Is(err, kafka.ErrGroupClosed) {
			return
		}
		if err != nil {
			// kafka-go tries on by itself, after JoinGroupBackoff.
			if now := time.Now(); !errors.Is(err, kafka.RebalanceInProgress) && now.Sub(said) > complainEvery {
				said = now
				log.Warn("joining the group fails, trying on", "err", err)
			}
			continue
		}
		for topic, assigned := range generation.Assignments {
			for _, a := range assigned {
				handles.Add(1)
				generation.Start(func(ended context.Context) {
					defer handles.Done()
					// kafka-go's context ends with the generation and knows
					// nothing of ours. When this function returns, the whole
					// generation ends: it returns only when one of the two has.
					ctx, cancel := context.WithCancel(ctx)
					defer cancel()
					defer context.AfterFunc(ended, cancel)()
					s.hold(ctx, group, event.Topic(topic), a.ID, handle)
				})
			}
		}
	}
}

// hold calls handle until ctx ends.
func (s *Source) hold(ctx context.Context, group string, topic event.Topic, id int, handle func(context.Context, projections.Partition) error) {
	b := newBackoff(100*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		started := time.Now()
		r := newReader(s.client, s.cfg, topic, id)
		err := handle(ctx, r)
		r.close()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.client.cfg.Logger.Warn("handling a partition failed, trying again", "group", group, "topic", topic, "partition", id, "err", err)
		}
		if time.Since(started) > time.Minute {
			b.reset()
		}
		b.wait(ctx)
	}
}

// leave tells the group that the member is gone, so that the others need not
// wait for its session to end. A member that is blocked in a join, because
// another one died, cannot say so: its connections are cut.
func leave(member *kafka.ConsumerGroup, conns *conns) {
	left := make(chan struct{})
	go func() {
		defer close(left)
		_ = member.Close()
	}()
	timer := time.NewTimer(leaveGrace)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C:
		conns.close()
		<-left
	}
	conns.close()
}
