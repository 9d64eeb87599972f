package readmodel_test

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"trunkline.dev/trunkline/adapters/memory"
	"trunkline.dev/trunkline/adapters/postgres/internal/pgtest"
	"trunkline.dev/trunkline/adapters/postgres/readmodel"
	"trunkline.dev/trunkline/adapters/procstat"
	"trunkline.dev/trunkline/domain/call"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

// benchEvents is how long the log is that a rebuild is measured with, and
// benchShapes are how many events a call has: 12 is a usual call, one the hardest
// case, which writes the row of an entity for each event. 200 calls are under
// way at a time.
const benchEvents = 120_000

var benchShapes = []int{12, 1}

func callFacts(i int) []event.Payload {
	at := t0.Add(time.Duration(i) * time.Second)
	text := strings.Repeat("and then the customer asked about the invoice. ", 20)
	return []event.Payload{
		call.Started{Direction: "outbound", From: "+14155550111", To: fmt.Sprintf("+1415555%04d", i%10_000), LeadID: "lead", Agent: &call.Agent{ID: fmt.Sprintf("a%d", i%200), Name: "Ada"}, ListID: "list", Campaign: "autumn", StartedAt: at},
		call.Answered{AnsweredAt: at.Add(5 * time.Second)},
		call.Corrected{Tags: []string{"vip"}},
		call.NoteAdded{Note: "wants a call back on Monday"},
		call.Ended{EndedAt: at.Add(65 * time.Second)},
		call.Dispositioned{Disposition: "interested"},
		call.RecordingReady{Recording: call.Recording{URL: "https://recordings.example/1.mp3", Format: "mp3"}},
		call.TranscriptReady{Transcript: text},
		call.SummaryAdded{Summary: "Interested, call back on Monday."},
		call.NoteAdded{Note: "sent the brochure"},
		call.Settled{WaitedFor: call.ForDisposition, AfterSec: 120},
		call.Corrected{Status: "completed"},
	}
}

func fillLog(b *testing.B, log *memory.Log, perCall int) int {
	b.Helper()
	const underWay = 200
	n := 0
	for first := 0; n < benchEvents; first += underWay {
		for step := range perCall {
			for i := first; i < first+underWay; i++ {
				subject := event.DeriveID("call", fmt.Sprint(i))
				at := t0.Add(time.Duration(i+step*10) * time.Second)
				e, err := event.New(event.Envelope{
					ID: event.DeriveID(subject, fmt.Sprint(step)), Org: "5e9d3c1a-0000-4000-8000-000000000001", Subject: subject,
					Source: "connection/dialer", Actor: "key/1", CorrelationID: subject, OccurredAt: at, RecordedAt: at.Add(time.Millisecond),
				}, callFacts(i)[step])
				if err != nil {
					b.Fatal(err)
				}
				if _, err := log.Append(b.Context(), e); err != nil {
					b.Fatal(err)
				}
				n++
			}
		}
	}
	return n
}

// BenchmarkRebuild sets a rebuild of the calls against a bare COPY of the
// resulting history rows into a table with the same columns and indexes.
func BenchmarkRebuild(b *testing.B) {
	for _, perCall := range benchShapes {
		b.Run(fmt.Sprintf("%dPerCall", perCall), func(b *testing.B) { benchmarkRebuild(b, perCall) })
	}
}

func benchmarkRebuild(b *testing.B, perCall int) {
	pool := pgtest.Open(b, 8)
	log := memory.NewLog(4)
	events := fillLog(b, log, perCall)
	store := readmodel.NewStore(pool, projections.Models(), "bench")
	calls := store.AllGenerations(projections.Models(), 0)[1]
	if err := calls.Ensure(b.Context()); err != nil {
		b.Fatal(err)
	}
	var rebuild, bare time.Duration
	var cpu, copied procstat.Used
	for b.Loop() {
		g, err := calls.Create(b.Context())
		if err != nil {
			b.Fatal(err)
		}
		runtime.GC()
		began, used := time.Now(), procstat.Of(os.Getpid())
		build(b, log, calls, g)
		rebuild += time.Since(began)
		cpu = cpu.Plus(procstat.Of(os.Getpid()).Since(used))
		took, more := copyHistory(b, pool, g.Number)
		bare, copied = bare+took, copied.Plus(more)
		if err := calls.Drop(b.Context(), g.Number); err != nil {
			b.Fatal(err)
		}
	}
	n := float64(events * b.N)
	b.ReportMetric(n/rebuild.Seconds(), "events/s")
	b.ReportMetric(n/bare.Seconds(), "copied/s")
	b.ReportMetric(100*bare.Seconds()/rebuild.Seconds(), "%ofcopy")
	b.ReportMetric(float64(cpu[procstat.Hub].Microseconds())/n, "go-µs/event")
	b.ReportMetric(float64(cpu[procstat.Postgres].Microseconds())/n, "pg-µs/event")
	b.ReportMetric(float64(copied[procstat.Postgres].Microseconds())/n, "pg-µs/copied")
	b.ReportMetric(0, "ns/op")
}

func build(b *testing.B, log *memory.Log, g *readmodel.Generations, generation projections.Generation) {
	b.Helper()
	r, err := projections.NewRunner(projections.RunnerConfig{
		Projection: g.Projection(), Generation: generation, Topics: g.Topics(), Source: log, Applier: g.Applier(generation.Number),
		Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	ends, err := log.Ends(b.Context(), event.Calls)
	if err != nil {
		b.Fatal(err)
	}
	defer func() {
		if err := g.Complete(b.Context(), generation.Number); err != nil {
			b.Fatal(err)
		}
	}()
	for done := false; !done; <-time.After(5 * time.Millisecond) {
		have, err := g.Checkpoints(b.Context(), generation.Number)
		if err != nil {
			b.Fatal(err)
		}
		done = true
		for id, end := range ends[event.Calls] {
			done = done && have[event.Calls][id] == end
		}
	}
}

// copyHistory reads the history of a generation into memory and copies it into
// a fresh table by one COPY, which is timed.
func copyHistory(b *testing.B, pool *pgxpool.Pool, generation int) (time.Duration, procstat.Used) {
	b.Helper()
	ctx := b.Context()
	source := fmt.Sprintf("call_history_g%d", generation)
	rows, err := pool.Query(ctx, "SELECT * FROM "+source)
	if err != nil {
		b.Fatal(err)
	}
	var columns []string
	for _, f := range rows.FieldDescriptions() {
		columns = append(columns, f.Name)
	}
	all, err := pgx.CollectRows(rows, func(row pgx.CollectableRow) ([]any, error) { return row.Values() })
	if err != nil {
		b.Fatal(err)
	}
	if _, err := pool.Exec(ctx, "CREATE TABLE bare (LIKE "+source+" INCLUDING ALL)"); err != nil {
		b.Fatal(err)
	}
	runtime.GC()
	began, used := time.Now(), procstat.Of(os.Getpid())
	if _, err := pool.CopyFrom(ctx, pgx.Identifier{"bare"}, columns, pgx.CopyFromRows(all)); err != nil {
		b.Fatal(err)
	}
	took, more := time.Since(began), procstat.Of(os.Getpid()).Since(used)
	if _, err := pool.Exec(ctx, "DROP TABLE bare"); err != nil {
		b.Fatal(err)
	}
	return took, more
}

// BenchmarkOneEvent is the time from an append to the view of the event, one
// event at a time: what a webhook waits for.
func BenchmarkOneEvent(b *testing.B) {
	pool := pgtest.Open(b, 8)
	log, progress := memory.NewLog(4), readmodel.NewProgress(pool, slog.New(slog.DiscardHandler))
	defer func() { _ = progress.Stop(context.Background()) }()
	store := readmodel.NewStore(pool, projections.Models(), "bench")
	all := store.AllGenerations(projections.Models(), 0)
	for _, g := range all {
		if err := g.Ensure(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	calls := all[1]
	r, err := projections.NewRunner(projections.RunnerConfig{
		Projection: "calls", Generation: projections.Generation{Number: 1, Status: projections.Live}, Topics: calls.Topics(), Source: log,
		Applier: calls.Applier(1), Observer: progress, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := r.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	defer func() { _ = r.Stop(context.Background()) }()
	reader := readmodel.NewReader(pool, nil)
	var waited time.Duration
	i := 0
	for b.Loop() {
		subject := fmt.Sprintf("c%d", i/12)
		e, err := event.New(event.Envelope{ID: fmt.Sprint(i), Org: "org", Subject: subject, Source: "api", OccurredAt: t0, RecordedAt: t0}, callFacts(i)[i%12])
		if err != nil {
			b.Fatal(err)
		}
		i++
		began := time.Now()
		at, err := log.Append(b.Context(), e)
		if err != nil {
			b.Fatal(err)
		}
		if err := progress.Wait(b.Context(), "calls", at...); err != nil {
			b.Fatal(err)
		}
		waited += time.Since(began)
		views, err := reader.Views(b.Context(), []event.Recorded{{Event: e, Position: at[0]}})
		if err != nil || views[0].Version == 0 {
			b.Fatalf("views %+v: %v", views, err)
		}
	}
	b.ReportMetric(float64(waited.Microseconds())/float64(b.N), "µs/committed")
}
