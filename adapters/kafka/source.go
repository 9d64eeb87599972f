package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"trunkline.dev/trunkline/adapters/internal/kafkago"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// SourceConfig tunes the read side. Zero values are the defaults.
type SourceConfig struct {
	// MaxWait is how long an idle fetch stays at the broker; an append answers
	// it at once. Default 5 s.
	MaxWait time.Duration
	// FetchBytes bounds one fetch of one partition, of which two are held.
	// Default 512 KiB: an answer is in memory five times on its way here.
	FetchBytes int
	// StallAfter is how long records may be due without coming before Read
	// fails with projections.ErrStalled. Default 10 s.
	StallAfter time.Duration
	// SessionTimeout is how long a member may be silent before the group goes on
	// without it. Default 10 s; Kafka's least is 6 s.
	SessionTimeout time.Duration
	// Heartbeat is how often a member asks whether the group changes, and so how
	// fast a rebalance starts. Default 1 s.
	Heartbeat time.Duration
	// RebalanceTimeout is how long the group waits for a member to let go of
	// its partitions. Default 10 s.
	RebalanceTimeout time.Duration
}

func (c SourceConfig) withDefaults() SourceConfig {
	c.MaxWait = cmp.Or(c.MaxWait, 5*time.Second)
	c.FetchBytes = cmp.Or(c.FetchBytes, 512<<10)
	c.StallAfter = cmp.Or(c.StallAfter, 10*time.Second)
	return c
}

func (c SourceConfig) group() kafkago.GroupConfig {
	return kafkago.GroupConfig{SessionTimeout: c.SessionTimeout, Heartbeat: c.Heartbeat, RebalanceTimeout: c.RebalanceTimeout}
}

// Validate reports every problem of the configuration.
func (c SourceConfig) Validate() error {
	errs := []error{c.group().Validate()}
	if c.FetchBytes < 0 {
		errs = append(errs, errors.New("negative FetchBytes"))
	}
	for name, v := range map[string]time.Duration{"MaxWait": c.MaxWait, "StallAfter": c.StallAfter} {
		if v < 0 {
			errs = append(errs, fmt.Errorf("negative %s", name))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("kafka source: %w", err)
	}
	return nil
}

// Source implements projections.Source. Kafka's group only says who has which
// partition; where to read from is the checkpoint's business, so no offsets are
// committed to Kafka. It is safe for concurrent use; each Run is a member.
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
	cfg := s.cfg.group()
	cfg.Group, cfg.Topics, cfg.Logger = group, names(topics), s.client.cfg.Logger
	return kafkago.Join(ctx, s.client.broker(), cfg, func(ctx context.Context, a kafkago.Assignment) {
		s.hold(ctx, group, event.Topic(a.Topic), a.Partition, handle)
	})
}

// hold calls handle until ctx ends.
func (s *Source) hold(ctx context.Context, group string, topic event.Topic, id int, handle func(context.Context, projections.Partition) error) {
	b := kafkago.NewBackoff(100*time.Millisecond, 5*time.Second)
	for ctx.Err() == nil {
		started := time.Now()
		r := newReader(s.client, s.cfg, topic, id)
		err := handle(ctx, r)
		r.poller.Close()
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.client.cfg.Logger.Warn("handling a partition failed, trying again", slog.String("group", group), slog.Any("topic", topic), slog.Int("partition", id), slog.Any("err", err))
		}
		if time.Since(started) > time.Minute {
			b.Reset()
		}
		b.Wait(ctx)
	}
}
