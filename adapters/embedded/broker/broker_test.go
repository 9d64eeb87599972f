package broker_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/embedded/broker"
	"trunkline.dev/trunkline/adapters/internal/testenv"
)

// hubEnv makes the test binary a hub that runs a broker until it is killed.
const hubEnv = "TRUNKLINE_TEST_HUB"

func TestMain(m *testing.M) {
	if dir := os.Getenv(hubEnv); dir != "" {
		os.Exit(hub(dir))
	}
	goleak.VerifyTestMain(m) // no goroutine outlives Stop
}

func hub(dir string) int {
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err == nil {
		err = b.Start(context.Background())
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	fmt.Println(b.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// started runs a broker until the test ends.
func started(t *testing.T, cfg broker.Config) *broker.Broker {
	t.Helper()
	b, err := broker.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stop(t, b) })
	return b
}

func stop(t *testing.T, b *broker.Broker) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), 10*time.Second)
	defer cancel()
	if err := b.Stop(ctx); err != nil {
		t.Error(err)
	}
}

// client talks to the broker under the address that it advertises.
func client(t *testing.T, addr string) *kafka.Client {
	t.Helper()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &kafka.Client{Addr: kafka.TCP(addr), Transport: transport, Timeout: 10 * time.Second}
}

func createTopic(t *testing.T, addr string) {
	t.Helper()
	resp, err := client(t, addr).CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "facts", NumPartitions: -1, ReplicationFactor: -1}}})
	if err != nil || resp.Errors["facts"] != nil {
		t.Fatal(err, resp.Errors["facts"])
	}
}

func produce(t *testing.T, addr string, value string) {
	t.Helper()
	resp, err := client(t, addr).Produce(t.Context(), &kafka.ProduceRequest{
		Topic: "facts", Partition: 3, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte(value))}),
	})
	if err == nil {
		err = resp.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, addr string) int64 {
	t.Helper()
	resp, err := client(t, addr).ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{"facts": {kafka.LastOffsetOf(3)}}})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Topics["facts"][0].LastOffset
}

func TestTheLogOutlivesARestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	createTopic(t, first.Addr())
	produce(t, first.Addr(), "one")
	stop(t, first)
	stop(t, first) // twice is harmless

	second := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if got := end(t, second.Addr()); got != 1 {
		t.Errorf("the log ends at %d", got)
	}
}

// process is a hub in a process of its own.
type process struct {
	cmd  *exec.Cmd
	addr string
}

// startHub runs a broker in a process of its own until the test ends.
func startHub(t *testing.T, dir string) *process {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), hubEnv+"="+dir)
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{cmd: cmd}
	t.Cleanup(func() { p.kill(t); stdin.Close() })
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	p.addr = strings.TrimSpace(line)
	return p
}

func (p *process) kill(t *testing.T) {
	t.Helper()
	if p.cmd.ProcessState != nil {
		return
	}
	if err := p.cmd.Process.Kill(); err != nil {
		t.Error(err)
	}
	_ = p.cmd.Wait() // "signal: killed" is what was asked for
}

func TestAKilledHubLosesNothingAcknowledged(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := startHub(t, dir)
	createTopic(t, hub.addr)
	for i := range 20 {
		produce(t, hub.addr, fmt.Sprint(i))
	}
	hub.kill(t)

	b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if got := end(t, b.Addr()); got != 20 {
		t.Errorf("20 records were acknowledged, the log ends at %d", got)
	}
}

func TestATakenPortIsNamedWithItsSetting(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { taken.Close() })
	b, err := broker.New(broker.Config{Addr: taken.Addr().String(), DataDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context())
	if err == nil || !strings.Contains(err.Error(), "TRUNKLINE_KAFKA_ADDR") || strings.Contains(err.Error(), "\n") {
		t.Errorf("want one line with the setting: %v", err)
	}
	stop(t, b) // it never started
}

func TestASecondHubOnTheSameLogIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	second, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	if err := second.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "in use by another hub") {
		t.Errorf("second start: %v", err)
	}
}

func TestTheWildcardAddressIsNotAdvertised(t *testing.T) {
	t.Parallel()
	b := started(t, broker.Config{Addr: "0.0.0.0:0", DataDir: t.TempDir()})
	meta, err := client(t, b.Addr()).Metadata(t.Context(), &kafka.MetadataRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if len(meta.Brokers) != 1 || net.ParseIP(meta.Brokers[0].Host) == nil || net.ParseIP(meta.Brokers[0].Host).IsUnspecified() {
		t.Errorf("advertised: %+v", meta.Brokers)
	}
	createTopic(t, b.Addr())
	produce(t, b.Addr(), "through the advertised address")
}

// An explicit retention on one topic starts kfake's cleaner for all of them.
func TestTheCleanerLeavesTopicsWithoutRetentionAlone(t *testing.T) {
	t.Parallel()
	b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir()})
	c := client(t, b.Addr())
	alter := func(kind kafka.ResourceType, name, key, value string) {
		t.Helper()
		resp, err := c.IncrementalAlterConfigs(t.Context(), &kafka.IncrementalAlterConfigsRequest{Resources: []kafka.IncrementalAlterConfigsRequestResource{{
			ResourceType: kind, ResourceName: name,
			Configs: []kafka.IncrementalAlterConfigsRequestConfig{{Name: key, Value: value, ConfigOperation: kafka.ConfigOperationSet}},
		}}})
		if err != nil || resp.Resources[0].Error != nil {
			t.Fatal(err, resp)
		}
	}
	alter(kafka.ResourceTypeBroker, "0", "log.cleaner.backoff.ms", "10")
	for _, topic := range []string{"facts", "short"} {
		if resp, err := c.CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic, NumPartitions: 1, ReplicationFactor: 1}}}); err != nil || resp.Errors[topic] != nil {
			t.Fatal(err, resp)
		}
		resp, err := c.Produce(t.Context(), &kafka.ProduceRequest{
			Topic: topic, RequiredAcks: kafka.RequireAll,
			Records: kafka.NewRecordReader(kafka.Record{Time: time.Now().AddDate(-1, 0, 0), Value: kafka.NewBytes([]byte("a year old"))}),
		})
		if err != nil || resp.Error != nil {
			t.Fatal(err, resp)
		}
	}
	first := func(topic string) int64 {
		resp, err := c.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(0)}}})
		if err != nil {
			t.Fatal(err)
		}
		return resp.Topics[topic][0].FirstOffset
	}
	alter(kafka.ResourceTypeTopic, "short", "retention.ms", "1000")
	testenv.Eventually(t, func() error {
		if got := first("short"); got != 1 {
			return fmt.Errorf("the cleaner has not run: the topic with a retention begins at %d", got)
		}
		return nil
	})
	if got := first("facts"); got != 0 {
		t.Errorf("the cleaner took the record of a topic without retention: it begins at %d", got)
	}
}

// A scan of ports, a browser and a client that expects TLS must not end the hub.
func TestWhatIsNoRequestOfKafkasEndsOnlyItsConnection(t *testing.T) {
	t.Parallel()
	hub := startHub(t, t.TempDir())
	for name, sent := range map[string]string{
		"a key that Kafka does not have": "\x00\x00\x00\x0a\x27\x0f\x00\x00\x00\x00\x00\x01\xff\xff",
		"a negative key":                 "\x00\x00\x00\x0a\xff\xff\x00\x00\x00\x00\x00\x01\xff\xff",
		"a request of two gigabytes":     "\x7f\xff\xff\xff\x00\x03\x00\x00",
		"HTTP":                           "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
		"TLS":                            "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
		"nothing but its length":         "\x00\x00\x00\x00\x00\x00\x00\x00",
	} {
		c, err := net.Dial("tcp", hub.addr)
		if err != nil {
			t.Fatalf("after %q: %v", name, err)
		}
		if _, err := io.WriteString(c, sent); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if n, err := c.Read(make([]byte, 1)); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: the connection was not ended: %d bytes, %v", name, n, err)
		}
		c.Close()
	}
	createTopic(t, hub.addr)
	produce(t, hub.addr, "still here")
}

// Clients name topics by id since Kafka 4.1, and keep ids of a log that was there
// before.
func TestFactsForTopicsThatAreGoneDoNotEndTheHub(t *testing.T) {
	t.Parallel()
	hub := startHub(t, t.TempDir())
	createTopic(t, hub.addr)
	c, err := net.Dial("tcp", hub.addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	req := kmsg.NewPtrProduceRequest()
	req.SetVersion(13)
	req.Acks = -1
	for id := range 2 {
		topic := kmsg.NewProduceRequestTopic()
		topic.TopicID = [16]byte{1, byte(id)}
		topic.Partitions = append(topic.Partitions, kmsg.NewProduceRequestTopicPartition())
		req.Topics = append(req.Topics, topic)
	}
	if _, err := c.Write(kmsg.NewRequestFormatter().AppendRequest(nil, req, 1)); err != nil {
		t.Fatal(err)
	}
	_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error("no answer, and the connection is open")
	}
	produce(t, hub.addr, "still here")
}
