// Package repeated keeps what is away from filling the log: each request and each partition
// would say the same.
package repeated

import (
	"sync"
	"time"
)

// Every is how often the same is said.
const Every = 10 * time.Second

// Words are what is said again and again. They are few, and safe for concurrent use; the
// zero value has said nothing.
type Words struct {
	mu  sync.Mutex
	all map[string]*word
}

type word struct {
	at time.Time
	// unsaid counts how often it was not said since then.
	unsaid int
}

// Due reports whether something is said now, and how often it was not since the last time.
func (w *Words) Due(what string, now time.Time) (unsaid int, ok bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.all == nil {
		w.all = make(map[string]*word)
	}
	last := w.all[what]
	if last == nil {
		w.all[what] = &word{at: now}
		return 0, true
	}
	if since := now.Sub(last.at); since >= 0 && since < Every {
		last.unsaid++
		return 0, false
	}
	unsaid = last.unsaid
	*last = word{at: now}
	return unsaid, true
}
