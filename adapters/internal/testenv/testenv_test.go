package testenv_test

import (
	"context"
	"testing"
	"time"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"
	"github.com/segmentio/kafka-go"

	"trunkline.dev/trunkline/adapters/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

func TestEachPostgresDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	for range 2 {
		conn, err := pgx.Connect(t.Context(), testenv.Postgres(t))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close(context.WithoutCancel(t.Context())) })
		if _, err := conn.Exec(t.Context(), "CREATE TABLE only_once (a int)"); err != nil {
			t.Error(err)
		}
	}
}

func TestEachClickHouseDatabaseIsEmpty(t *testing.T) {
	t.Parallel()
	for range 2 {
		d := testenv.ClickHouse(t)
		for addr, protocol := range map[string]chgo.Protocol{d.HTTPAddr: chgo.HTTP, d.NativeAddr: chgo.Native} {
			conn, err := chgo.Open(&chgo.Options{Addr: []string{addr}, Protocol: protocol, Auth: chgo.Auth{Database: d.Database, Username: d.User, Password: d.Password}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			if err := conn.Exec(t.Context(), "CREATE TABLE only_once_"+protocol.String()+" (a Int32) ENGINE = MergeTree ORDER BY a"); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestKafkaTakesRecords(t *testing.T) {
	t.Parallel()
	addr := testenv.Kafka(t)
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	transport := &kafka.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &kafka.Client{Addr: kafka.TCP(addr), Transport: transport}
	resp, err := client.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: "facts", NumPartitions: 4, ReplicationFactor: 1}}})
	if err != nil || resp.Errors["facts"] != nil {
		t.Fatal(err, resp.Errors["facts"])
	}
	got, err := client.Produce(ctx, &kafka.ProduceRequest{Topic: "facts", Partition: 2, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Key: kafka.NewBytes([]byte("k")), Value: kafka.NewBytes([]byte("v"))})})
	if err != nil || got.Error != nil {
		t.Fatal(err, got.Error)
	}
}
