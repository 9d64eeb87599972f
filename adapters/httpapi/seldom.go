package httpapi

import (
	"log/slog"
	"sync"
	"time"
)

// saidAgainAfter keeps a store that is away from filling the log.
const saidAgainAfter = 10 * time.Second

// seldom are warnings of which every request would have the same. It is safe for
// concurrent use.
type seldom struct {
	mu  sync.Mutex
	all map[string]*warned
}

type warned struct {
	at time.Time
	// since counts those that were not said since then.
	since int
}

// due reports whether something is said now, and how often it was not said before.
func (s *seldom) due(what string, now time.Time) (unsaid int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[string]*warned)
	}
	w := s.all[what]
	if w == nil {
		w = &warned{}
		s.all[what] = w
	}
	if now.Sub(w.at) < saidAgainAfter {
		w.since++
		return 0, false
	}
	unsaid = w.since
	w.at, w.since = now, 0
	return unsaid, true
}

// warn tells the operator now and then of what requests go on without.
func (s *Server) warn(what string, err error) {
	if unsaid, ok := s.warnings.due(what, s.cfg.Clock()); ok {
		s.cfg.Logger.Warn(what, slog.Int("unsaid", unsaid), slog.Any("err", err))
	}
}
