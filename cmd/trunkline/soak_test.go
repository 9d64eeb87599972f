//go:build soak

package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"trunkline.dev/trunkline/adapters/testenv"
	"trunkline.dev/trunkline/cmd/internal/simulate"
)

// TestSoakADayThroughSixtyKills is the long form of the kill test: about ten
// minutes. `make soak` runs it.
func TestSoakADayThroughSixtyKills(t *testing.T) {
	dayThroughKills(t, newHub(t, settlingSoon()), slices.Repeat([]strike{killHub}, 60), simulate.Options{Agents: 60, Hours: 8, Speed: 48, Seed: 11})
}

// killsEach is how often each part is killed.
const killsEach = 20

// TestSoakKillMatrix kills each part at twenty random moments of a day of its
// own: the hub with its embedded broker, Apache Kafka, Postgres, the ClickHouse
// engine. Nothing is lost; what is repeated is counted.
func TestSoakKillMatrix(t *testing.T) {
	var table strings.Builder
	fmt.Fprintf(&table, "| killed %d times | events | lost | twice in the log | webhooks owed | lost | requests repeated |\n| --- | --- | --- | --- | --- | --- | --- |\n", killsEach)
	for _, victim := range []struct {
		name string
		// hours of the day at 90 times the speed: as long as the kills take.
		hours float64
		play  func(t *testing.T, o simulate.Options) simulate.Report
	}{
		{"hub, its broker in it", 3, func(t *testing.T, o simulate.Options) simulate.Report {
			return dayThroughKills(t, newHub(t, settlingSoon()), slices.Repeat([]strike{killHub}, killsEach), o)
		}},
		{"Postgres", 6, func(t *testing.T, o simulate.Options) simulate.Report {
			return dayThroughKills(t, newHub(t, settlingSoon()), slices.Repeat([]strike{killPostgres, atWork(killPostgres)}, killsEach/2), o)
		}},
		{"ClickHouse", 6, func(t *testing.T, o simulate.Options) simulate.Report {
			return dayThroughKills(t, newHub(t, settlingSoon()), slices.Repeat([]strike{killClickHouse, atWork(killClickHouse)}, killsEach/2), o)
		}},
		{"Apache Kafka", 12, func(t *testing.T, o simulate.Options) simulate.Report {
			broker := testenv.ApacheKafka(t)
			env := settlingSoon()
			env["TRUNKLINE_KAFKA_BROKERS"], env["TRUNKLINE_KAFKA_PARTITIONS"] = broker.Addr(), "4"
			restart := func(*testing.T, *hub) { broker.Restart() }
			return dayThroughKills(t, newHub(t, env), slices.Repeat([]strike{restart}, killsEach), o)
		}},
	} {
		t.Run(victim.name, func(t *testing.T) {
			rep := victim.play(t, simulate.Options{Agents: 25, Hours: victim.hours, Speed: 90, Seed: 13})
			events, owed, received, repeats := 0, 0, 0, 0
			for _, k := range rep.Kinds {
				events += k.Sent
			}
			for _, h := range rep.Webhooks {
				owed, received, repeats = owed+h.Owed, received+h.Received, repeats+h.Repeats
			}
			// A report that reconciles has lost nothing; the play fails otherwise.
			fmt.Fprintf(&table, "| %s | %d | 0 | %d | %d | %d | %d (%.2f %%) |\n", victim.name, events, rep.LogDuplicates, owed, owed-received, repeats, 100*float64(repeats)/float64(max(owed, 1)))
		})
	}
	t.Log("\n" + table.String())
}

// atWork strikes when all parts work again: one that is killed often is brought back
// later each time, so most strikes would find it in its first moments.
func atWork(s strike) strike {
	return func(t *testing.T, h *hub) {
		h.awaitReady(t)
		s(t, h)
	}
}
