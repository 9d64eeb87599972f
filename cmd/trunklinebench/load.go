package main

import (
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
)

// cloudEvent is an event of a call as the API takes it.
func cloudEvent(eventType, call string, data map[string]any) map[string]any {
	return map[string]any{
		"specversion": "1.0", "id": uuid.NewString(), "source": "/bench", "type": eventType, "subject": call,
		"time": time.Now().UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json", "data": data,
	}
}

// newCall is the first event of a call, of about 1 KB.
func newCall(call string) map[string]any {
	return cloudEvent("call.started.v1", call, map[string]any{
		"direction": "outbound", "from": "+14143756757", "to": "+14155550100", "campaign": "Q1-Sales",
		"started_at": time.Now().UTC().Format(time.RFC3339Nano), "agent": map[string]string{"id": "jsmith", "name": "Jane Agent"},
		"custom": map[string]string{"note": strings.Repeat("talk ", 110)},
	})
}

// batches makes n events in batches of 100, as the API takes them.
func batches(n int) ([][]byte, error) {
	var out [][]byte
	for n > 0 {
		size := min(n, 100)
		events := make([]map[string]any, size)
		for i := range events {
			events[i] = newCall(uuid.NewString())
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

// burst posts n events as fast as the API takes them, and returns the rate of
// deliveries from the first request to the last delivery and the latencies
// since its begin. Endpoints that hang or refuse have no part in it.
func (b *bench) burst(ctx context.Context, l layout, n int) (float64, spread, error) {
	work, err := batches(n)
	if err != nil {
		return 0, spread{}, err
	}
	owed := 0
	for i := range work {
		for _, path := range l.orgs[i%len(l.orgs)].paths {
			if !b.sink.bad(path) {
				owed += min(100, n-100*i)
			}
		}
	}
	have := b.sink.count()
	begin := time.Now()
	if err := b.post(ctx, work, l.keys(), 8); err != nil {
		return 0, spread{}, err
	}
	if err := b.sink.await(ctx, have+owed); err != nil {
		return 0, spread{}, err
	}
	return float64(owed) / b.sink.last().Sub(begin).Seconds(), b.sink.since(begin), nil
}

// steady sends one event a request at a rate for the configured time, org after
// org, and returns the times from the planned moment of a request to the first
// delivery of its event, however long the API took: a slow answer does not hide
// behind a slower pace. Orgs whose endpoint hangs or refuses are left out.
func (b *bench) steady(ctx context.Context, l layout, rate int) (spread, error) {
	n := rate * b.o.seconds
	planned := make([]time.Time, n)
	subjects := make([]string, n)
	b.sink.watchSubjects(true)
	defer b.sink.watchSubjects(false)
	watching, stop := context.WithCancel(ctx)
	defer stop()
	disk := b.watchDisk(watching)
	var wg sync.WaitGroup
	errs := make(chan error, n)
	begin := time.Now()
	for i := range n {
		planned[i] = begin.Add(time.Duration(i) * time.Second / time.Duration(rate))
		subjects[i] = uuid.NewString()
		if err := waitUntil(ctx, planned[i]); err != nil {
			return spread{}, err
		}
		wg.Go(func() {
			raw, err := json.Marshal([]any{newCall(subjects[i])})
			if err == nil {
				err = b.hub.call(ctx, l.orgs[i%len(l.orgs)].key, http.MethodPost, "/v1/events", raw, nil)
			}
			if err != nil {
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	if err := <-errs; err != nil {
		return spread{}, err
	}
	var times []time.Duration
	skip := func(i int) bool { return b.sink.bad(l.orgs[i%len(l.orgs)].paths[0]) }
	err := b.sink.awaitSubjects(ctx, subjects, skip, func(i int, at time.Time) { times = append(times, at.Sub(planned[i])) })
	if err != nil {
		return spread{}, err
	}
	stop()
	all := spreadOf(times)
	all.flush, err = disk()
	return all, err
}

// watchDisk appends 2 KB to a file beside the hub's data and flushes it, fifty times
// a second until ctx ends; the function that it returns waits for that end and says
// how long it took, p99.
func (b *bench) watchDisk(ctx context.Context) (p99 func() (time.Duration, error)) {
	const every = 20 * time.Millisecond
	var took []time.Duration
	flushes := func() error {
		f, err := os.Create(filepath.Join(b.hub.dir, "flushed"))
		if err != nil {
			return err
		}
		defer func() { _ = f.Close() }()
		block := make([]byte, 2<<10)
		for next := time.Now().Add(every); waitUntil(ctx, next) == nil; next = next.Add(every) {
			begin := time.Now()
			if _, err := f.Write(block); err != nil {
				return err
			}
			if err := f.Sync(); err != nil {
				return err
			}
			took = append(took, time.Since(begin))
		}
		return nil
	}
	done := make(chan error, 1)
	go func() { done <- flushes() }()
	return func() (time.Duration, error) {
		err := <-done
		return spreadOf(took).p99, err
	}
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
