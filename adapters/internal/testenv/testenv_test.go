package testenv_test

import (
	"context"
	"testing"

	chgo "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/jackc/pgx/v5"

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
	if err := createTopic(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
	if err := produce(t.Context(), addr); err != nil {
		t.Fatal(err)
	}
}
