package httpapi

import (
	"fmt"
	"net/http"
	"sync"
	"time"
)

// limiter counts requests per key in a sliding window: at most max in any span
// of the window's length. A token bucket would let twice as many through
// around its refill. Each process counts for itself.
type limiter struct {
	max    int
	window time.Duration

	mu   sync.Mutex
	keys map[string]*ring
}

// ring holds the times of the last requests that were let through.
type ring struct {
	times []time.Time
	next  int
}

// maxLimited bounds the keys that are counted; beyond it idle ones are dropped.
const maxLimited = 10_000

func newLimiter(max int, window time.Duration) *limiter {
	return &limiter{max: max, window: window, keys: make(map[string]*ring)}
}

// take counts a request. left is how many more fit now, reset when the next
// place becomes free.
func (l *limiter) take(key string, now time.Time) (ok bool, left int, reset time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	r := l.keys[key]
	if r == nil {
		if len(l.keys) >= maxLimited {
			l.forgetIdle(now)
		}
		r = &ring{times: make([]time.Time, 0, min(l.max, 64))}
		l.keys[key] = r
	}
	used, oldest := r.used(now.Add(-l.window))
	if used >= l.max {
		return false, 0, oldest.Add(l.window).Sub(now)
	}
	if used == 0 {
		oldest = now
	}
	r.add(now, l.max)
	return true, l.max - used - 1, oldest.Add(l.window).Sub(now)
}

func (l *limiter) forgetIdle(now time.Time) {
	for k, r := range l.keys {
		if used, _ := r.used(now.Add(-l.window)); used == 0 {
			delete(l.keys, k)
		}
	}
}

func (r *ring) used(since time.Time) (n int, oldest time.Time) {
	for _, t := range r.times {
		if !t.After(since) {
			continue
		}
		n++
		if oldest.IsZero() || t.Before(oldest) {
			oldest = t
		}
	}
	return n, oldest
}

func (r *ring) add(now time.Time, max int) {
	if len(r.times) < max {
		r.times = append(r.times, now)
		return
	}
	r.times[r.next] = now
	r.next = (r.next + 1) % max
}

// limit counts a request against its key and says so in the headers of the
// IETF draft ("RateLimit header fields for HTTP").
func (s *Server) limit(w http.ResponseWriter, p Principal) error {
	ok, left, reset := s.limits.take(p.Key.ID, s.cfg.Clock())
	w.Header().Set("RateLimit-Policy", fmt.Sprintf(`"leads";q=%d;w=%d`, s.limits.max, int(s.limits.window.Seconds())))
	w.Header().Set("RateLimit", fmt.Sprintf(`"leads";r=%d;t=%s`, left, seconds(reset)))
	if ok {
		return nil
	}
	return problem(http.StatusTooManyRequests, "rate-limited", "more than %d requests in a minute with this key; a request may carry an array of leads", s.limits.max).
		with("Retry-After", seconds(reset))
}
