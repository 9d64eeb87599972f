package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"trunkline.dev/trunkline/cmd/internal/simulate"
)

// TestADayReconcilesThroughKills plays a small day while the hub, and the
// Postgres and the ClickHouse that it has started, are killed with kill -9:
// everything acknowledged is in Kafka, Postgres and ClickHouse, each event once,
// and every webhook owed was received.
func TestADayReconcilesThroughKills(t *testing.T) {
	h := newHub(t, settlingSoon())
	dayThroughKills(t, h, []strike{killHub, killPostgres, killHub, killClickHouse, killHub}, simulate.Options{Agents: 25, Hours: 1.5, Speed: 90, Seed: 7})
}

// settlingSoon makes calls settle within the day.
func settlingSoon() map[string]string {
	return map[string]string{"TRUNKLINE_SETTLE_DISPOSITION": "4s", "TRUNKLINE_SETTLE_TRANSCRIPT": "2s"}
}

// strike kills a part of a running system, and returns when it is back or when
// the hub is about to bring it back.
type strike func(t *testing.T, h *hub)

func killHub(_ *testing.T, h *hub) {
	h.kill()
	h.start()
}

// killPostgres kills the postmaster of the embedded Postgres; the hub starts
// another one.
func killPostgres(t *testing.T, h *hub) { killChild(t, h, "/postgres\x00") }

// killClickHouse kills the child that runs the ClickHouse engine.
func killClickHouse(t *testing.T, h *hub) { killChild(t, h, "trunkline-clickhouse\x00") }

// killChild kills the process whose arguments name the program and the hub's
// data directory. Between two of its lives it is waited for.
func killChild(t *testing.T, h *hub, program string) {
	t.Helper()
	eventually(t, "a process to kill", func(context.Context) error {
		all, err := filepath.Glob("/proc/[0-9]*/cmdline")
		if err != nil {
			return err
		}
		for _, path := range all {
			args, err := os.ReadFile(path)
			if err != nil || !bytes.Contains(args, []byte(program)) || !bytes.Contains(args, []byte(h.env["TRUNKLINE_DATA_DIR"]+"/")) {
				continue
			}
			pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				return err
			}
			return syscall.Kill(pid, syscall.SIGKILL)
		}
		return fmt.Errorf("no %q of %s", program, h.env["TRUNKLINE_DATA_DIR"])
	})
}

// dayThroughKills plays a day on a hub and strikes meanwhile, at random moments.
func dayThroughKills(t *testing.T, h *hub, strikes []strike, o simulate.Options) simulate.Report {
	t.Helper()
	h.start()
	o.Stores = storesOf(t, h)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	rnd := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	var wg sync.WaitGroup
	wg.Go(func() {
		for _, strike := range strikes {
			select {
			case <-ctx.Done():
				t.Error("the day ended before the kills did: make it longer")
				return
			case <-time.After(time.Duration(1500+rnd.IntN(3000)) * time.Millisecond):
			}
			strike(t, h)
		}
	})
	var progress tailBuffer
	o.BaseURL, o.AdminKey, o.Webhooks, o.Patience, o.Progress = h.base(), h.env["TRUNKLINE_ADMIN_KEY"], true, 3*time.Minute, &progress
	rep, err := simulate.Run(ctx, o)
	cancel()
	wg.Wait()
	var table strings.Builder
	if werr := rep.Write(&table); werr != nil {
		t.Fatal(werr)
	}
	t.Logf("%s\n%s", &progress, &table)
	if err != nil {
		status, how, _ := h.get(t.Context(), "/v1/projections")
		t.Fatalf("%v\nthe read models: %d %s", err, status, how)
	}
	return rep
}

// TestWhatPostgresLostIsAppliedAgain: a Postgres that is killed loses what it
// confirmed last. The read model has it again although no other event comes.
func TestWhatPostgresLostIsAppliedAgain(t *testing.T) {
	h := newHub(t, nil)
	h.start()
	admin, _ := h.org(t)
	w := &writer{admin: admin}
	url := storesOf(t, h).PostgresURL
	for range 2 {
		w.write(t, 4)
		w.inPostgres(t, h)
		life := lifeOf(t, url, "")
		killPostgres(t, h)
		lifeOf(t, url, life)
		w.inPostgres(t, h)
	}
}

// lifeOf waits for another life of a Postgres than the former one, and returns which
// it is.
func lifeOf(t *testing.T, url, former string) (life string) {
	t.Helper()
	eventually(t, "Postgres", func(ctx context.Context) error {
		conn, err := pgx.Connect(ctx, url)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		if err := conn.QueryRow(ctx, "SELECT pg_postmaster_start_time()::text").Scan(&life); err != nil {
			return err
		}
		if life == former {
			return errors.New("it has not been killed yet")
		}
		return nil
	})
	return life
}

// storesOf are the doors of the stores of a running hub.
func storesOf(t *testing.T, h *hub) simulate.Stores {
	t.Helper()
	cfg := Config{
		DataDir: h.env["TRUNKLINE_DATA_DIR"], PostgresAddr: h.env["TRUNKLINE_POSTGRES_ADDR"],
		ClickHouseNativeAddr: h.env["TRUNKLINE_CLICKHOUSE_NATIVE_ADDR"], ClickHouseBIPassword: h.env["TRUNKLINE_CLICKHOUSE_BI_PASSWORD"],
	}
	pg, ch, err := embeddedURLs(cfg)
	if err != nil {
		t.Fatal(err)
	}
	brokers := h.env["TRUNKLINE_KAFKA_BROKERS"]
	if brokers == "" {
		brokers = h.env["TRUNKLINE_KAFKA_ADDR"]
	}
	return simulate.Stores{KafkaBrokers: []string{brokers}, PostgresURL: pg, ClickHouseURL: ch}
}
