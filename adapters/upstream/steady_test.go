package upstream

import (
	"bytes"
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"
)

const window = 30 * time.Second

func TestAStoreThatIsSlowIsNotTheSourcesFault(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		s := newSteady(bytes.NewReader(make([]byte, 10)), window, 1000, cancel)
		defer s.stop()
		<-time.After(10 * window) // nobody reads
		if ctx.Err() != nil || s.tooSlow() {
			t.Error("it was ended although nothing was waited for")
		}
		if _, err := s.Read(make([]byte, 10)); err != nil {
			t.Error(err)
		}
	})
}

func TestASourceThatDripsIsEndedAfterAWindow(t *testing.T) {
	t.Parallel()
	for name, every := range map[string]time.Duration{"drips": time.Second, "hangs": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				ctx, cancel := context.WithCancel(t.Context())
				s := newSteady(dripping{ctx, every}, window, 1000, cancel)
				defer s.stop()
				_, err := io.ReadAll(s)
				if err == nil || !s.tooSlow() {
					t.Errorf("read to the end: %v", err)
				}
				if took := time.Since(began); took != window {
					t.Errorf("it was ended after %s, want one window", took)
				}
			})
		})
	}
}

func TestASourceThatIsSteadyIsReadToItsEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := io.LimitReader(dripping{ctx, 10 * time.Millisecond}, 9000) // 100 a second, three windows
		s := newSteady(r, window, 2500, cancel)
		defer s.stop()
		got, err := io.ReadAll(s)
		if err != nil || len(got) != 9000 {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
}

// dripping gives a byte now and then.
type dripping struct {
	ctx   context.Context //nolint:containedctx // a Reader has no other way to be told
	every time.Duration
}

func (d dripping) Read(b []byte) (int, error) {
	select {
	case <-d.ctx.Done():
		return 0, d.ctx.Err()
	case <-time.After(d.every):
		b[0] = 'x'
		return 1, nil
	}
}
