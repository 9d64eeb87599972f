package webhooks

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// stallCounts is how long a failure counts that was not tried again: by then the
// partition that could not be claimed is another process's.
const stallCounts = 20 * time.Second

// stall is a step that the store, or the log, did not let the engine do when it last
// tried. It is guarded by Engine.mu.
type stall struct {
	at  time.Time
	err error
}

// tried notes how a step went.
func (e *Engine) tried(ctx context.Context, s *stall, err error) {
	if err != nil && (ctx.Err() != nil || errors.Is(err, ErrStopped)) {
		return // it was not the store
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	*s = stall{at: e.cfg.Clock(), err: err}
}

// Stalled says what the engine cannot do at the moment, nil if all goes well. It
// asks nobody.
func (e *Engine) Stalled() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, step := range []struct {
		what string
		stall
	}{{"claiming partitions", e.claiming}, {"planning deliveries", e.resuming}, {"writing down what was delivered", e.committing}} {
		if step.err != nil && e.cfg.Clock().Sub(step.at) < stallCounts {
			return fmt.Errorf("%s is put off: %w", step.what, step.err)
		}
	}
	return nil
}
