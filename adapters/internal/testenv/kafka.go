package testenv

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"trunkline.dev/trunkline/adapters/embedded/broker"
)

// Kafka starts an empty embedded Kafka for this test and returns its address.
// Topics must be created; it creates none by itself.
func Kafka(t *testing.T) (addr string) {
	t.Helper()
	b, err := broker.New(broker.Config{Addr: "127.0.0.1:0", DataDir: t.TempDir()})
	if err != nil {
		t.Fatalf("testenv: %v", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := b.Start(ctx); err != nil {
		t.Fatalf("testenv: %v", err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		if err := b.Stop(ctx); err != nil {
			t.Errorf("testenv: %v", err)
		}
	})
	return b.Addr()
}

// DeleteRecords deletes the records of a partition below an offset.
func DeleteRecords(t *testing.T, addr, topic string, id int, offset int64) {
	t.Helper()
	client, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	of, partition := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	partition.Partition, partition.Offset = int32(id), offset
	of.Topic, of.Partitions = topic, append(of.Partitions, partition)
	req.Topics = append(req.Topics, of)
	resp, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	if p := resp.Topics[0].Partitions[0]; p.ErrorCode != 0 || p.LowWatermark != offset {
		t.Fatalf("deleting records: code %d, the log begins at %d", p.ErrorCode, p.LowWatermark)
	}
}
