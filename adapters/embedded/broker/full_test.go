package broker_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/segmentio/kafka-go"
	"golang.org/x/sys/unix"

	"trunkline.dev/trunkline/adapters/embedded/broker"
)

// fill lets no file of a hub grow beyond a size, as a full disk would; free ends
// that.
func (p *process) fill(t *testing.T, size uint64) (free func()) {
	t.Helper()
	var before unix.Rlimit
	full := unix.Rlimit{Cur: size, Max: unix.RLIM_INFINITY}
	if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &full, &before); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := unix.Prlimit(p.cmd.Process.Pid, unix.RLIMIT_FSIZE, &before, nil); err != nil {
			t.Fatal(err)
		}
	}
}

func tryCreate(t *testing.T, addr string) error {
	t.Helper()
	resp, err := client(t, addr).CreateTopics(t.Context(), &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "facts", NumPartitions: -1, ReplicationFactor: -1}}})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Errors["facts"]
}

func tryProduce(t *testing.T, addr string) error {
	t.Helper()
	resp, err := client(t, addr).Produce(t.Context(), &kafka.ProduceRequest{
		Topic: "facts", Partition: 3, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes(make([]byte, 100))}),
	})
	if err != nil {
		t.Fatal(err)
	}
	return resp.Error
}

func TestAFullDiskTakesNothingAndLosesNothing(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := startHub(t, dir)
	createTopic(t, hub.addr)
	acknowledged := int64(0)
	free := hub.fill(t, 1000)
	for range 20 { // some fit
		if tryProduce(t, hub.addr) == nil {
			acknowledged++
		}
	}
	if acknowledged == 0 || acknowledged == 20 {
		t.Fatalf("%d of 20 were acknowledged", acknowledged)
	}
	if got := end(t, hub.addr); got != acknowledged {
		t.Errorf("%d were acknowledged, the log ends at %d", acknowledged, got)
	}
	free()
	for range 5 {
		produce(t, hub.addr, "there is room again")
	}
	hub.kill(t)
	b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if got := end(t, b.Addr()); got != acknowledged+5 {
		t.Errorf("%d were acknowledged, after a restart the log ends at %d", acknowledged+5, got)
	}
}

// kfake acknowledges a topic that it could not write down; after a restart it would
// begin anew in files that are there.
func TestATopicIsNotCreatedOnAFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := startHub(t, dir)
	free := hub.fill(t, 40)
	err := tryCreate(t, hub.addr)
	free()
	if err != nil {
		if !errors.Is(err, kafka.KafkaStorageError) {
			t.Errorf("creating a topic: %v", err)
		}
		createTopic(t, hub.addr)
	}
	for range 5 {
		produce(t, hub.addr, "acknowledged")
	}
	hub.kill(t)
	b := started(t, broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if got := end(t, b.Addr()); got != 5 {
		t.Errorf("5 records were acknowledged, the log ends at %d", got)
	}
}

func TestALogWithoutItsListOfTopicsIsRefused(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	hub := startHub(t, dir)
	createTopic(t, hub.addr)
	produce(t, hub.addr, "acknowledged")
	hub.kill(t)
	if err := os.Remove(filepath.Join(dir, "kafka", "log", "topics.json")); err != nil {
		t.Fatal(err)
	}
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: dir})
	if err != nil {
		t.Fatal(err)
	}
	err = b.Start(t.Context())
	t.Cleanup(func() { stop(t, b) })
	if err == nil || !strings.Contains(err.Error(), "facts-3") || !strings.Contains(err.Error(), "topics.json") {
		t.Errorf("started without the list of topics: %v", err)
	}
}
