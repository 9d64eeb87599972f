package kafka_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	kafkago "github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kfake"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
)

// api is kafka-go's client to a broker.
func api(t *testing.T, addr string) *kafkago.Client {
	t.Helper()
	transport := &kafkago.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafkago.Client{Addr: kafkago.TCP(addr), Transport: transport}
}

func createTopic(t *testing.T, addr string, topic event.Topic, partitions int, settings map[string]string) {
	t.Helper()
	cfg := kafkago.TopicConfig{Topic: string(topic), NumPartitions: partitions, ReplicationFactor: 1}
	for name, value := range settings {
		cfg.ConfigEntries = append(cfg.ConfigEntries, kafkago.ConfigEntry{ConfigName: name, ConfigValue: value})
	}
	resp, err := api(t, addr).CreateTopics(t.Context(), &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{cfg}})
	if err == nil {
		err = resp.Errors[string(topic)]
	}
	if err != nil {
		t.Fatal(err)
	}
}

// right are the settings that a topic of the log must have.
func right() map[string]string {
	return map[string]string{"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1"}
}

func checkTopics(t *testing.T, addr string) {
	t.Helper()
	c := newClient(t, addr)
	// A second start finds them as the first left them.
	if err := c.EnsureTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	var req kafkago.DescribeConfigsRequest
	for _, topic := range event.Topics() {
		req.Resources = append(req.Resources, kafkago.DescribeConfigRequestResource{ResourceType: kafkago.ResourceTypeTopic, ResourceName: string(topic)})
	}
	resp, err := api(t, addr).DescribeConfigs(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"cleanup.policy": "delete", "retention.ms": "-1", "retention.bytes": "-1",
		"max.message.bytes": "2097152", "message.timestamp.type": "LogAppendTime",
	}
	for _, r := range resp.Resources {
		got := make(map[string]string)
		for _, e := range r.ConfigEntries {
			if want[e.ConfigName] != "" {
				got[e.ConfigName] = e.ConfigValue
			}
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", r.ResourceName, d)
		}
	}
	if len(resp.Resources) != len(event.Topics()) {
		t.Errorf("%d topics, want %d", len(resp.Resources), len(event.Topics()))
	}
}

func TestTopicsAreCreated(t *testing.T) {
	t.Parallel()
	checkTopics(t, testenv.Kafka(t))
}

func TestWrongTopicStopsTheStart(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		partitions int
		setting    string
		value      string
		says       string
	}{
		"compacted":       {4, "cleanup.policy", "compact", `wrong topic: trunkline.calls.v1 has cleanup.policy "compact", expected delete`},
		"kept for a week": {4, "retention.ms", "604800000", `wrong topic: trunkline.calls.v1 has retention.ms "604800000", expected -1`},
		"kept to a size":  {4, "retention.bytes", "1000", `wrong topic: trunkline.calls.v1 has retention.bytes "1000", expected -1`},
		"more partitions": {6, "retention.ms", "-1", `wrong topic: trunkline.calls.v1 has partitions "6", expected 4 as configured; the count is fixed when a topic is created, so configure what was found`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			addr := fake(t).ListenAddrs()[0]
			settings := right()
			settings[tc.setting] = tc.value
			createTopic(t, addr, event.Calls, tc.partitions, settings)
			c, err := kafka.NewClient(kafka.Config{Brokers: []string{addr}, Partitions: partitions})
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := c.EnsureTopics(t.Context()); !errors.Is(err, kafka.ErrTopic) || err.Error() != tc.says {
				t.Errorf("got  %v\nwant %s", err, tc.says)
			}
		})
	}
}

// A managed Kafka is known by one address, whatever the number of its brokers.
func TestReplicasFollowTheBrokersOfTheCluster(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ brokers, want int }{{1, 1}, {2, 2}, {3, 3}, {5, 3}} {
		t.Run(fmt.Sprintf("%d brokers", test.brokers), func(t *testing.T) {
			t.Parallel()
			k, err := kfake.NewCluster(kfake.NumBrokers(test.brokers))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(k.Close)
			first := k.ListenAddrs()[0]
			checkTopics(t, first)
			meta, err := api(t, first).Metadata(t.Context(), &kafkago.MetadataRequest{Topics: []string{string(event.Calls)}})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range meta.Topics[0].Partitions {
				if len(p.Replicas) != test.want {
					t.Errorf("partition %d has %d replicas, want %d", p.ID, len(p.Replicas), test.want)
				}
			}
			resp, err := api(t, first).DescribeConfigs(t.Context(), &kafkago.DescribeConfigsRequest{Resources: []kafkago.DescribeConfigRequestResource{
				{ResourceType: kafkago.ResourceTypeTopic, ResourceName: string(event.Calls), ConfigNames: []string{"min.insync.replicas"}},
			}})
			if err != nil {
				t.Fatal(err)
			}
			want := "1"
			if test.want == 3 {
				want = "2"
			}
			for _, e := range resp.Resources[0].ConfigEntries {
				if e.ConfigName == "min.insync.replicas" && e.ConfigValue != want {
					t.Errorf("min.insync.replicas is %s, want %s", e.ConfigValue, want)
				}
			}
		})
	}
}

func TestUnwiseTopicsAreWarnedOf(t *testing.T) {
	t.Parallel()
	k, err := kfake.NewCluster(kfake.NumBrokers(3))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	settings := right()
	settings["max.message.bytes"] = "1000000"
	createTopic(t, k.ListenAddrs()[0], event.Calls, partitions, settings)
	var log bytes.Buffer
	c, err := kafka.NewClient(kafka.Config{
		Brokers: k.ListenAddrs(), Partitions: partitions, ReplicationFactor: 3, Logger: slog.New(slog.NewTextHandler(&log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.EnsureTopics(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, says := range []string{"takes smaller events than the API", "has one replica"} {
		if n := strings.Count(log.String(), says); n != 1 {
			t.Errorf("%d warnings of a topic that %s, want 1 in:\n%s", n, says, log.String())
		}
	}
}

func TestEnsureTopicsWaitsForABroker(t *testing.T) {
	t.Parallel()
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{"127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := c.EnsureTopics(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want the context's end", err)
	}
}

// A broker that takes less than we think is found out by trying.
func TestBatchThatTheBrokerFindsTooLargeIsSplit(t *testing.T) {
	t.Parallel()
	addr := fake(t).ListenAddrs()[0]
	settings := right()
	settings["max.message.bytes"] = "8000"
	createTopic(t, addr, event.Calls, partitions, settings)
	c := newClient(t, addr)
	l := newLog(t, c, kafka.LogConfig{})
	var events []event.Event
	for n := range 40 {
		events = append(events, note("o-1", "c-1", n))
	}
	positions, err := l.Append(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[event.Position]string)
	for i, p := range positions {
		want[p] = events[i].ID
	}
	got := make(map[event.Position]string)
	for _, e := range collect(t, t.Context(), c, event.Calls, func(all []event.Recorded) bool { return len(all) >= len(events) }) {
		got[e.Position] = e.ID
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	large := note("o-1", "c-1", 100)
	large.Data = fmt.Appendf(nil, "%q", strings.Repeat("x", 20_000))
	if _, err := l.Append(t.Context(), large); !errors.Is(err, commands.ErrTooLarge) {
		t.Errorf("got %v, want ErrTooLarge", err)
	}
	if s := l.Stats(); s.Failing != 0 || s.LastError != nil {
		t.Errorf("an event that is too large made %d partitions fail: %v", s.Failing, s.LastError)
	}
}

func TestConfigSaysAllThatIsWrong(t *testing.T) {
	t.Parallel()
	_, err := kafka.NewClient(kafka.Config{Brokers: []string{"localhost"}, Partitions: -1, ReplicationFactor: -1})
	want := "kafka: broker \"localhost\" is not host:port\nkafka: negative partitions\nkafka: negative replication factor"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
