package main

import (
	"context"
	"fmt"
	"net/http"
	"time"
)

// bench is one run.
type bench struct {
	o    options
	hub  *hub
	sink *sink
	// ten are ten orgs with an endpoint each: the layout of the peers' figures.
	ten layout
	// quiet is an org without an endpoint, for intake.
	quiet org
	// calm is the latency at 200/s with nothing wrong, bare that of a bare POST.
	calm, bare spread
	lines      []line
	// bareRuns counts the bare loops.
	bareRuns int
}

func (b *bench) prepare(ctx context.Context) (err error) {
	if b.sink, err = startSink(); err != nil {
		return err
	}
	if b.ten, err = b.makeLayout(ctx, "ten", 10, 1); err != nil {
		return err
	}
	if err := b.makeOrg(ctx, &b.quiet, "quiet", 0); err != nil {
		return err
	}
	// The first burst warms up connections and prepared statements.
	_, _, err = b.burst(ctx, b.ten, b.o.events/10)
	return err
}

// latency is from the planned moment of the request to the request at the
// receiver, at fixed rates.
func (b *bench) latency(ctx context.Context) ([]row, error) {
	var rows []row
	for _, rate := range []int{50, 200} {
		var all spread
		used, err := b.hub.usageOf(func() (err error) { all, err = b.steady(ctx, b.ten, rate); return err })
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
			b.calm, b.bare = all, bare
		}
		b.plot(fmt.Sprintf("%d/s", rate), all)
		rows = append(rows, row{
			what: fmt.Sprintf("request → webhook received at %d/s, p50 / p99", rate), measured: all.besides(),
			baseline: "bare POST " + bare.String(), ratio: over(all.p50, bare.p50) + " p50", wanted: aim,
		}, row{fmt.Sprintf("CPU per 1,000 of them at %d/s, hub and stores", rate), used.perThousand(rate * b.o.seconds), "–", "–", ""},
			row{fmt.Sprintf("memory of the hub process at %d/s, peak", rate), memory(used.peak), "–", "–", memoryAim})
	}
	b.plot("bare POST, 200/s", b.bare)
	return rows, nil
}

// deliveries is throughput: batches in, webhooks out, until the last has come.
func (b *bench) deliveries(ctx context.Context) ([]row, error) {
	fan, err := b.makeLayout(ctx, "fan", 1, 10)
	if err != nil {
		return nil, err
	}
	rows, err := b.throughput(ctx, b.ten, b.o.events, "1 KB, 10 orgs with an endpoint each", "0.35 s")
	if err != nil {
		return nil, err
	}
	// A short burst is delivered before the read models have read of it; a long one
	// shows what all of it costs while it goes on.
	for _, n := range []int{b.o.events / 2, b.o.events * 10} {
		more, err := b.throughput(ctx, fan, n, "1 KB, one org with 10 endpoints", "")
		if err != nil {
			return nil, err
		}
		rows = append(rows, more...)
	}
	return rows, nil
}

// throughput measures a layout with the use of the machine that goes with it.
func (b *bench) throughput(ctx context.Context, l layout, deliveries int, what, aim string) ([]row, error) {
	var rate float64
	used, err := b.hub.usageOf(func() (err error) {
		if rate, _, err = b.burst(ctx, l, deliveries/l.endpoints()); err != nil {
			return err
		}
		return b.settled(ctx) // what the read models cost belongs to it
	})
	if err != nil {
		return nil, err
	}
	bare, err := b.bareLoop(ctx, deliveries)
	if err != nil {
		return nil, err
	}
	return []row{
		{fmt.Sprintf("webhooks delivered, %d in a burst, %s", deliveries, what), fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("bare POST loop %.0f/s", bare), percent(rate, bare), "50 %"},
		{"CPU per 1,000 of them, hub and stores, intake and read models included", used.perThousand(deliveries), "–", "–", aim},
		{"bytes written per 1,000 of them", fmt.Sprintf("%.1f MB", float64(used.written)/float64(deliveries)*1000/1e6), "–", "–", ""},
		{"memory of the hub process, peak in that burst", memory(used.peak), "–", "–", memoryAim},
	}, nil
}

// memoryAim is how much the hub process may hold.
const memoryAim = "≤ 300 MB"

// many is the same with a thousand orgs.
func (b *bench) many(ctx context.Context) ([]row, error) {
	thousand, err := b.makeLayout(ctx, "thousand", 1000, 1)
	if err != nil {
		return nil, err
	}
	rows, err := b.throughput(ctx, thousand, max(b.o.events, 100_000), "1 KB, 1,000 orgs with an endpoint each", "0.35 s")
	if err != nil {
		return nil, err
	}
	steady, err := b.steady(ctx, thousand, 200)
	if err != nil {
		return nil, err
	}
	b.plot("200/s over 1,000 endpoints", steady)
	return append(rows, row{"request → webhook at 200/s over 1,000 endpoints, p50 / p99", steady.besides(), "10 endpoints " + b.calm.besides(), over(steady.p99, b.calm.p99) + " p99", ""}), nil
}

// pending is how the others do while 100,000 deliveries of one endpoint wait
// for their next attempt.
func (b *bench) pending(ctx context.Context) ([]row, error) {
	refusing, err := b.makeLayout(ctx, "refusing", 1, 1)
	if err != nil {
		return nil, err
	}
	b.sink.set(refusing.orgs[0].paths[0], refuses)
	work, err := batches(b.o.pending)
	if err != nil {
		return nil, err
	}
	if err := b.post(ctx, work, refusing.keys(), 8); err != nil {
		return nil, err
	}
	if err := b.backlog(ctx, refusing.orgs[0], b.o.pending); err != nil {
		return nil, err
	}
	steady, err := b.steady(ctx, b.ten, 200)
	if err != nil {
		return nil, err
	}
	rate, _, err := b.burst(ctx, b.ten, b.o.events)
	if err != nil {
		return nil, err
	}
	bare, err := b.bareLoop(ctx, b.o.events)
	if err != nil {
		return nil, err
	}
	b.plot(fmt.Sprintf("200/s, %d deliveries pending", b.o.pending), steady)
	return []row{
		{fmt.Sprintf("%d deliveries of another endpoint wait for a retry: 200/s, p50 / p99", b.o.pending), steady.besides(), "none waits " + b.calm.besides(), over(steady.p99, b.calm.p99) + " p99", ""},
		{"the same, webhooks delivered, 1 KB, 10 orgs", fmt.Sprintf("%.0f/s", rate), fmt.Sprintf("bare POST loop %.0f/s", bare), percent(rate, bare), ""},
	}, b.silence(ctx, refusing.orgs[0])
}

// backlog waits until so many deliveries of an org's endpoint are unfinished.
func (b *bench) backlog(ctx context.Context, o org, want int) error {
	for {
		var answer struct {
			Health struct {
				Backlog int `json:"backlog"`
			} `json:"health"`
		}
		if err := b.hub.call(ctx, o.key, http.MethodGet, "/v1/webhooks/"+o.hooks[0], nil, &answer); err != nil {
			return err
		}
		if answer.Health.Backlog >= want {
			return nil
		}
		if err := waitUntil(ctx, time.Now().Add(200*time.Millisecond)); err != nil {
			return err
		}
	}
}

// hangingTen and hangingHundred are one endpoint that never answers, of ten and
// of a hundred.
func (b *bench) hangingTen(ctx context.Context) ([]row, error) { return b.hanging(ctx, b.ten) }

func (b *bench) hangingHundred(ctx context.Context) ([]row, error) {
	hundred, err := b.makeLayout(ctx, "hundred", 100, 1)
	if err != nil {
		return nil, err
	}
	return b.hanging(ctx, hundred)
}

// hanging compares with how the same endpoints did just before, in the same
// order: what a burst leaves to merge is there under both.
func (b *bench) hanging(ctx context.Context, l layout) ([]row, error) {
	calmBurst, calm, err := b.burstAndSteady(ctx, l)
	if err != nil {
		return nil, err
	}
	n := len(l.orgs)
	b.sink.set(l.orgs[0].paths[0], hangs)
	burst, steady, err := b.burstAndSteady(ctx, l)
	if err != nil {
		return nil, err
	}
	b.plot(fmt.Sprintf("200/s, 1 of %d hangs", n), steady)
	return []row{
		{fmt.Sprintf("1 of %d endpoints hangs, 200/s: the others, p50 / p99", n), steady.besides(), "none hangs " + calm.besides(), over(steady.p99, calm.p99) + " p99", "≤ 1.2 ×"},
		{fmt.Sprintf("1 of %d hangs, burst of %d: the others, p50 / p99", n, b.o.events), burst.String(), "none hangs " + calmBurst.String(), over(burst.p99, calmBurst.p99) + " p99", "≤ 1.2 ×"},
	}, b.silence(ctx, l.orgs[0])
}

// burstAndSteady are the latencies of a burst, and at 200/s once the read models
// have caught up with it.
func (b *bench) burstAndSteady(ctx context.Context, l layout) (burst, steady spread, err error) {
	if _, burst, err = b.burst(ctx, l, b.o.events); err != nil {
		return spread{}, spread{}, err
	}
	if err := b.settled(ctx); err != nil {
		return spread{}, spread{}, err
	}
	steady, err = b.steady(ctx, l, 200)
	return burst, steady, err
}

func (b *bench) memory(context.Context) ([]row, error) {
	peak, err := b.hub.peakMemory()
	if err != nil {
		return nil, err
	}
	return []row{{"memory of the hub process, peak over all of the above", memory(max(b.hub.peak, peak)), "–", "–", memoryAim}}, nil
}
