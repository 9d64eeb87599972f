// Package background runs a function beside its caller, from Start to Stop, and
// lets it rest: the loops of the stores and of the delivery engine.
package background

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Loop is the running of a function. The zero value does not run. It is safe for
// concurrent use.
type Loop struct {
	mu   sync.Mutex
	stop context.CancelFunc
	done chan struct{}
}

// Start runs a function until Stop ends the context that it gets; the end of ctx,
// which bounds the start, does not. While one runs, starting is harmless and does
// nothing.
func (l *Loop) Start(ctx context.Context, run func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop != nil {
		return
	}
	running, stop := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	l.stop, l.done = stop, done
	go func() {
		defer close(done)
		run(running)
	}()
}

// Stop ends the function and returns once it has returned. An error says that ctx
// ended before; then Stop may be called again. Stopping twice, or before Start,
// is harmless. what names it in the error: "the timers".
func (l *Loop) Stop(ctx context.Context, what string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.stop == nil {
		return nil
	}
	l.stop()
	select {
	case <-l.done:
		l.stop = nil
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping %s: %w", what, ctx.Err())
	}
}

// Rest waits for a while and reports false when ctx ended first.
func Rest(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
