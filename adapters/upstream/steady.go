package upstream

import (
	"io"
	"sync/atomic"
	"time"
)

// steady reads a body and ends the request when in some window of time less than
// a minimum came. One rule for sources that hang and for those that drip: a
// deadline for each read would let a byte a minute pass. While nobody reads (our
// own store is slow) the source is not to blame.
type steady struct {
	r     io.Reader
	got   atomic.Int64
	waits atomic.Bool
	slow  atomic.Bool
	done  chan struct{}
	ended chan struct{}
}

func newSteady(r io.Reader, window time.Duration, least int64, cancel func()) *steady {
	s := &steady{r: r, done: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(s.ended)
		tick := time.NewTicker(window)
		defer tick.Stop()
		before := int64(0)
		for {
			select {
			case <-s.done:
				return
			case <-tick.C:
			}
			now := s.got.Load()
			if now-before < least && s.waits.Load() {
				s.slow.Store(true)
				cancel()
				return
			}
			before = now
		}
	}()
	return s
}

func (s *steady) Read(b []byte) (int, error) {
	s.waits.Store(true)
	n, err := s.r.Read(b)
	s.waits.Store(false)
	s.got.Add(int64(n))
	return n, err
}

func (s *steady) tooSlow() bool { return s.slow.Load() }

func (s *steady) stop() {
	close(s.done)
	<-s.ended
}
