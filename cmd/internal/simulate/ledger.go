package simulate

import "sync"

// ledger is what the hub acknowledged, counted by entity: the run's own book,
// kept apart from every store that it will be compared with.
type ledger struct {
	mu      sync.Mutex
	counts  map[entity]int
	sum     int
	over    map[string]bool // calls that ended
	verdict map[string]bool // calls with a disposition
}

type entity struct{ kind, id string }

func newLedger() *ledger {
	return &ledger{counts: make(map[entity]int), over: make(map[string]bool), verdict: make(map[string]bool)}
}

func (l *ledger) add(kind, id string, events int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.counts[entity{kind, id}] += events
	l.sum += events
}

func (l *ledger) ended(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.over[call] = true
}

func (l *ledger) disposed(call string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.verdict[call] = true
}

func (l *ledger) total() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sum
}
