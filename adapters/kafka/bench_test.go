package kafka_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"

	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

func note(org, subject string, n int) event.Event {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	return event.Event{
		Envelope: event.Envelope{
			ID: event.DeriveID(org, subject, fmt.Sprint(n)), Type: "call.note_added.v1", Source: "api",
			Subject: subject, Org: org, OccurredAt: at, RecordedAt: at,
		},
		Data: fmt.Appendf(nil, `{"n":%d,"text":%q}`, n, strings.Repeat("x", 900)),
	}
}

// BenchmarkAppend is what 64 concurrent callers append, one event each.
func BenchmarkAppend(b *testing.B) {
	l, _, _ := bench(b)
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for n := 0; pb.Next(); n++ {
			if _, err := l.Append(b.Context(), note("o-1", fmt.Sprintf("c-%d", n%100), n)); err != nil {
				b.Error(err)
				return
			}
		}
	})
	s := l.Stats()
	b.ReportMetric(float64(s.Events)/float64(s.Batches), "events/batch")
}

// BenchmarkAckToHandler is the time from a lone event's acknowledgement to its
// handler, by how much the handler is later.
func BenchmarkAckToHandler(b *testing.B) {
	l, _, s := bench(b)
	ctx, cancel := context.WithCancel(b.Context())
	got := make(chan time.Time, 1000)
	var wg sync.WaitGroup
	wg.Go(func() {
		_ = s.Run(ctx, "bench", []event.Topic{event.Calls}, func(ctx context.Context, p projections.Partition) error {
			for {
				events, err := p.Read(ctx, 100)
				if err != nil {
					return err
				}
				for range events {
					got <- time.Now()
				}
			}
		})
	})
	defer wg.Wait()
	defer cancel()
	if _, err := l.Append(ctx, note("o-1", "warm", 0)); err != nil {
		b.Fatal(err)
	}
	<-got
	var late, append []time.Duration
	for b.Loop() {
		began := time.Now()
		if _, err := l.Append(ctx, note("o-1", fmt.Sprint(len(late)), 0)); err != nil {
			b.Fatal(err)
		}
		acked := time.Now()
		append = slices.Insert(append, len(append), acked.Sub(began))
		late = slices.Insert(late, len(late), (<-got).Sub(acked))
	}
	slices.Sort(late)
	slices.Sort(append)
	b.ReportMetric(float64(late[len(late)/2].Microseconds()), "p50-late-µs")
	b.ReportMetric(float64(late[len(late)*99/100].Microseconds()), "p99-late-µs")
	b.ReportMetric(float64(append[len(append)/2].Microseconds()), "p50-append-µs")
}

// BenchmarkRead is how fast a backlog is read.
func BenchmarkRead(b *testing.B) {
	l, _, s := bench(b)
	const batch = 2000
	total := 0
	for total < b.N {
		var events []event.Event
		for range batch {
			events = append(events, note("o-1", fmt.Sprintf("c-%d", total%100), total))
			total++
		}
		if _, err := l.Append(b.Context(), events...); err != nil {
			b.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	b.ResetTimer()
	var mu sync.Mutex
	read := 0
	err := s.Run(ctx, "bench", []event.Topic{event.Calls}, func(ctx context.Context, p projections.Partition) error {
		for {
			events, err := p.Read(ctx, 1000)
			if err != nil {
				return err
			}
			mu.Lock()
			if read += len(events); read == total {
				cancel()
			}
			mu.Unlock()
		}
	})
	if err != nil {
		b.Fatal(err)
	}
}

func bench(b *testing.B) (*kafka.Log, *kafka.Client, *kafka.Source) {
	b.Helper()
	addr := benchBroker(b)
	c, err := kafka.NewClient(kafka.Config{Brokers: []string{addr}, Partitions: partitions})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(c.Close)
	if err := c.EnsureTopics(b.Context()); err != nil {
		b.Fatal(err)
	}
	l, err := kafka.NewLog(c, kafka.LogConfig{})
	if err != nil {
		b.Fatal(err)
	}
	if err := l.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = l.Stop(context.Background()) })
	s, err := kafka.NewSource(c, quick())
	if err != nil {
		b.Fatal(err)
	}
	return l, c, s
}

// benchBroker starts the embedded broker in this process, as the hub does.
func benchBroker(b *testing.B) string {
	b.Helper()
	k, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.DataDir(b.TempDir()), kfake.SyncWrites(),
		kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(k.Close)
	return k.ListenAddrs()[0]
}
