package kafka

import (
	"sync"
	"time"
)

// Stats counts what a Log did since it was made.
type Stats struct {
	// Batches, Events and Bytes were acknowledged.
	Batches, Events, Bytes int64
	// Retries are attempts that failed; Failures are Appends that did.
	Retries, Failures int64
	// QueuedEvents and QueuedBytes wait or are under way.
	QueuedEvents, QueuedBytes int64
	// LastError is of the last failed attempt, at LastErrorAt; nil if none was.
	LastError   error
	LastErrorAt time.Time
	// Failing is how many partitions have failed since their last success.
	Failing int
}

// Stats returns the counters.
func (l *Log) Stats() Stats {
	s := l.meter.read()
	for _, partitions := range l.appenders {
		for _, a := range partitions {
			a.mu.Lock()
			if !a.failing.IsZero() {
				s.Failing++
			}
			a.mu.Unlock()
		}
	}
	return s
}

type meter struct {
	mu sync.Mutex
	s  Stats
}

func (m *meter) read() Stats {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.s
}

func (m *meter) queued(events, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.QueuedEvents += int64(events)
	m.s.QueuedBytes += int64(bytes)
}

func (m *meter) sent(events, bytes int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Batches++
	m.s.Events += int64(events)
	m.s.Bytes += int64(bytes)
}

func (m *meter) retried(err error, at time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Retries++
	m.s.LastError, m.s.LastErrorAt = err, at
}

func (m *meter) failed() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.s.Failures++
}
