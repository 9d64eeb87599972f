package testenv_test

import (
	"context"
	"testing"

	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

func TestApacheKafkaKeepsItsLogOverKill(t *testing.T) {
	t.Parallel()
	broker := testenv.ApacheKafka(t)
	// A new partition, and one that lost its broker, has no leader at first.
	testenv.Eventually(t, func() error { return createTopic(t.Context(), broker.Addr()) })
	testenv.Eventually(t, func() error { return produce(t.Context(), broker.Addr()) })
	broker.Kill()
	if err := produce(t.Context(), broker.Addr()); err == nil {
		t.Fatal("a killed broker took a record")
	}
	broker.Restart()
	testenv.Eventually(t, func() error { return produce(t.Context(), broker.Addr()) })

	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(broker.Addr()), Transport: transport}
	offsets, err := client.ListOffsets(t.Context(), &kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{"facts": {kafka.LastOffsetOf(2)}}})
	if err != nil {
		t.Fatal(err)
	}
	// More than two would be records of attempts that were not acknowledged.
	if got := offsets.Topics["facts"][0].LastOffset; got < 2 {
		t.Errorf("the log ends at %d after two acknowledged records and a kill -9", got)
	}
}

func createTopic(ctx context.Context, addr string) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
	resp, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "facts", NumPartitions: 4, ReplicationFactor: 1}}})
	if err != nil {
		return err
	}
	return resp.Errors["facts"]
}

// produce appends one record to partition 2.
func produce(ctx context.Context, addr string) error {
	transport := &kafka.Transport{}
	defer transport.CloseIdleConnections()
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
	resp, err := client.Produce(ctx, &kafka.ProduceRequest{
		Topic: "facts", Partition: 2, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte("v"))}),
	})
	if err != nil {
		return err
	}
	return resp.Error
}
