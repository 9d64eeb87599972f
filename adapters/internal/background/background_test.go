package background_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"trunkline.dev/trunkline/adapters/internal/background"
)

func TestALoopRunsFromStartToStop(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var l background.Loop
		stop := func(ctx context.Context) error { return l.Stop(ctx, "the loop") }
		if err := stop(t.Context()); err != nil {
			t.Errorf("before the start: %v", err)
		}
		var begun, ended int
		release := make(chan struct{})
		run := func(ctx context.Context) {
			begun++
			<-ctx.Done()
			<-release
			ended++
		}
		starting, started := context.WithCancel(t.Context())
		l.Start(starting, run)
		l.Start(starting, run)
		started()
		synctest.Wait()
		if begun != 1 || ended != 0 {
			t.Fatalf("begun %d times, ended %d times", begun, ended)
		}

		hurried, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		err := stop(hurried)
		if !errors.Is(err, context.DeadlineExceeded) || err.Error() != "stopping the loop: context deadline exceeded" {
			t.Errorf("while it does not end: %v", err)
		}
		close(release)
		if err := errors.Join(stop(t.Context()), stop(t.Context())); err != nil || ended != 1 {
			t.Errorf("ended %d times, %v", ended, err)
		}

		l.Start(t.Context(), run)
		synctest.Wait()
		if err := stop(t.Context()); err != nil || begun != 2 || ended != 2 {
			t.Errorf("begun %d times, ended %d times, %v", begun, ended, err)
		}
	})
}
