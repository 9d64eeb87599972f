package kafka

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"time"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
)

// maxMessageBytes is the max.message.bytes of new topics. The API takes bodies
// of 1 MiB, Kafka's own default leaves no room for the headers beside them.
const maxMessageBytes = 2 << 20

// mostReplicas is how many copies a new topic has where nobody asks for a number.
const mostReplicas = 3

// ErrTopic says that a topic is not configured as the log needs it. Going on
// would lose events (retention) or their order (partition count).
var ErrTopic = errors.New("wrong topic")

// EnsureTopics creates the topics of the log that do not exist and verifies
// those that do. It waits for a broker, and for leaders, until ctx ends; a
// wrong topic is ErrTopic at once, in one line that names topic, setting, found
// and expected value.
func (c *Client) EnsureTopics(ctx context.Context) error {
	topics := event.Topics()
	for _, step := range []func(context.Context, []event.Topic) error{c.create, c.leaders, c.verify} {
		if err := c.until(ctx, func() error { return step(ctx, topics) }); err != nil {
			return err
		}
	}
	return nil
}

// until repeats what the broker is not ready for yet.
func (c *Client) until(ctx context.Context, do func() error) error {
	b := kafkago.NewBackoff(20*time.Millisecond, time.Second)
	var why error
	for {
		err := do()
		if err == nil || errors.Is(err, ErrTopic) {
			return err
		}
		if kafkago.Permanent(err) {
			return fmt.Errorf("preparing topics: %w", err)
		}
		if why == nil || ctx.Err() == nil {
			why = err // else it says only that the time is up
		}
		if !b.Wait(ctx) {
			return fmt.Errorf("preparing topics: %w: %w", ctx.Err(), told(why))
		}
	}
}

// create asks only for topics that are not there: where an administrator makes them,
// the hub may not, and would be refused those that are.
func (c *Client) create(ctx context.Context, topics []event.Topic) error {
	replicas, err := c.replicas(ctx)
	if err != nil {
		return err
	}
	meta, err := c.api(requestTimeout).Metadata(ctx, &kafka.MetadataRequest{Topics: names(topics)})
	if err != nil {
		return fmt.Errorf("looking for topics: %w", err)
	}
	var req kafka.CreateTopicsRequest
	for _, t := range meta.Topics {
		if errors.Is(t.Error, kafka.UnknownTopicOrPartition) {
			req.Topics = append(req.Topics, kafka.TopicConfig{
				Topic: t.Name, NumPartitions: c.cfg.Partitions, ReplicationFactor: replicas, ConfigEntries: settings(replicas),
			})
		}
	}
	if len(req.Topics) == 0 {
		return nil
	}
	resp, err := c.api(2*requestTimeout).CreateTopics(ctx, &req)
	if err != nil {
		return fmt.Errorf("creating topics: %w", err)
	}
	for name, err := range resp.Errors {
		if err != nil && !errors.Is(err, kafka.TopicAlreadyExists) {
			return fmt.Errorf("creating topic %s: %w", name, err)
		}
	}
	return nil
}

// replicas is how many a new topic has. The brokers that are configured may be one
// address for all of them, or some that are not up yet: the larger number counts.
func (c *Client) replicas(ctx context.Context) (int, error) {
	if c.cfg.ReplicationFactor != 0 {
		return c.cfg.ReplicationFactor, nil
	}
	meta, err := c.api(requestTimeout).Metadata(ctx, &kafka.MetadataRequest{Topics: []string{}})
	if err != nil {
		return 0, fmt.Errorf("counting brokers: %w", err)
	}
	return min(mostReplicas, max(len(meta.Brokers), len(c.cfg.Brokers))), nil
}

func settings(replicas int) []kafka.ConfigEntry {
	s := []kafka.ConfigEntry{
		{ConfigName: "cleanup.policy", ConfigValue: "delete"},
		{ConfigName: "retention.ms", ConfigValue: "-1"},
		{ConfigName: "retention.bytes", ConfigValue: "-1"},
		// The broker refuses records whose time is too far from its own clock's.
		{ConfigName: "message.timestamp.type", ConfigValue: "LogAppendTime"},
		{ConfigName: "max.message.bytes", ConfigValue: strconv.Itoa(maxMessageBytes)},
	}
	if replicas >= 3 {
		s = append(s, kafka.ConfigEntry{ConfigName: "min.insync.replicas", ConfigValue: "2"})
	}
	return s
}

// verify compares the topics with what the log needs. Partition counts come
// from the metadata, settings from DescribeConfigs.
func (c *Client) verify(ctx context.Context, topics []event.Topic) error {
	api := c.api(requestTimeout)
	meta, err := api.Metadata(ctx, &kafka.MetadataRequest{Topics: names(topics)})
	if err != nil {
		return fmt.Errorf("describing topics: %w", err)
	}
	fewest := make(map[string]int, len(topics))
	for _, t := range meta.Topics {
		if t.Error != nil {
			return fmt.Errorf("describing topic %s: %w", t.Name, t.Error)
		}
		if len(t.Partitions) != c.cfg.Partitions {
			return wrong(t.Name, "partitions", strconv.Itoa(len(t.Partitions)),
				strconv.Itoa(c.cfg.Partitions)+" as configured; the count is fixed when a topic is created, so configure what was found")
		}
		fewest[t.Name] = len(t.Partitions[0].Replicas)
		for _, p := range t.Partitions {
			fewest[t.Name] = min(fewest[t.Name], len(p.Replicas))
		}
	}
	var req kafka.DescribeConfigsRequest
	for _, t := range topics {
		req.Resources = append(req.Resources, kafka.DescribeConfigRequestResource{ResourceType: kafka.ResourceTypeTopic, ResourceName: string(t)})
	}
	resp, err := api.DescribeConfigs(ctx, &req)
	if err != nil {
		return fmt.Errorf("describing topics: %w", err)
	}
	for _, r := range resp.Resources {
		if r.Error != nil {
			return fmt.Errorf("describing topic %s: %w", r.ResourceName, r.Error)
		}
		found := make(map[string]string, len(r.ConfigEntries))
		for _, e := range r.ConfigEntries {
			found[e.ConfigName] = e.ConfigValue
		}
		for _, s := range []struct{ name, want string }{{"cleanup.policy", "delete"}, {"retention.ms", "-1"}, {"retention.bytes", "-1"}} {
			if found[s.name] != s.want {
				return wrong(r.ResourceName, s.name, found[s.name], s.want)
			}
		}
		c.warn(r.ResourceName, found, fewest[r.ResourceName], len(meta.Brokers))
	}
	return nil
}

// warn says what is allowed but unwise.
func (c *Client) warn(topic string, found map[string]string, replicas, brokers int) {
	if n, err := strconv.Atoi(found["max.message.bytes"]); err == nil && n < maxMessageBytes {
		c.cfg.Logger.Warn("topic takes smaller events than the API", slog.Any("topic", topic), slog.Int("max.message.bytes", n), slog.Int("expected", maxMessageBytes))
	}
	if brokers < 2 {
		return
	}
	insync, err := strconv.Atoi(found["min.insync.replicas"])
	switch {
	case replicas < 2:
		c.cfg.Logger.Warn("topic has one replica: its broker's disk is its only copy", slog.Any("topic", topic), slog.Int("brokers", brokers))
	case err == nil && insync < 2:
		c.cfg.Logger.Warn("topic acknowledges with one replica in sync: a failover may lose what was acknowledged",
			slog.Any("topic", topic), slog.Int("min.insync.replicas", insync), slog.Int("expected", 2))
	case err == nil && insync >= replicas:
		c.cfg.Logger.Warn("topic takes no events while any replica is away", slog.Any("topic", topic), slog.Int("min.insync.replicas", insync), slog.Int("replicas", replicas))
	}
}

func wrong(topic, setting, found, want string) error {
	return fmt.Errorf("%w: %s has %s %q, expected %s", ErrTopic, topic, setting, found, want)
}
