package main

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"trunkline.dev/trunkline/cmd/internal/simulate"
)

// TestADayReconcilesThroughKills plays a small day while the hub is killed with
// kill -9 five times: everything acknowledged is in Kafka, Postgres and
// ClickHouse, each event once, and every webhook owed was received.
func TestADayReconcilesThroughKills(t *testing.T) {
	dayThroughKills(t, 5, simulate.Options{Agents: 25, Hours: 1.5, Speed: 90, Seed: 7})
}

// dayThroughKills plays a day and kills the hub so often meanwhile.
func dayThroughKills(t *testing.T, kills int, o simulate.Options) {
	t.Helper()
	h := newHub(t, map[string]string{"TRUNKLINE_SETTLE_DISPOSITION": "4s", "TRUNKLINE_SETTLE_TRANSCRIPT": "2s"})
	h.start()
	pg, ch := storeURLs(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var wg sync.WaitGroup
	wg.Go(func() {
		for range kills {
			select {
			case <-ctx.Done():
				t.Error("the day ended before the kills did: make it longer")
				return
			case <-time.After(time.Duration(1500+rnd.IntN(3000)) * time.Millisecond):
			}
			h.kill()
			h.start()
		}
	})
	var progress tailBuffer
	o.BaseURL, o.AdminKey, o.Webhooks, o.Patience, o.Progress = h.base(), h.env["TRUNKLINE_ADMIN_KEY"], true, 3*time.Minute, &progress
	o.Stores = simulate.Stores{KafkaBrokers: []string{h.env["TRUNKLINE_KAFKA_ADDR"]}, PostgresURL: pg, ClickHouseURL: ch}
	rep, err := simulate.Run(ctx, o)
	cancel()
	wg.Wait()
	var table strings.Builder
	if werr := rep.Write(&table); werr != nil {
		t.Fatal(werr)
	}
	t.Logf("%s\n%s", &progress, &table)
	if err != nil {
		t.Fatal(err)
	}
}

// storeURLs are the doors of a running hub's embedded stores.
func storeURLs(t *testing.T, h *hub) (postgres, clickhouse string) {
	t.Helper()
	cfg := Config{
		DataDir: h.env["TRUNKLINE_DATA_DIR"], PostgresAddr: h.env["TRUNKLINE_POSTGRES_ADDR"],
		ClickHouseNativeAddr: h.env["TRUNKLINE_CLICKHOUSE_NATIVE_ADDR"], ClickHouseBIPassword: h.env["TRUNKLINE_CLICKHOUSE_BI_PASSWORD"],
	}
	pg, ch, err := embeddedURLs(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return pg, ch
}
