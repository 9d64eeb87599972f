package kafka_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"

	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
)

// foreignRecord is a record as somebody else's client sees it.
type foreignRecord struct {
	Topic        event.Topic `json:"topic"`
	Partition    int         `json:"partition"`
	Offset       int64       `json:"offset"`
	Key          string      `json:"key"`
	KeyPartition int         `json:"key_partition"`
	Headers      [][2]string `json:"headers"`
	Value        string      `json:"value"`
}

// documented is the record that an event at a position must be.
func documented(at event.Position, e event.Event) foreignRecord {
	r := foreignRecord{
		Topic: at.Topic, Partition: at.Partition, Offset: at.Offset,
		Key: e.Org + "/" + e.Subject, KeyPartition: at.Partition, Value: string(e.Data),
	}
	for _, h := range event.Headers(e.Envelope) {
		r.Headers = append(r.Headers, [2]string{h.Name, h.Value})
	}
	return r
}

// python runs the Python client.
func python(t *testing.T, stdin []byte, args ...string) []foreignRecord {
	t.Helper()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(root, ".cache", "kafka-python", "bin", "python"),
		append([]string{"testdata/foreign/client.py"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stdin, cmd.Stderr = bytes.NewReader(stdin), &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("running the Python client (install it by `make deps-test`, adapters/kafka/testdata/foreign/fetch.sh): %v: %s", err, stderr.Bytes())
	}
	var records []foreignRecord
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var r foreignRecord
		if err := d.Decode(&r); err != nil {
			t.Fatal(err)
		}
		records = append(records, r)
	}
	return records
}

// foreignClients shows that clients of other makes see the log as documented,
// and would put a key where we do. The broker must be empty.
func foreignClients(t *testing.T, addr string) {
	c := newClient(t, addr)
	l := newLog(t, c, kafka.LogConfig{})
	events := append(mixed(100), attempts("o-foreign", 60)...)
	positions, err := l.Append(t.Context(), events...)
	if err != nil {
		t.Fatal(err)
	}
	want := make(map[event.Position]foreignRecord)
	for i, p := range positions {
		want[p] = documented(p, events[i])
	}
	byPosition := func(records []foreignRecord) map[event.Position]foreignRecord {
		got := make(map[event.Position]foreignRecord)
		for _, r := range records {
			got[event.Position{Topic: r.Topic, Partition: r.Partition, Offset: r.Offset}] = r
		}
		return got
	}
	if d := cmp.Diff(want, byPosition(python(t, nil, "consume", addr, string(event.Calls), string(event.Leads), string(event.Deliveries)))); d != "" {
		t.Errorf("kafka-python: %s", d)
	}
	if d := cmp.Diff(want, byPosition(franz(t, addr, len(want)))); d != "" {
		t.Errorf("franz-go: %s", d)
	}

	// What a foreign producer appends lands where ours would and reads back.
	e := events[0]
	e.ID = "from-elsewhere"
	line, err := json.Marshal(documented(positions[0], e))
	if err != nil {
		t.Fatal(err)
	}
	put := python(t, line, "produce", addr, string(event.Calls))
	if len(put) != 1 || put[0].Partition != positions[0].Partition {
		t.Fatalf("kafka-python put the key at %v, we put it at %s", put, positions[0])
	}
	at := event.Position{Topic: event.Calls, Partition: put[0].Partition, Offset: put[0].Offset}
	var got event.Recorded
	collect(t, t.Context(), c, event.Calls, func(all []event.Recorded) bool {
		for _, e := range all {
			if e.Position == at {
				got = e
			}
		}
		return got.ID != ""
	})
	if got.AppendedAt.IsZero() {
		t.Error("the event says nothing of when it was appended")
	}
	if d := cmp.Diff(event.Recorded{Event: e, Position: at, AppendedAt: got.AppendedAt}, got); d != "" {
		t.Error(d)
	}
}

// franz reads n records with franz-go and asks its partitioner about each key.
func franz(t *testing.T, addr string, n int) []foreignRecord {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.ConsumeTopics(string(event.Calls), string(event.Leads), string(event.Deliveries)),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	partitioner := kgo.StickyKeyPartitioner(nil).ForTopic("")
	var records []foreignRecord
	for len(records) < n {
		fetches := client.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			t.Fatal(fmt.Errorf("franz-go: %w", err))
		}
		fetches.EachRecord(func(r *kgo.Record) {
			f := foreignRecord{
				Topic: event.Topic(r.Topic), Partition: int(r.Partition), Offset: r.Offset, Key: string(r.Key),
				KeyPartition: partitioner.Partition(r, partitions), Value: string(r.Value),
			}
			for _, h := range r.Headers {
				f.Headers = append(f.Headers, [2]string{h.Key, string(h.Value)})
			}
			records = append(records, f)
		})
	}
	return records
}
