package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// mood is how the sink treats a path.
type mood int

const (
	takes mood = iota
	// hangs: never answers.
	hangs
	// refuses: asks for another attempt in an hour.
	refuses
)

// sink is the receiver: it answers 204 at once unless a path is in another
// mood, and remembers when each webhook-id first came.
type sink struct {
	srv  *http.Server
	addr string
	mu   sync.Mutex
	seen map[string]time.Time
	// subjects, when watched, is when each event's subject first came.
	subjects map[string]time.Time
	// sample and body keep one request, for the bare loops to repeat.
	sample http.Header
	body   []byte
	moods  map[string]mood
	// more is signalled at each first arrival.
	more chan struct{}
	quit chan struct{}
}

func startSink() (*sink, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	s := &sink{addr: l.Addr().String(), seen: make(map[string]time.Time), moods: make(map[string]mood), more: make(chan struct{}, 1), quit: make(chan struct{})}
	s.srv = &http.Server{Handler: s, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = s.srv.Serve(l) }() // ends with stop
	return s, nil
}

func (s *sink) stop() {
	close(s.quit)
	_ = s.srv.Close()
}

func (s *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	now := time.Now()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	s.mu.Lock()
	m := s.moods[r.URL.Path]
	id := r.Header.Get("webhook-id")
	if _, again := s.seen[id]; !again && m == takes && id != "" {
		s.seen[id] = now
		if s.subjects != nil {
			s.note(body, now)
		}
		select {
		case s.more <- struct{}{}:
		default:
		}
	}
	if s.sample == nil {
		s.sample, s.body = r.Header.Clone(), body
	}
	s.mu.Unlock()
	switch m {
	case hangs:
		select {
		case <-r.Context().Done():
		case <-s.quit:
		}
		return
	case refuses:
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// note remembers when an event came. The caller holds mu.
func (s *sink) note(body []byte, at time.Time) {
	var e struct {
		Subject string `json:"subject"`
	}
	if json.Unmarshal(body, &e) == nil {
		s.subjects[e.Subject] = at
	}
}

// watchSubjects begins or ends looking into bodies.
func (s *sink) watchSubjects(on bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.subjects = nil
	if on {
		s.subjects = make(map[string]time.Time)
	}
}

// awaitSubjects waits for the events but for those to be skipped, and tells
// when each came.
func (s *sink) awaitSubjects(ctx context.Context, subjects []string, skip func(int) bool, came func(int, time.Time)) error {
	for i, subject := range subjects {
		if skip(i) {
			continue
		}
		for {
			s.mu.Lock()
			at, ok := s.subjects[subject]
			s.mu.Unlock()
			if ok {
				came(i, at)
				break
			}
			if err := waitUntil(ctx, time.Now().Add(5*time.Millisecond)); err != nil {
				return err
			}
		}
	}
	return nil
}

// repeated is one request as it came, without its id, for the bare loops to repeat.
func (s *sink) repeated() (http.Header, []byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sample == nil {
		return nil, nil, errors.New("no webhook has come yet")
	}
	header := s.sample.Clone()
	header.Del("Webhook-Id")
	return header, s.body, nil
}

// bareURL is where the bare loops post to.
func (s *sink) bareURL() string { return "http://" + s.addr + "/bare" }

// since is how long after begin the webhooks came that came after it.
func (s *sink) since(begin time.Time) spread {
	s.mu.Lock()
	defer s.mu.Unlock()
	var times []time.Duration
	for _, at := range s.seen {
		if at.After(begin) {
			times = append(times, at.Sub(begin))
		}
	}
	return spreadOf(times)
}

// bad reports whether a path does not take what it gets.
func (s *sink) bad(path string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.moods[path] != takes
}

func (s *sink) set(path string, m mood) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.moods[path] = m
}

func (s *sink) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.seen)
}

// await waits until n webhooks have come in all.
func (s *sink) await(ctx context.Context, n int) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for s.count() < n {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-s.more:
		case <-tick.C:
		}
	}
	return nil
}

// last is when the newest of the webhooks came.
func (s *sink) last() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	var at time.Time
	for _, t := range s.seen {
		if t.After(at) {
			at = t
		}
	}
	return at
}
