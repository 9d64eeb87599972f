package recordings

import (
	"errors"
	"slices"
	"sync"
	"time"
)

const (
	// hostPatience is how many requests in a row a host leaves unserved before it is
	// left alone: one or two may be the recording's own trouble.
	hostPatience = 5
	// A host that serves nothing is left alone for restLeast, then for twice as long
	// after each request that fails, at most for restMost: so long what it has waits
	// when it is back.
	restLeast = time.Second
	restMost  = time.Minute
	// askedMost bounds the pause that a host asks for: it may have meant one recording.
	askedMost = 5 * time.Minute
	// hostMemory is how long a failure counts.
	hostMemory = time.Hour
)

// hosts are the sources' hosts as one process sees them: how many requests each has
// under way, and which is left alone because it serves nothing. Each of thousands of
// recordings has its own schedule; without this a host that is down is asked again and
// again by all of them. Each org has its own (SourceOf): what one has at a host that many
// share is not another's trouble. It is safe for concurrent use.
type hosts struct {
	atOnce int // requests to one host

	mu sync.Mutex
	by map[string]*host
}

type host struct {
	active int
	// failed counts the requests in a row that were not served, the last one at
	// failedAt.
	failed   int
	failedAt time.Time
	// rest is how long it is left alone, until a time.
	rest  time.Duration
	until time.Time
}

func newHosts(atOnce int) *hosts { return &hosts{atOnce: atOnce, by: make(map[string]*host)} }

// away reports whether the host is asked for one recording at a time, if any.
func (h *host) away() bool { return h.rest > 0 }

// closed are those of which nothing is asked now.
func (s *hosts) closed(now time.Time) Hosts {
	s.mu.Lock()
	defer s.mu.Unlock()
	var c Hosts
	for name, h := range s.by {
		switch {
		case h.active == 0 && now.Sub(h.failedAt) > hostMemory && !h.until.After(now):
			delete(s.by, name)
		case h.active >= s.atOnce:
			c.Busy = append(c.Busy, name)
		case h.until.After(now), h.away() && h.active > 0:
			c.Alone = append(c.Alone, name)
		}
	}
	slices.Sort(c.Busy)
	slices.Sort(c.Alone)
	return c
}

func (s *hosts) begin(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.by[name]
	if h == nil {
		h = &host{}
		s.by[name] = h
	}
	h.active++
}

// turned is what a request has shown of its host.
type turned int

const (
	asBefore turned = iota
	turnedAway
	turnedBack
)

// end is told how a request to a host ended that began at a time: err is nil when it
// was served, and brokenOff when nobody waited for the answer.
func (s *hosts) end(name string, began, now time.Time, err error, brokenOff bool) turned {
	s.mu.Lock()
	defer s.mu.Unlock()
	h := s.by[name]
	h.active--
	was := h.away()
	f, _ := errors.AsType[*FetchError](err)
	switch {
	case brokenOff:
	case f == nil || !f.Away: // it answered, whatever it said
		*h = host{active: h.active}
	default:
		h.fail(began, now, f.RetryAfter)
	}
	if h.active == 0 && h.failed == 0 {
		delete(s.by, name)
	}
	switch {
	case h.away() && !was:
		return turnedAway
	case was && !h.away():
		return turnedBack
	}
	return asBefore
}

// fail counts a request that was not served. What began before the host was last
// left alone shows nothing new of it. A pause that the host asks for is taken at once.
func (h *host) fail(began, now time.Time, asked time.Duration) {
	h.failed++
	h.failedAt = now
	if (h.failed >= hostPatience || h.away()) && !began.Before(h.until) {
		h.rest = min(max(2*h.rest, restLeast), restMost)
		h.until = now.Add(h.rest)
	}
	if asked > 0 {
		h.rest = max(h.rest, restLeast)
		if until := now.Add(min(asked, askedMost)); until.After(h.until) {
			h.until = until
		}
	}
}
