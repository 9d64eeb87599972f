package kafka_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/commands/logtest"
	"trunkline.dev/trunkline/projections"
)

// partitions is how many each topic of these tests has.
const partitions = 4

// patience bounds waits for a broker.
const patience = time.Minute

// newClient connects to a broker whose topics exist.
func newClient(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{addr}, Partitions: partitions, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.EnsureTopics(ctx); err != nil {
		t.Fatal(err)
	}
	return c
}

func newLog(t *testing.T, c *kafka.Client, cfg kafka.LogConfig) *kafka.Log {
	t.Helper()
	l, err := kafka.NewLog(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := l.Stop(ctx); err != nil {
			t.Error(err)
		}
	})
	return l
}

// quick is a source whose group notices changes fast.
func quick() kafka.SourceConfig {
	return kafka.SourceConfig{SessionTimeout: 6 * time.Second, Heartbeat: 200 * time.Millisecond}
}

func newSource(t *testing.T, c *kafka.Client, cfg kafka.SourceConfig) *kafka.Source {
	t.Helper()
	s, err := kafka.NewSource(c, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// cluster gives the suite a log of its own on a shared broker.
func cluster(addr string) func(*testing.T) logtest.Cluster {
	return func(t *testing.T) logtest.Cluster {
		c := newClient(t, addr)
		return logtest.Cluster{
			Log:           newLog(t, c, kafka.LogConfig{}),
			Ends:          c,
			Member:        func(t *testing.T) projections.Source { return newSource(t, c, quick()) },
			Partitions:    partitions,
			MaxEventBytes: 2_000_000,
		}
	}
}

func TestLog(t *testing.T) {
	t.Parallel()
	logtest.Run(t, cluster(testenv.Kafka(t)))
}
