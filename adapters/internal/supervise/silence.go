package supervise

import (
	"context"
	"fmt"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
)

const (
	// silences is how many questions in a row a child must leave unanswered to
	// count as frozen: one may have met a moment of great load.
	silences = 3
	// askShare is how much of the patience passes between an answer and the next
	// question.
	askShare = 6
	// beats is into how many parts the time for an answer is divided, to tell the
	// child's silence from a pause of our own.
	beats = 20
	// ownPause is how much later than it should a beat ends if this process stood
	// still, or the machine; less is the load.
	ownPause = time.Second
)

// attend returns why the child is to be started again: it has ended, or it does
// not answer. When ctx is done the error means nothing.
func (s *Supervisor) attend(ctx context.Context, child Child) error {
	asking, stop := context.WithCancel(ctx)
	frozen := make(chan struct{})
	done := make(chan struct{})
	go func() {
		defer close(done)
		if s.askOn(asking, child) {
			close(frozen)
		}
	}()
	defer func() {
		stop()
		<-done
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-child.Exited():
		return fmt.Errorf("%s ended by itself: %w", s.cfg.Name, orEnded(child.Err()))
	case <-frozen:
		return fmt.Errorf("%w and was ended", s.silence(silences))
	}
}

// askOn asks the child again and again; true once it counts as frozen.
func (s *Supervisor) askOn(ctx context.Context, child Child) bool {
	for silent := 0; silent < silences; {
		if !background.Rest(ctx, s.cfg.Patience/askShare) {
			return false
		}
		answered := s.ask(ctx, child)
		switch {
		case ctx.Err() != nil:
			return false
		case !answered:
			silent++
			s.note(child, s.silence(silent))
		case silent > 0:
			silent = 0
			s.note(child, nil)
		}
	}
	return true
}

// silence says that so many questions in a row were not answered.
func (s *Supervisor) silence(asked int) error {
	return fmt.Errorf("%s gave no answer for %s", s.cfg.Name, time.Duration(asked)*s.cfg.Patience/silences)
}

// ask reports whether the child answered in time.
func (s *Supervisor) ask(ctx context.Context, child Child) bool {
	ctx, cancel := context.WithCancel(ctx)
	answer := make(chan struct{})
	go func() {
		defer close(answer)
		child.Ask(ctx)
	}()
	defer func() {
		cancel()
		<-answer
	}()
	beat := s.cfg.Patience / (silences * beats)
	t := time.NewTimer(beat)
	defer t.Stop()
	for left := beats; left > 0; t.Reset(beat) {
		began := time.Now()
		select {
		case <-answer:
			return true
		case <-t.C:
		}
		if counts(time.Since(began), beat) {
			left--
		}
	}
	return false
}

// counts reports whether a wait for a beat that took so long was one. If it took
// much longer, this process stood still, or the machine: that says nothing about the
// child, whose answer may be waiting for us.
func counts(took, beat time.Duration) bool { return took < beat+ownPause }
