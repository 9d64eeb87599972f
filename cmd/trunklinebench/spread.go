package main

import (
	"fmt"
	"slices"
	"time"
)

// spread is a distribution of times.
type spread struct {
	p50, p99 time.Duration
	// sorted are all of them.
	sorted []time.Duration
	// flush is how long a bare write and flush to the same disk took meanwhile, p99:
	// the acknowledgement of an event waits for such a flush.
	flush time.Duration
}

func spreadOf(times []time.Duration) spread {
	if len(times) == 0 {
		return spread{}
	}
	slices.Sort(times)
	return spread{p50: times[len(times)/2], p99: times[len(times)*99/100], sorted: times}
}

func (s spread) String() string { return ms(s.p50) + " / " + ms(s.p99) }

// besides is the spread of a run of the hub, with the bare flushes beside it.
func (s spread) besides() string { return s.String() + " (bare flush " + ms(s.flush) + ")" }

func ms(d time.Duration) string { return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond)) }

// over is how much longer a time is than that of a baseline.
func over(d, base time.Duration) string {
	return fmt.Sprintf("%.2f ×", float64(d)/float64(max(base, 1)))
}

func percent(n, of float64) string { return fmt.Sprintf("%.0f %%", 100*n/of) }
