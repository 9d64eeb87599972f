package kafka

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/sasl"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
)

const (
	// metadataTTL bounds how long a moved leader stays unnoticed; kafka-go has no
	// way to ask for fresh metadata.
	metadataTTL = time.Second
	// requestTimeout bounds requests that the broker answers at once.
	requestTimeout = 10 * time.Second
)

// Config says which Kafka, and what its topics must look like.
type Config struct {
	// Brokers are host:port of one or more brokers.
	Brokers []string
	// Partitions is the count of every topic; it is fixed when the topics are
	// born, because keys would move otherwise. Default 4.
	Partitions int
	// ReplicationFactor of new topics; 0 is 3, or the number of brokers if that is
	// less.
	ReplicationFactor int
	// ClientID is what brokers log. Default "trunkline".
	ClientID string
	// TLS and SASL are used if set.
	TLS  *tls.Config
	SASL sasl.Mechanism
	// Logger gets what is wrong with the broker. Default slog.Default().
	Logger *slog.Logger
}

// Validate reports every problem of the configuration.
func (c Config) Validate() error {
	var errs []error
	if len(c.Brokers) == 0 {
		errs = append(errs, errors.New("kafka: no brokers"))
	}
	for _, b := range c.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			errs = append(errs, fmt.Errorf("kafka: broker %q is not host:port", b))
		}
	}
	if c.Partitions < 0 {
		errs = append(errs, errors.New("kafka: negative partitions"))
	}
	if c.ReplicationFactor < 0 {
		errs = append(errs, errors.New("kafka: negative replication factor"))
	}
	return errors.Join(errs...)
}

// Client is the connection that all parts of this package share. One transport
// means one metadata cache: a topic created here is known to the appender at
// once. It is safe for concurrent use.
type Client struct {
	cfg       Config
	addr      net.Addr
	transport *kafka.Transport
	conns     kafkago.Conns
	shared    *kafkago.Shared
	endings   endings
}

// NewClient makes a client; it connects when it is used.
func NewClient(cfg Config) (*Client, error) {
	cfg.Partitions = cmp.Or(cfg.Partitions, 4)
	cfg.ClientID = cmp.Or(cfg.ClientID, "trunkline")
	cfg.Logger = cmp.Or(cfg.Logger, slog.Default())
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	c := &Client{cfg: cfg, addr: kafka.TCP(cfg.Brokers...), conns: kafkago.Conns{TLS: cfg.TLS, SASL: cfg.SASL != nil}}
	c.transport = &kafka.Transport{
		Dial:        c.conns.Dial,
		DialTimeout: kafkago.DialTimeout,
		MetadataTTL: metadataTTL,
		ClientID:    cfg.ClientID,
		SASL:        cfg.SASL,
	}
	c.shared = kafkago.NewShared(kafkago.FetchDecoded(c.broker(), decode))
	return c, nil
}

// Partitions is the partition count of every topic.
func (c *Client) Partitions() int { return c.cfg.Partitions }

// Transport is the transport to share with other users of kafka-go. Its Dial makes
// the TLS handshake, so that its own TLS is not set.
func (c *Client) Transport() *kafka.Transport { return c.transport }

// Shared is what the readers of this process share of what they fetch.
func (c *Client) Shared() *kafkago.Shared { return c.shared }

// poller reads a partition of events, sharing what it fetches.
func (c *Client) poller(topic event.Topic, id int, from int64, fetch kafkago.FetchConfig, stall time.Duration) *kafkago.Poller[kafkago.Record] {
	ask := func(ctx context.Context, offset int64) (kafkago.Fetched[kafkago.Record], error) {
		return c.shared.Fetch(ctx, string(topic), id, offset, fetch)
	}
	return kafkago.NewPoller(ask, kafkago.PollConfig{StallAfter: stall, Logger: c.cfg.Logger}, string(topic), id, from)
}

// Ping returns nil when a broker answers and every topic has its leaders.
func (c *Client) Ping(ctx context.Context) error {
	api := c.api(requestTimeout)
	resp, err := api.ApiVersions(ctx, &kafka.ApiVersionsRequest{})
	if first := err; err != nil && ctx.Err() == nil {
		// The idle connection may have died with a broker that is back.
		if resp, err = api.ApiVersions(ctx, &kafka.ApiVersionsRequest{}); err != nil && ctx.Err() != nil {
			err = first // which says more than that the time is up
		}
	}
	if err == nil {
		err = resp.Error
	}
	if err != nil {
		return fmt.Errorf("asking Kafka: %w", told(err))
	}
	return c.leaders(ctx, event.Topics())
}

// Close closes every connection. Log and sources must have stopped before.
func (c *Client) Close() {
	c.shared.Wait() // a fetch that its readers left may still be about to ask
	c.transport.CloseIdleConnections()
	c.conns.Close()
}

// api is kafka-go's client over the shared transport. The timeout bounds one
// request.
func (c *Client) api(timeout time.Duration) *kafka.Client {
	return &kafka.Client{Addr: c.addr, Transport: c.transport, Timeout: timeout}
}

func (c *Client) broker() kafkago.Broker {
	return kafkago.Broker{Addrs: c.cfg.Brokers, Transport: c.transport}
}

// leaders fails unless every partition of the topics has a leader, as far as
// the metadata of the last second knows.
func (c *Client) leaders(ctx context.Context, topics []event.Topic) error {
	meta, err := c.api(requestTimeout).Metadata(ctx, &kafka.MetadataRequest{Topics: names(topics)})
	if err != nil {
		return fmt.Errorf("asking Kafka for leaders: %w", err)
	}
	for _, t := range meta.Topics {
		if t.Error != nil {
			return fmt.Errorf("topic %s: %w", t.Name, t.Error)
		}
		if len(t.Partitions) == 0 {
			return fmt.Errorf("topic %s has no partitions yet", t.Name)
		}
		for _, p := range t.Partitions {
			if p.Error != nil || p.Leader.Port == 0 {
				return fmt.Errorf("topic %s, partition %d has no leader", t.Name, p.ID)
			}
		}
	}
	return nil
}

func names(topics []event.Topic) []string {
	s := make([]string, len(topics))
	for i, t := range topics {
		s[i] = string(t)
	}
	return s
}
