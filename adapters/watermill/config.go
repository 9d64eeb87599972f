package watermill

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
)

// transport is what both sides need to reach Kafka.
type transport struct {
	kafkago.Broker
	conns *kafkago.Conns // of a transport of our own; nil for a shared one
}

func newTransport(brokers []string, shared *kafka.Transport) transport {
	if shared != nil {
		return transport{Broker: kafkago.Broker{Addrs: brokers, Transport: shared}}
	}
	conns := new(kafkago.Conns)
	return transport{conns: conns, Broker: kafkago.Broker{Addrs: brokers, Transport: &kafka.Transport{
		Dial: conns.Dial, DialTimeout: kafkago.DialTimeout, MetadataTTL: time.Second, ClientID: "trunkline",
	}}}
}

// close ends the connections unless somebody else uses them too.
func (t transport) close() {
	if t.conns == nil {
		return
	}
	t.Transport.CloseIdleConnections()
	t.conns.Close()
}

func validBrokers(brokers []string) error {
	if len(brokers) == 0 {
		return errors.New("no brokers")
	}
	for _, b := range brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("broker %q is not host:port", b)
		}
	}
	return nil
}

// PublisherConfig says where and how to publish. Zero values are the defaults.
type PublisherConfig struct {
	Brokers []string
	// Transport is to be shared with whoever creates topics: its metadata is
	// what says which exist. Default one of its own.
	Transport *kafka.Transport
	// Key gives the key of a message, which decides its partition as it would in
	// a Java client. Default none, which puts all into one partition.
	Key func(topic string, m *message.Message) []byte
	// Linger is how long the first message of a batch waits for others.
	// Default 1 ms.
	Linger time.Duration
	// RetryFor is how long Publish tries on; it outlasts a leader's failover.
	// Default 45 s.
	RetryFor time.Duration
}

// Validate reports every problem of the configuration.
func (c PublisherConfig) Validate() error {
	errs := []error{validBrokers(c.Brokers)}
	if c.Linger < 0 || c.RetryFor < 0 {
		errs = append(errs, errors.New("negative duration"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watermill publisher: %w", err)
	}
	return nil
}

// Offsets is a checkpoint store that takes the place of the group's offsets.
// Moving the checkpoint is then the consumer's business; an ack only makes room
// for the next message.
type Offsets interface {
	// Claim makes the caller the owner of a partition and returns the offset to
	// start from. An error is tried again after a pause.
	Claim(ctx context.Context, topic string, partition int) (next int64, err error)
	// Release says that the partition was taken away, or lost. It is called once for each
	// Claim that succeeded, after the contexts of its messages have ended.
	Release(topic string, partition int)
	// Lost is closed when the claim of a partition no longer holds, although the
	// group has not taken the partition away: the store may have lost what the claim
	// rested on, or another owner has claimed it. The partition is then released and
	// claimed anew, and read from where that says.
	Lost(topic string, partition int) <-chan struct{}
}

// SubscriberConfig says what to read and how. Zero values are the defaults.
type SubscriberConfig struct {
	Brokers []string
	// Transport is to be shared with the Publisher. Default one of its own.
	Transport *kafka.Transport
	// Shared lets it share what it fetches with other readers of the log; its
	// messages then carry their events decoded. Default nothing is shared.
	Shared *kafkago.Shared
	// Group shares the partitions with other subscribers of that name. Empty:
	// every Subscribe reads everything from the start, and keeps no offsets.
	Group string
	// Offsets replaces the group's offsets.
	Offsets Offsets
	// InFlight is how many messages of a partition may be handed out and not yet
	// acked, in order. Default 1, which is what Watermill expects; with more, a
	// nack sends its message and all behind it again.
	InFlight int
	// NackPause is the wait before a message is sent again. Default 100 ms.
	NackPause time.Duration
	// CommitEvery is how often acked offsets go to the group. Default 1 s.
	CommitEvery time.Duration
	// Partitions and ReplicationFactor of topics that SubscribeInitialize
	// creates. Default 4, and the broker's.
	Partitions, ReplicationFactor int
	// MaxWait and FetchBytes bound a fetch: how long an idle one stays at the
	// broker, how much it brings. Default 5 s, 1 MiB.
	MaxWait    time.Duration
	FetchBytes int
	// StallAfter is how long records may be due without coming before that is
	// logged. Default 10 s.
	StallAfter time.Duration
	// SessionTimeout, Heartbeat and RebalanceTimeout of the group. Default 10 s,
	// 1 s, 10 s.
	SessionTimeout, Heartbeat, RebalanceTimeout time.Duration
	// Logger gets what is wrong with the broker. Default slog.Default().
	Logger *slog.Logger
}

func (c SubscriberConfig) withDefaults() SubscriberConfig {
	c.InFlight = cmp.Or(c.InFlight, 1)
	c.NackPause = cmp.Or(c.NackPause, 100*time.Millisecond)
	c.Partitions = cmp.Or(c.Partitions, 4)
	c.ReplicationFactor = cmp.Or(c.ReplicationFactor, -1)
	c.MaxWait = cmp.Or(c.MaxWait, 5*time.Second)
	c.FetchBytes = cmp.Or(c.FetchBytes, 1<<20)
	c.StallAfter = cmp.Or(c.StallAfter, 10*time.Second)
	c.Logger = cmp.Or(c.Logger, slog.Default())
	return c
}

func (c SubscriberConfig) group(topic string) kafkago.GroupConfig {
	return kafkago.GroupConfig{
		Group: c.Group, Topics: []string{topic}, Logger: c.Logger, CommitEvery: c.CommitEvery,
		SessionTimeout: c.SessionTimeout, Heartbeat: c.Heartbeat, RebalanceTimeout: c.RebalanceTimeout,
	}
}

// Validate reports every problem of the configuration.
func (c SubscriberConfig) Validate() error {
	errs := []error{validBrokers(c.Brokers), c.group("").Validate()}
	if c.InFlight < 0 || c.Partitions < 0 || c.ReplicationFactor < 0 || c.FetchBytes < 0 {
		errs = append(errs, errors.New("negative number"))
	}
	if c.NackPause < 0 || c.MaxWait < 0 || c.StallAfter < 0 {
		errs = append(errs, errors.New("negative duration"))
	}
	if c.Offsets != nil && c.Group == "" {
		errs = append(errs, errors.New("offsets without a group: every subscriber would claim every partition"))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("watermill subscriber: %w", err)
	}
	return nil
}
