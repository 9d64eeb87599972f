package projections

import (
	"context"
	"fmt"
	"sync"
)

// loop runs a function beside its caller, once: until it is stopped or the
// context of its start ends. The zero value does not run.
type loop struct {
	mu     sync.Mutex
	cancel context.CancelFunc
	done   chan struct{}
}

// start runs a function and returns at once. Starting again does nothing.
func (l *loop) start(ctx context.Context, run func(context.Context)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.done != nil {
		return
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	l.cancel, l.done = cancel, done
	go func() {
		defer close(done)
		run(ctx)
	}()
}

// stop ends the function and waits until it has returned, or ctx ends. Stopping
// before the start, or twice, is harmless. what names it in the error.
func (l *loop) stop(ctx context.Context, what string) error {
	l.mu.Lock()
	cancel, done := l.cancel, l.done
	l.mu.Unlock()
	if done == nil {
		return nil
	}
	cancel()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stopping %s: %w", what, ctx.Err())
	}
}

// end lets the function end from within, which does not wait for itself.
func (l *loop) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.cancel()
}

// ended is closed when the function has returned. It is nil before the start.
func (l *loop) ended() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done
}
