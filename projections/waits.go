package projections

import (
	"sync"
	"time"
)

// waitsSaidEvery keeps a store that is away from filling the log: each of hundreds of
// partitions asks it every few seconds.
const waitsSaidEvery = 10 * time.Second

// waits are what a runner says of the partitions that wait. It is safe for concurrent
// use.
type waits struct {
	mu sync.Mutex
	at time.Time
	// unsaid counts those that were not said since then.
	unsaid int
}

// due reports whether a partition that waits is told of, and how often none was since
// the last time. That one begins to wait is told always.
func (w *waits) due(now time.Time, begins bool) (unsaid int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if since := now.Sub(w.at); !begins && since >= 0 && since < waitsSaidEvery {
		w.unsaid++
		return 0, false
	}
	unsaid = w.unsaid
	w.at, w.unsaid = now, 0
	return unsaid, true
}
