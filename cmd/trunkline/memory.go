package main

import (
	"context"
	"math"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// heapBase is how much memory Go may take before its collector works harder
// than usual. A burst leaves garbage of several times what is in use; by Go's
// own rule the process would grow to twice the most that was ever in use at a
// time.
const heapBase = 228 << 20

// limitEvery is how often the limit follows what is in use; limitStep is by how much
// it may fall below what the process has. Go gives back at once what lies above its
// limit, in the goroutine that allocates next, and nobody else gets memory meanwhile:
// for the few hundred megabytes that a burst leaves everything stood still for 50 to
// 80 ms.
const (
	limitEvery = 250 * time.Millisecond
	limitStep  = 4 << 20
)

// startMemory keeps the process small for as long as that is cheap: beyond
// heapBase the collector runs when three quarters of what is in use have been
// allocated anew, not as much again. A fixed limit would have it run without end
// in an installation that needs more. Who sets GOGC or GOMEMLIMIT decides for
// himself.
func (a *app) startMemory(context.Context) error {
	if os.Getenv("GOGC") != "" || os.Getenv("GOMEMLIMIT") != "" {
		return nil
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(limitEvery)
		defer tick.Stop()
		for {
			debug.SetMemoryLimit(memoryLimit(readMemory()))
			select {
			case <-tick.C:
			case <-stop:
				debug.SetMemoryLimit(math.MaxInt64)
				return
			}
		}
	}()
	a.onStop("memory limit", func(context.Context) error {
		close(stop)
		<-done
		return nil
	})
	return nil
}

// memoryLimit is what Go may take when so much of its heap was in use at the
// last collection, it needs so much for itself, and has so much in all.
func memoryLimit(live, own, has uint64) int64 {
	return int64(max(heapBase, live+live/4*3+own, has-min(has, limitStep)))
}

// readMemory returns the heap in use at the last collection, what Go has taken for
// stacks and its own bookkeeping, and all that it has taken and not given back.
func readMemory() (live, own, has uint64) {
	samples := []metrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/total:bytes"},
		{Name: "/memory/classes/heap/released:bytes"},
		{Name: "/memory/classes/heap/stacks:bytes"},
		{Name: "/memory/classes/metadata/mcache/inuse:bytes"},
		{Name: "/memory/classes/metadata/mspan/inuse:bytes"},
		{Name: "/memory/classes/metadata/other:bytes"},
		{Name: "/memory/classes/other:bytes"},
	}
	metrics.Read(samples)
	for _, s := range samples[3:] {
		own += s.Value.Uint64()
	}
	return samples[0].Value.Uint64(), own, samples[1].Value.Uint64() - samples[2].Value.Uint64()
}
