package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/kafka"
	"trunkline.dev/trunkline/commands"
	"trunkline.dev/trunkline/domain/event"
	"trunkline.dev/trunkline/projections"
)

const produceKey, fetchKey = 0, 1

// fake starts a broker whose answers a test may change, which testenv.Kafka
// does not offer.
func fake(t *testing.T, opts ...kfake.Opt) *kfake.Cluster {
	t.Helper()
	k, err := kfake.NewCluster(append([]kfake.Opt{
		kfake.NumBrokers(1),
		kfake.BrokerConfigs(map[string]string{"default.replication.factor": "1"}),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// collect reads a topic until stop says that it has seen enough. Sources go on
// over whatever the test does to the broker.
func collect(t *testing.T, ctx context.Context, c *kafka.Client, topic event.Topic, stop func([]event.Recorded) bool) []event.Recorded {
	t.Helper()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var mu sync.Mutex
	var all []event.Recorded
	enough := false
	err := newSource(t, c, quick()).Run(ctx, "collect-"+t.Name(), []event.Topic{topic}, func(ctx context.Context, p projections.Partition) error {
		for {
			events, err := p.Read(ctx, 100)
			if err != nil {
				return err
			}
			mu.Lock()
			all = append(all, events...)
			if stop(all) {
				enough = true
				cancel()
			}
			mu.Unlock()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	if !enough {
		t.Fatalf("gave up with %d events", len(all))
	}
	return all
}

// lossy is a listener whose connections, while armed, are cut instead of
// answered now and then: what was asked for is done and nobody hears of it.
type lossy struct {
	net.Listener
	armed *atomic.Bool
}

func (l lossy) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return lossyConn{nc, l.armed}, err
}

type lossyConn struct {
	net.Conn
	armed *atomic.Bool
}

func (c lossyConn) Write(b []byte) (int, error) {
	if c.armed.Load() && rand.N(6) == 0 {
		_ = c.Conn.Close()
		return 0, net.ErrClosed
	}
	return c.Conn.Write(b)
}

// Whatever is lost on the way, an acknowledged event is where its position says
// and the first occurrences of an entity's events are in order.
func TestLogKeepsOrderOverLostAnswersAndRefusals(t *testing.T) {
	t.Parallel()
	var armed atomic.Bool
	k := fake(t, kfake.ListenFn(func(network, addr string) (net.Listener, error) {
		inner, err := net.Listen(network, addr)
		return lossy{inner, &armed}, err
	}))
	c := newClient(t, k.ListenAddrs()[0])
	l := newLog(t, c, kafka.LogConfig{MaxBatchEvents: 5})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	k.ControlKey(produceKey, func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		if !armed.Load() || rand.N(5) > 0 {
			return nil, nil, false
		}
		return refuse(r, kerr.NotLeaderForPartition.Code), nil, true
	})
	armed.Store(true)
	const writers, each = 8, 30
	var mu sync.Mutex
	acknowledged := make(map[event.Position]string)
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			subject := fmt.Sprintf("c-%d", w)
			for n := 0; n < each; n += 2 {
				events := []event.Event{note("o-1", subject, n), note("o-1", subject, n+1)}
				positions, err := l.Append(ctx, events...)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for i, p := range positions {
					acknowledged[p] = events[i].ID
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	armed.Store(false)
	if s := l.Stats(); s.Retries == 0 || s.Events != writers*each || s.QueuedEvents != 0 || s.QueuedBytes != 0 {
		t.Errorf("stats %+v: want retries, %d events, nothing queued", s, writers*each)
	}
	got := make(map[event.Position]string)
	order := make(map[string][]string)
	seen := make(map[string]bool)
	collect(t, ctx, c, event.Calls, func(all []event.Recorded) bool {
		for _, e := range all {
			got[e.Position] = e.ID
		}
		for p := range acknowledged {
			if got[p] == "" {
				return false
			}
		}
		for _, e := range all {
			if !seen[e.ID] {
				seen[e.ID] = true
				order[e.Subject] = append(order[e.Subject], e.ID)
			}
		}
		return true
	})
	for p, id := range acknowledged {
		if got[p] != id {
			t.Errorf("%s holds %q, acknowledged was %q", p, got[p], id)
		}
	}
	want := make(map[string][]string)
	for w := range writers {
		subject := fmt.Sprintf("c-%d", w)
		for n := range each {
			want[subject] = append(want[subject], note("o-1", subject, n).ID)
		}
	}
	if d := cmp.Diff(want, order); d != "" {
		t.Error(d)
	}
}

// refuse answers a produce request with an error for each partition.
func refuse(r kmsg.Request, code int16) kmsg.Response {
	req := r.(*kmsg.ProduceRequest)
	resp := req.ResponseKind().(*kmsg.ProduceResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewProduceResponseTopic()
		rt.Topic = t.Topic
		for _, p := range t.Partitions {
			rp := kmsg.NewProduceResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, code
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

func TestOutage(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	first := fake(t, kfake.DataDir(dir), kfake.SyncWrites())
	addr := first.ListenAddrs()[0]
	c := newClient(t, addr)
	l := newLog(t, c, kafka.LogConfig{FailFastAfter: 50 * time.Millisecond, RetryFor: 200 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()

	// A source reads all the while.
	var mu sync.Mutex
	read := make(map[string]bool)
	arrived := make(chan struct{}, 1)
	reading, stopReading := context.WithCancel(ctx)
	var wg sync.WaitGroup
	source := newSource(t, c, quick())
	wg.Go(func() {
		err := source.Run(reading, "outage", []event.Topic{event.Calls}, func(ctx context.Context, p projections.Partition) error {
			for {
				events, err := p.Read(ctx, 10)
				if err != nil {
					return err
				}
				mu.Lock()
				for _, e := range events {
					read[e.ID] = true
				}
				mu.Unlock()
				select {
				case arrived <- struct{}{}:
				default:
				}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	defer wg.Wait()
	defer stopReading()
	awaitRead := func(id string) {
		t.Helper()
		for {
			mu.Lock()
			ok := read[id]
			mu.Unlock()
			if ok {
				return
			}
			select {
			case <-arrived:
			case <-ctx.Done():
				t.Fatalf("%s was not read", id)
			}
		}
	}
	append := func(n int) error {
		_, err := l.Append(ctx, note("o-1", "c-1", n))
		return err
	}
	if err := append(0); err != nil {
		t.Fatal(err)
	}
	awaitRead(note("o-1", "c-1", 0).ID)

	first.Close()
	if err := c.Ping(ctx); err == nil {
		t.Error("a ping reached a broker that is gone")
	}
	short, cancelShort := context.WithTimeout(ctx, 30*time.Millisecond)
	defer cancelShort()
	if _, err := l.Append(short, note("o-1", "c-1", 1)); !errors.Is(err, commands.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want ErrUnavailable and the deadline", err)
	}
	// The first to come finds out, at most for RetryFor; while it does, others
	// are refused at once.
	refused := make(chan error, 100)
	for n := range 3 {
		go func() { refused <- append(10 + n) }()
	}
	for range 3 {
		if err := <-refused; !errors.Is(err, commands.ErrUnavailable) {
			t.Errorf("got %v, want ErrUnavailable", err)
		}
	}
	if s := l.Stats(); s.Failing != 1 || s.LastError == nil {
		t.Errorf("stats %+v: want one failing partition and its error", s)
	}

	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	fake(t, kfake.DataDir(dir), kfake.SyncWrites(), kfake.ListenFn(func(network, _ string) (net.Listener, error) {
		return net.Listen(network, net.JoinHostPort("127.0.0.1", port))
	}))
	for n := 20; ; n++ {
		err := append(n)
		if err == nil {
			awaitRead(note("o-1", "c-1", n).ID)
			break
		}
		if !errors.Is(err, commands.ErrUnavailable) {
			t.Fatal(err)
		}
	}
	if err := c.Ping(ctx); err != nil {
		t.Error(err)
	}
	if s := l.Stats(); s.Failing != 0 {
		t.Errorf("stats %+v: want no failing partition", s)
	}
}

func TestAppendWaitsForRoomUntilItsContextEnds(t *testing.T) {
	t.Parallel()
	k := fake(t)
	c := newClient(t, k.ListenAddrs()[0])
	l := newLog(t, c, kafka.LogConfig{QueueBytes: 5000})
	release, reached := make(chan struct{}), make(chan struct{}, 100)
	k.ControlKey(produceKey, func(kmsg.Request) (kmsg.Response, error, bool) {
		reached <- struct{}{}
		<-release
		return nil, nil, false
	})
	const fitting = 3 // of about 1,300 bytes each
	results := make(chan error, fitting)
	for n := range fitting {
		go func() {
			_, err := l.Append(t.Context(), note("o-1", "c-1", n))
			results <- err
		}()
		if n == 0 {
			<-reached // this one is under way, the others wait behind it
		}
	}
	for l.Stats().QueuedEvents < fitting {
		if t.Context().Err() != nil {
			t.Fatal("the events were not queued")
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Append(ctx, note("o-1", "c-1", 99)); !errors.Is(err, commands.ErrUnavailable) {
		t.Errorf("got %v, want ErrUnavailable", err)
	}
	close(release)
	for range fitting {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

// nothing answers a fetch with no record of the thousand that there are, as a broker
// does that has slowed a client down.
func nothing(r kmsg.Request) kmsg.Response {
	req := r.(*kmsg.FetchRequest)
	resp := req.ResponseKind().(*kmsg.FetchResponse)
	for _, t := range req.Topics {
		rt := kmsg.NewFetchResponseTopic()
		rt.Topic, rt.TopicID = t.Topic, t.TopicID
		for _, p := range t.Partitions {
			rp := kmsg.NewFetchResponseTopicPartition()
			rp.Partition, rp.HighWatermark, rp.LogStartOffset, rp.RecordBatches = p.Partition, 1000, 0, []byte{}
			rt.Partitions = append(rt.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, rt)
	}
	return resp
}

// TestAFeedFromTheBeginningPassesNothing: an answer without records is no end.
func TestAFeedFromTheBeginningPassesNothing(t *testing.T) {
	t.Parallel()
	k := fake(t)
	c := newClient(t, k.ListenAddrs()[0])
	if _, err := newLog(t, c, kafka.LogConfig{}).Append(t.Context(), mixed(40)...); err != nil {
		t.Fatal(err)
	}
	k.ControlKey(fetchKey, func(r kmsg.Request) (kmsg.Response, error, bool) { return nothing(r), nil, true })
	if got := pages(t, newFeed(t, c, kafka.FeedConfig{}), "org-0", nil, 50); len(got) != 20 {
		t.Errorf("%d of 20 events", len(got))
	}
}

func TestStalledReaderIsReported(t *testing.T) {
	t.Parallel()
	k := fake(t)
	c := newClient(t, k.ListenAddrs()[0])
	k.ControlKey(fetchKey, func(r kmsg.Request) (kmsg.Response, error, bool) {
		k.KeepControl()
		return nothing(r), nil, true
	})
	cfg := quick()
	cfg.StallAfter = 30 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stalled := make(chan error, 100)
	err := newSource(t, c, cfg).Run(ctx, "stalled", []event.Topic{event.Calls}, func(ctx context.Context, p projections.Partition) error {
		if err := p.SeekTo(490); err != nil {
			return err
		}
		_, err := p.Read(ctx, 10)
		if ctx.Err() == nil {
			stalled <- err
			cancel()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-stalled; !errors.Is(err, projections.ErrStalled) {
		t.Errorf("got %v, want ErrStalled", err)
	}
}

// Nothing runs on once all is stopped.
func TestNothingOutlivesStop(t *testing.T) {
	k := fake(t)
	before := goleak.IgnoreCurrent()
	c, err := kafka.NewClient(kafka.Config{Brokers: k.ListenAddrs()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := c.EnsureTopics(ctx); err != nil {
		t.Fatal(err)
	}
	l, err := kafka.NewLog(c, kafka.LogConfig{})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Stop(ctx); err != nil {
		t.Errorf("stopping before starting: %v", err)
	}
	if l, err = kafka.NewLog(c, kafka.LogConfig{}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := l.Start(ctx); err != nil {
			t.Fatal(err)
		}
	}
	running, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	arrived := make(chan struct{}, 2)
	feed := newFeed(t, c, kafka.FeedConfig{})
	source := newSource(t, c, kafka.SourceConfig{})
	wg.Go(func() {
		err := feed.Follow(running, "o-1", kafka.Cursor{}, nil, func([]event.Recorded, kafka.Cursor) error {
			arrived <- struct{}{}
			return nil
		})
		if err != nil {
			t.Error(err)
		}
	})
	wg.Go(func() {
		err := source.Run(running, "leak", event.FactTopics(), func(ctx context.Context, p projections.Partition) error {
			for {
				if _, err := p.Read(ctx, 10); err != nil {
					return err
				}
				arrived <- struct{}{}
			}
		})
		if err != nil {
			t.Error(err)
		}
	})
	if _, err := l.Append(ctx, note("o-1", "c-1", 0)); err != nil {
		t.Fatal(err)
	}
	<-arrived
	<-arrived
	stop()
	wg.Wait()
	for range 2 {
		if err := l.Stop(ctx); err != nil {
			t.Fatal(err)
		}
	}
	c.Close()
	k.Close()
	goleak.VerifyNone(t, before)
}
