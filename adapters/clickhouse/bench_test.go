package clickhouse

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"trunkline.dev/trunkline/adapters/internal/testenv"
	"trunkline.dev/trunkline/adapters/procstat"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// benchShapes are how many events a call has; one is the hardest for the sink,
// which then writes a state for each event.
var benchShapes = []int{12, 1}

// benchWorld is n events of calls of about 1 KB, so many to a call, on four
// partitions.
func benchWorld(n, perCall int) [][]event.Recorded {
	filler := json.RawMessage(`"` + strings.Repeat("plausible words ", 40) + `"`)
	at := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	parts := make([][]event.Recorded, 4)
	live := make([]int, 64) // calls that go on at a time
	for i := range live {
		live[i] = i
	}
	step := make(map[int]int)
	next := len(live)
	for i := range n {
		slot := i % len(live)
		c := live[slot]
		at = at.Add(3 * time.Millisecond)
		var p event.Payload = call.Corrected{Custom: map[string]json.RawMessage{"k": filler}}
		switch step[c] {
		case 0:
			p = call.Started{
				Direction: "outbound", From: "+15550100", To: "+15550123", StartedAt: at, Campaign: "spring",
				Agent: &call.Agent{ID: fmt.Sprintf("agent-%d", slot), Name: "Ann"}, Custom: map[string]json.RawMessage{"k": filler},
			}
		case 5:
			p = call.Ended{EndedAt: at}
		case 6:
			p = call.Dispositioned{Disposition: "sold"}
		}
		if step[c]++; step[c] == perCall {
			live[slot] = next
			next++
		}
		id := event.DeriveID("call", fmt.Sprint(c))
		e, err := event.New(event.Envelope{
			ID: event.DeriveID("e", fmt.Sprint(i)), Source: "api", Subject: id, Org: "org", Actor: "key/1",
			CorrelationID: id, OccurredAt: at, RecordedAt: at,
		}, p)
		if err != nil {
			panic(err)
		}
		part := c % len(parts)
		pos := event.Position{Topic: event.Calls, Partition: part, Offset: int64(len(parts[part]))}
		parts[part] = append(parts[part], event.Recorded{Event: e, Position: pos})
	}
	return parts
}

// nothingTwice is a log without duplicates that is always folded.
type nothingTwice struct{}

func (nothingTwice) Wait(context.Context, string, ...event.Position) error { return nil }
func (nothingTwice) Duplicates(context.Context, event.Topic, int, int64, int64) (map[int64]struct{}, error) {
	return nil, nil
}

// BenchmarkSink applies b.N events of calls, by as many runners as there are
// partitions; BenchmarkBare inserts the rows that the sink makes of them into
// the same tables by batches of 10,000, as one would write it by hand.
func BenchmarkSink(b *testing.B) {
	for _, perCall := range benchShapes {
		b.Run(fmt.Sprintf("%dPerCall", perCall), func(b *testing.B) { benchmarkSink(b, perCall) })
	}
}

func benchmarkSink(b *testing.B, perCall int) {
	s, a := benchSink(b)
	parts := benchWorld(b.N, perCall)
	runtime.GC()
	before := procstat.Of(os.Getpid())
	b.ResetTimer()
	var eg errgroup.Group
	for p, part := range parts {
		eg.Go(func() error {
			session, err := a.Claim(b.Context(), event.Calls, p)
			if err != nil {
				return err
			}
			for len(part) > 0 {
				n := min(len(part), batchEvents)
				if err := session.Apply(b.Context(), part[:n]); err != nil {
					return err
				}
				part = part[n:]
			}
			return nil
		})
	}
	if err := eg.Wait(); err != nil {
		b.Fatal(err)
	}
	report(b, s, before)
}

func BenchmarkBare(b *testing.B) {
	for _, perCall := range benchShapes {
		b.Run(fmt.Sprintf("%dPerCall", perCall), func(b *testing.B) { benchmarkBare(b, perCall) })
	}
}

func benchmarkBare(b *testing.B, perCall int) {
	s, a := benchSink(b)
	server, err := s.started(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var rows []analyticsRows
	for p, part := range benchWorld(b.N, perCall) {
		m, err := a.mapper(b.Context(), owner{topic: event.Calls, partition: p}, 0, server)
		if err != nil {
			b.Fatal(err)
		}
		for len(part) > 0 {
			n := min(len(part), 10_000)
			r, _, err := m.rows(b.Context(), part[:n], nil)
			if err != nil {
				b.Fatal(err)
			}
			rows = append(rows, r)
			part = part[n:]
		}
	}
	runtime.GC()
	before := procstat.Of(os.Getpid())
	b.ResetTimer()
	for _, r := range rows {
		if err := bareEvents(b.Context(), s, r.events); err != nil {
			b.Fatal(err)
		}
		if err := bareCalls(b.Context(), s, r.calls); err != nil {
			b.Fatal(err)
		}
	}
	report(b, s, before)
}

func benchSink(b *testing.B) (*Store, *applier[analyticsRows]) {
	b.Helper()
	s, err := Open(Config{URL: testenv.ClickHouse(b).URL()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	if err := s.Migrate(b.Context()); err != nil {
		b.Fatal(err)
	}
	sink, err := NewAnalytics(s, SinkConfig{}, nothingTwice{}, nothingTwice{})
	if err != nil {
		b.Fatal(err)
	}
	return s, sink.Applier(1).(*applier[analyticsRows])
}

func report(b *testing.B, s *Store, before procstat.Used) {
	b.Helper()
	b.StopTimer()
	used := procstat.Of(os.Getpid()).Since(before)
	b.ReportMetric(float64(used[procstat.Hub].Microseconds())/float64(b.N), "go-µs/event")
	b.ReportMetric(float64(used[procstat.ClickHouse].Microseconds())/float64(b.N), "ch-µs/event")
	var events, calls uint64
	if err := s.conn.QueryRow(b.Context(), "SELECT (SELECT count() FROM events), (SELECT count() FROM calls)").Scan(&events, &calls); err != nil {
		b.Fatal(err)
	}
	if int(events) != b.N {
		b.Fatalf("%d events, want %d", events, b.N)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(calls), "calls")
}

func bareEvents(ctx context.Context, s *Store, rows []eventRow) error {
	batch, err := s.conn.PrepareBatch(ctx, strings.Replace(strings.Replace(eventTable.statement("g1"), "_in", "", 1), ", `sink_epoch`", "", 1))
	if err != nil {
		return err
	}
	for _, r := range rows {
		err := batch.Append(r.Org, r.ID, string(r.Type), r.Subject, r.OccurredAt, r.RecordedAt, string(r.Position.Topic),
			uint16(r.Position.Partition), uint64(r.Position.Offset), r.Source, r.Actor, r.CorrelationID, r.CausationID,
			string(r.Origin), r.TraceParent, string(r.Data))
		if err != nil {
			return err
		}
	}
	return batch.Send()
}

func bareCalls(ctx context.Context, s *Store, rows []callRow) error {
	batch, err := s.conn.PrepareBatch(ctx, callTable.statement("g1"))
	if err != nil {
		return err
	}
	for _, r := range rows {
		err := batch.Append(r.Org, r.CallID, r.ExternalID, r.ConnectionID, r.Direction, r.From, r.To, r.LeadID, r.AgentID, r.AgentName,
			r.ListID, r.Campaign, r.Status, r.StartedAt, r.AnsweredAt, r.EndedAt, r.DurationSec, r.Disposition, r.DispositionAt, r.Notes,
			r.HasRecording, r.HasTranscript, r.Summary, r.Tags, r.OriginalCallID, r.Custom, r.FirstSeenAt, r.UpdatedAt, r.Version,
			uint16(r.Position.Partition), uint64(r.Position.Offset), string(r.State))
		if err != nil {
			return err
		}
	}
	return batch.Send()
}

var _ projections.Generations = (*Sink)(nil)
