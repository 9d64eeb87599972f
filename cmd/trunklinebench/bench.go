package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// endpoints is how many orgs the load is spread over, each with one endpoint:
// the layout in which the peers were measured.
const endpoints = 10

// bench is one run.
type bench struct {
	o    options
	hub  *hub
	sink *sink
	orgs []org
	// quiet is an org without an endpoint, for intake.
	quiet org
	// calm is the latency at 200/s of the nine endpoints with none hanging.
	calm, calmBurst spread
}

type org struct{ key, hook, path string }

// spread is a distribution of times.
type spread struct{ p50, p99 time.Duration }

func (s spread) String() string { return ms(s.p50) + " / " + ms(s.p99) }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

func spreadOf(times []time.Duration) spread {
	if len(times) == 0 {
		return spread{}
	}
	slices.Sort(times)
	return spread{times[len(times)/2], times[len(times)*99/100]}
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.sink, err = startSink(); err != nil {
		return err
	}
	for i := range endpoints + 1 {
		var made struct {
			AdminKey string `json:"admin_key"`
		}
		if err := b.hub.call(ctx, adminKey, http.MethodPost, "/v1/orgs", map[string]string{"name": fmt.Sprintf("bench %d", i)}, &made); err != nil {
			return err
		}
		o := org{key: made.AdminKey, path: fmt.Sprintf("/%d", i)}
		if i == endpoints {
			b.quiet = o
			break
		}
		var hook struct {
			ID string `json:"id"`
		}
		body := map[string]any{"name": "bench", "dialect": "trunkline", "events": []string{"*"}, "url": "http://" + b.sink.addr + o.path}
		if err := b.hub.call(ctx, o.key, http.MethodPost, "/v1/webhooks", body, &hook); err != nil {
			return err
		}
		o.hook = hook.ID
		b.orgs = append(b.orgs, o)
	}
	return nil
}

// cloudEvent is one event of about 1 KB; its subject is a new call.
func cloudEvent(subject string) map[string]any {
	return map[string]any{
		"specversion": "1.0", "id": uuid.NewString(), "source": "/bench", "type": "call.started.v1", "subject": subject,
		"time": time.Now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
		"data": map[string]any{
			"direction": "outbound", "from": "+14143756757", "to": "+14155550100", "campaign": "Q1-Sales",
			"started_at": time.Now().UTC().Format(time.RFC3339Nano), "agent": map[string]string{"id": "jsmith", "name": "Jane Agent"},
			"custom": map[string]string{"note": strings.Repeat("talk ", 110)},
		},
	}
}

// batches makes n events in batches of 100, as the API takes them.
func batches(n int) ([][]byte, error) {
	var out [][]byte
	for n > 0 {
		size := min(n, 100)
		events := make([]map[string]any, size)
		for i := range events {
			events[i] = cloudEvent(uuid.NewString())
		}
		raw, err := json.Marshal(events)
		if err != nil {
			return nil, err
		}
		out = append(out, raw)
		n -= size
	}
	return out, nil
}

// post sends prepared batches from several workers, round robin over the keys.
func (b *bench) post(ctx context.Context, work [][]byte, keys []string, workers int) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, workers)
	for range workers {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(work) {
					return
				}
				if err := b.hub.call(ctx, keys[i%len(keys)], http.MethodPost, "/v1/events", work[i], nil); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func (b *bench) keys() []string {
	keys := make([]string, len(b.orgs))
	for i, o := range b.orgs {
		keys[i] = o.key
	}
	return keys
}

// latency is from the planned moment of the request to the request at the
// receiver, at fixed rates, however long the API took: a slow answer does not
// hide behind a slower pace.
func (b *bench) latency(ctx context.Context) ([]row, error) {
	var rows []row
	for _, rate := range []int{50, 200} {
		all, _, err := b.steady(ctx, rate)
		if err != nil {
			return nil, err
		}
		bare, err := b.bareSteady(ctx, rate)
		if err != nil {
			return nil, err
		}
		aim := ""
		if rate == 200 {
			aim = "3 / 10 ms"
			b.calm = all
		}
		rows = append(rows, row{
			what: fmt.Sprintf("request → webhook received at %d/s, p50 / p99", rate), measured: all.String(),
			baseline: "bare POST " + bare.String(), ratio: fmt.Sprintf("%.1f ×", float64(all.p50)/float64(max(bare.p50, 1))), wanted: aim,
		})
	}
	return rows, nil
}

// steady sends at a rate for the configured time and returns the latencies of
// all but endpoint 0, and of endpoint 0.
func (b *bench) steady(ctx context.Context, rate int) (nine, first spread, err error) {
	n := rate * b.o.seconds
	planned := make([]time.Time, n)
	subjects := make([]string, n)
	b.sink.watchSubjects(true)
	defer b.sink.watchSubjects(false)
	var wg sync.WaitGroup
	errs := make(chan error, n)
	begin := time.Now()
	for i := range n {
		planned[i] = begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		subjects[i] = uuid.NewString()
		if err := waitUntil(ctx, planned[i]); err != nil {
			return nine, first, err
		}
		wg.Go(func() {
			raw, err := json.Marshal([]any{cloudEvent(subjects[i])})
			if err == nil {
				err = b.hub.call(ctx, b.orgs[i%endpoints].key, http.MethodPost, "/v1/events", raw, nil)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return nine, first, err
	}
	var healthy, other []time.Duration
	err = b.sink.awaitSubjects(ctx, subjects, func(i int) bool { return b.sink.hanging(b.orgs[i%endpoints].path) }, func(i int, at time.Time) {
		if i%endpoints == 0 {
			other = append(other, at.Sub(planned[i]))
			return
		}
		healthy = append(healthy, at.Sub(planned[i]))
	})
	return spreadOf(healthy), spreadOf(other), err
}

// bareSteady is a client that posts to the receiver itself at the same rate.
func (b *bench) bareSteady(ctx context.Context, rate int) (spread, error) {
	n := rate * min(b.o.seconds, 5)
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}}
	times := make([]time.Duration, n)
	var wg sync.WaitGroup
	begin := time.Now()
	for i := range n {
		at := begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		if err := waitUntil(ctx, at); err != nil {
			return spread{}, err
		}
		wg.Go(func() {
			_ = b.sink.repeat(ctx, client)
			times[i] = time.Since(at)
		})
	}
	wg.Wait()
	return spreadOf(times), nil
}

func waitUntil(ctx context.Context, at time.Time) error {
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// deliveries is throughput: batches in, webhooks out, until the last has come.
func (b *bench) deliveries(ctx context.Context) ([]row, error) {
	// The first burst warms up connections and prepared statements.
	if _, _, err := b.burst(ctx, b.o.events/10); err != nil {
		return nil, err
	}
	before, err := b.hub.cpu()
	if err != nil {
		return nil, err
	}
	rate, burst, err := b.burst(ctx, b.o.events)
	if err != nil {
		return nil, err
	}
	b.calmBurst = burst
	after, err := b.hub.cpu()
	if err != nil {
		return nil, err
	}
	bare, err := b.bareLoop(ctx, b.o.events)
	if err != nil {
		return nil, err
	}
	cpu := (after - before).Seconds() / float64(b.o.events) * 1000
	return []row{
		{"webhooks delivered, 1 KB, 10 endpoints", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("bare POST loop %.0f/s", bare), fmt.Sprintf("%.0f %%", 100*rate/bare), "50 %"},
		{"CPU per 1,000 deliveries, hub and stores, intake and read models included", fmt.Sprintf("%.2f s", cpu), "–", "–", "0.35 s"},
	}, nil
}

// burst posts n events as fast as the API takes them and returns the rate from
// the first request to the last delivery, and the latencies seen.
func (b *bench) burst(ctx context.Context, n int) (float64, spread, error) {
	work, err := batches(n)
	if err != nil {
		return 0, spread{}, err
	}
	have := b.sink.count()
	hanging := 0
	for i := range work {
		if b.sink.hanging(b.orgs[i%endpoints].path) {
			hanging += min(100, n-100*i)
		}
	}
	begin := time.Now()
	if err := b.post(ctx, work, b.keys(), 8); err != nil {
		return 0, spread{}, err
	}
	if err := b.sink.await(ctx, have+n-hanging); err != nil {
		return 0, spread{}, err
	}
	return float64(n-hanging) / b.sink.last().Sub(begin).Seconds(), b.sink.since(begin), nil
}

// bareLoop is 32 connections that post the same signed bytes to the same sink.
func (b *bench) bareLoop(ctx context.Context, n int) (float64, error) {
	const conns = 32
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: conns}}
	var next atomic.Int64
	var wg sync.WaitGroup
	errs := make(chan error, conns)
	begin := time.Now()
	for range conns {
		wg.Go(func() {
			for int(next.Add(1)) <= n {
				if err := b.sink.repeat(ctx, client); err != nil {
					errs <- err
					return
				}
			}
		})
	}
	wg.Wait()
	close(errs)
	return float64(n) / time.Since(begin).Seconds(), <-errs
}

// hanging is one endpoint of ten that never answers.
func (b *bench) hanging(ctx context.Context) ([]row, error) {
	b.sink.setHang(b.orgs[0].path, true)
	defer b.sink.setHang(b.orgs[0].path, false)
	nine, _, err := b.steady(ctx, 200)
	if err != nil {
		return nil, err
	}
	_, burst, err := b.burst(ctx, b.o.events)
	if err != nil {
		return nil, err
	}
	if err := b.hub.call(ctx, b.orgs[0].key, http.MethodPost, "/v1/webhooks/"+b.orgs[0].hook+"/disable", map[string]string{"reason": "the measurement is over"}, nil); err != nil {
		return nil, err
	}
	ratio := func(a, b spread) string { return fmt.Sprintf("%.2f × p99", float64(a.p99)/float64(max(b.p99, 1))) }
	return []row{
		{"1 of 10 endpoints hangs, 200/s: the other nine, p50 / p99", nine.String(), "none hangs " + b.calm.String(), ratio(nine, b.calm), "≤ 1.2 ×"},
		{fmt.Sprintf("1 of 10 hangs, burst of %d: the other nine, p50 / p99", b.o.events), burst.String(), "none hangs " + b.calmBurst.String(), ratio(burst, b.calmBurst), "≤ 1.2 ×"},
	}, nil
}

func (b *bench) memory(context.Context) ([]row, error) {
	peak, err := b.hub.peakMemory()
	if err != nil {
		return nil, err
	}
	return []row{{"memory of the hub process, peak over all of the above", fmt.Sprintf("%d MB", peak>>20), "–", "–", "≤ 300 MB"}}, nil
}
