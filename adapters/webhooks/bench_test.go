package webhooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ThreeDotsLabs/watermill/message"

	"trunkline.dev/trunkline/adapters/memory/deliveries"
	"trunkline.dev/trunkline/domain/delivery"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/domain/lead"
	"trunkline.dev/trunkline/projections"
)

// sink is a receiver that reads and answers 200.
func sink(b *testing.B) string {
	b.Helper()
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })}
	go func() { _ = srv.Serve(l) }()
	b.Cleanup(func() { _ = srv.Close() })
	return "http://" + l.Addr().String()
}

const benchEndpoints = 10

// BenchmarkBareLoop is the baseline: the same requests to the same sink by
// loops that do nothing else.
func BenchmarkBareLoop(b *testing.B) {
	url := sink(b)
	s := benchSender(b)
	body := []byte(`{"entity":"` + strings.Repeat("x", 1000) + `"}`)
	h := []delivery.Header{
		{Name: "Content-Type", Value: "application/json"},
		{Name: "User-Agent", Value: "Trunkline/x"},
		{Name: "webhook-id", Value: "0123456789"},
		{Name: "trunkline-event-type", Value: "call.note_added.v1"},
		{Name: "trunkline-sequence", Value: "1"},
		{Name: "webhook-timestamp", Value: "1"},
		{Name: "webhook-signature", Value: "v1,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"},
	}
	var loops sync.WaitGroup
	work := make(chan struct{}, 1024)
	b.ResetTimer()
	cpu := cpuTime()
	for range benchEndpoints * 8 {
		loops.Go(func() {
			for range work {
				if r := s.Attempt(context.Background(), Request{URL: url, Headers: h, Body: body, Timeout: 10 * time.Second}); !r.Delivered() {
					b.Error(r.Error)
				}
			}
		})
	}
	for range b.N {
		work <- struct{}{}
	}
	close(work)
	loops.Wait()
	report(b, b.N, cpu)
}

// cpuTime is what the process has used; the sink's share is in it.
func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func report(b *testing.B, deliveries int, since time.Duration) {
	b.Helper()
	b.ReportMetric(float64(deliveries)/b.Elapsed().Seconds(), "deliveries/s")
	b.ReportMetric(float64((cpuTime()-since).Microseconds())/float64(deliveries), "cpu-µs/delivery")
}

func benchSender(b *testing.B) *Sender {
	b.Helper()
	s, err := NewSender(SenderConfig{Guard: NewGuard([]netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, true)})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(s.Close)
	return s
}

// BenchmarkEngine delivers b.N deliveries to ten endpoints through everything
// but Kafka and Postgres.
func BenchmarkEngine(b *testing.B) {
	url := sink(b)
	w := &benchWorld{url: url, data: json.RawMessage(`{"note":"` + strings.Repeat("x", 1000) + `"}`), delivered: make(chan struct{}, 1024)}
	store := &deliveries.Store{}
	sender := benchSender(b)
	e, err := New(Config{
		Store: store, Directory: w, Disabler: w, Log: w, Views: w, Progress: w, Ends: w, Attempter: sender,
		Dialects: []Dialect{plain{plainProfile()}},
		StandardSign: func(Signers, string, time.Time, []byte) string {
			return "v1,xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
		},
		Decode: w.decode, Busy: MachineBusy(),
	})
	if err != nil {
		b.Fatal(err)
	}
	if err := e.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	const partitions = 4
	for p := range partitions {
		if _, err := e.Claim(ctx, event.Calls, p); err != nil {
			b.Fatal(err)
		}
	}
	events := (b.N + benchEndpoints - 1) / benchEndpoints
	var handlers sync.WaitGroup
	room := make(chan struct{}, 1024)
	b.ResetTimer()
	cpu := cpuTime()
	for i := range events {
		room <- struct{}{}
		handlers.Go(func() {
			defer func() { <-room }()
			m := message.NewMessage("", nil)
			m.Metadata["i"] = strconv.Itoa(i)
			if err := e.Handle(m); err != nil {
				b.Error(err)
			}
		})
	}
	handlers.Wait()
	for w.count() < events*benchEndpoints {
		<-w.delivered
	}
	b.StopTimer()
	report(b, events*benchEndpoints, cpu)
	b.ReportMetric(float64(store.Inserted())/float64(events*benchEndpoints), "rows/op")
	if err := e.Stop(context.Background()); err != nil {
		b.Fatal(err)
	}
}

// benchWorld is all that the engine needs beside store and receivers, at no
// cost.
type benchWorld struct {
	url       string
	data      json.RawMessage
	mu        sync.Mutex
	attempts  int
	delivered chan struct{}
}

func (w *benchWorld) decode(m *message.Message) (Incoming, error) {
	i, err := strconv.Atoi(m.Metadata["i"])
	if err != nil {
		return Incoming{}, err
	}
	offset := int64(i / 4)
	now := time.Now()
	ev := event.Event{Envelope: event.Envelope{
		ID: "event-" + m.Metadata["i"], Type: "call.note_added.v1", Source: "api", Subject: "call-" + m.Metadata["i"], Org: "org", OccurredAt: now, RecordedAt: now,
	}, Data: w.data}
	return Incoming{Recorded: event.Recorded{Event: ev, Position: event.Position{Topic: event.Calls, Partition: i % 4, Offset: offset}}, Previous: offset - 1}, nil
}

func (w *benchWorld) count() int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.attempts
}

func (w *benchWorld) Append(_ context.Context, events ...event.Event) ([]event.Position, error) {
	w.mu.Lock()
	w.attempts += len(events)
	w.mu.Unlock()
	select {
	case w.delivered <- struct{}{}:
	default:
	}
	return make([]event.Position, len(events)), nil
}

func (w *benchWorld) Endpoint(id string) (delivery.Endpoint, bool) {
	return delivery.Endpoint{
		ID: id, Org: "org", URL: w.url, Dialect: "plain", Events: []string{"*"}, Enabled: true, SignStandard: true, Secrets: []delivery.Secret{{Value: "s"}},
	}, true
}

func (w *benchWorld) Endpoints(string) []delivery.Endpoint {
	all := make([]delivery.Endpoint, benchEndpoints)
	for i := range all {
		all[i], _ = w.Endpoint(fmt.Sprintf("ep%d", i))
	}
	return all
}

func (w *benchWorld) Deleted(string) []delivery.Endpoint                       { return nil }
func (w *benchWorld) OrgName(string) string                                    { return "" }
func (w *benchWorld) ListName(string, string) string                           { return "" }
func (w *benchWorld) Disable(context.Context, string, string, time.Time) error { return nil }
func (w *benchWorld) Wait(context.Context, string, ...event.Position) error    { return nil }
func (w *benchWorld) Ends(context.Context, ...event.Topic) (map[event.Topic]map[int]int64, error) {
	return nil, nil
}

// Views is never asked: every entity is new, and is folded in memory.
func (w *benchWorld) Views(context.Context, []event.Recorded, ...event.Position) ([]delivery.View, error) {
	return nil, errors.New("the history was asked")
}

func (w *benchWorld) Known(context.Context, event.Topic, []projections.Key, ...event.Position) (map[projections.Key]projections.Loaded, error) {
	return nil, nil
}

func (w *benchWorld) CallLeads(context.Context, []projections.Key, ...event.Position) (map[projections.Key]*lead.Lead, error) {
	return nil, nil
}
