package supervise_test

import (
	"context"
	"errors"
	"io"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"trunkline.dev/trunkline/adapters/internal/supervise"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// child is one that ends when the test says so.
type child struct {
	exited chan struct{}
	err    error
	frozen atomic.Bool // gives no answer
}

func newChild() *child { return &child{exited: make(chan struct{})} }

func (c *child) Exited() <-chan struct{} { return c.exited }
func (c *child) Err() error              { return c.err }
func (c *child) Ask(ctx context.Context) {
	if c.frozen.Load() {
		<-ctx.Done()
	}
}

func (c *child) Stop(context.Context) error {
	select {
	case <-c.exited:
	default:
		close(c.exited)
	}
	return nil
}

func TestAChildThatKeepsDyingIsRestartedWithGrowingPauses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var starts []time.Duration
		var current *child
		begin := time.Now()
		s := supervise.New(supervise.Config{
			Name: "thing", MinPause: 100 * time.Millisecond, MaxPause: 300 * time.Millisecond,
			Launch: func(context.Context, func()) (supervise.Child, error) {
				starts = append(starts, time.Since(begin))
				if len(starts) == 4 {
					return nil, errors.New("no luck this time")
				}
				current = newChild()
				return current, nil
			},
		})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 4 {
			current.err = errors.New("died")
			close(current.exited)
			synctest.Wait()
			if s.State() != supervise.Restarting || s.Err() == nil {
				t.Fatalf("state %s, err %v", s.State(), s.Err())
			}
			<-time.After(time.Second) // of the bubble's clock: every pause is over
			synctest.Wait()
			if s.State() != supervise.Running || s.Err() != nil {
				t.Fatalf("state %s, err %v", s.State(), s.Err())
			}
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
		want := []time.Duration{
			0, 100 * time.Millisecond,
			1200 * time.Millisecond,
			2300 * time.Millisecond, 2600 * time.Millisecond, // this one went wrong and was repeated
			3300 * time.Millisecond,
		}
		if len(starts) != len(want) {
			t.Fatalf("starts at %v", starts)
		}
		for i := range want {
			if starts[i] != want[i] {
				t.Fatalf("starts at %v, want %v", starts, want)
			}
		}
	})
}

// A recovery that is broken off begins anew: it would never come to its end.
func TestARestartThatGetsOnIsNotBrokenOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var starts int
		var current *child
		s := supervise.New(supervise.Config{
			Name: "thing", LaunchTimeout: time.Minute,
			Launch: func(ctx context.Context, working func()) (supervise.Child, error) {
				if starts++; starts == 2 { // says nothing
					<-ctx.Done()
					return nil, context.Cause(ctx)
				}
				for range starts - 1 {
					select {
					case <-time.After(59 * time.Second): // of the bubble's clock
						working()
					case <-ctx.Done():
						return nil, ctx.Err()
					}
				}
				current = newChild()
				return current, nil
			},
		})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		close(current.exited)
		<-time.After(61 * time.Second)
		if err := s.Err(); err == nil || !strings.Contains(err.Error(), "did not get on for 1m0s") {
			t.Errorf("of the start that stands still: %v", err)
		}
		<-time.After(2 * time.Minute)
		if s.State() != supervise.Running || s.Err() != nil || starts != 3 {
			t.Errorf("%d starts, state %s, err %v", starts, s.State(), s.Err())
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestALongLifeMakesTheNextPauseShortAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var current *child
		s := supervise.New(supervise.Config{
			Name: "thing", MinPause: time.Second, MaxPause: time.Hour,
			Launch: func(context.Context, func()) (supervise.Child, error) { current = newChild(); return current, nil },
		})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 10 { // would be a pause of 512 s otherwise
			<-time.After(time.Minute) // of the bubble's clock
			close(current.exited)
			<-time.After(1100 * time.Millisecond)
			if s.State() != supervise.Running {
				t.Fatal(s.State())
			}
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

func TestStopDuringAPauseEndsIt(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		current := newChild()
		s := supervise.New(supervise.Config{
			Name: "thing", MinPause: time.Hour, MaxPause: time.Hour,
			Launch: func(context.Context, func()) (supervise.Child, error) { return current, nil },
		})
		if err := s.Stop(t.Context()); err != nil { // before Start
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := s.Start(t.Context()); err == nil {
			t.Fatal("started twice")
		}
		close(current.exited)
		synctest.Wait()
		begin := time.Now()
		for range 2 {
			if err := s.Stop(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if waited := time.Since(begin); waited > 0 || s.State() != supervise.Stopped {
			t.Fatalf("stopped after %s, state %s", waited, s.State())
		}
	})
}

func TestAFrozenChildIsEndedAndStartedAgain(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var children []*child
		s := supervise.New(supervise.Config{
			Name: "thing",
			Launch: func(context.Context, func()) (supervise.Child, error) {
				children = append(children, newChild())
				return children[len(children)-1], nil
			},
		})
		if err := s.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		first := children[0]
		<-time.After(time.Hour + 5*time.Second) // of the bubble's clock; it is asked every ten seconds
		first.frozen.Store(true)
		<-time.After(time.Minute) // two questions are not answered
		if s.Err() == nil || s.State() != supervise.Running {
			t.Errorf("state %s, err %v", s.State(), s.Err())
		}
		first.frozen.Store(false) // the third is
		<-time.After(time.Hour)
		if s.Err() != nil || len(children) != 1 {
			t.Fatalf("%d children, err %v", len(children), s.Err())
		}
		first.frozen.Store(true)
		<-time.After(2 * time.Minute)
		select {
		case <-first.exited:
		default:
			t.Error("the frozen child was not ended")
		}
		if s.State() != supervise.Running || s.Err() != nil || len(children) != 2 {
			t.Errorf("%d children, state %s, err %v", len(children), s.State(), s.Err())
		}
		if err := s.Stop(t.Context()); err != nil {
			t.Fatal(err)
		}
	})
}

// The answer of a child that was stopped together with the supervisor's process may
// still be on its way.
func TestAPauseOfTheSupervisorIsNoSilenceOfTheChild(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]bool{time.Second: true, 1900 * time.Millisecond: true, 2 * time.Second: false, 8 * time.Hour: false} {
		if got := supervise.Counts(took, time.Second); got != want {
			t.Errorf("a wait of %s instead of a second counts: %v", took, got)
		}
	}
}

func TestAFirstLaunchThatGoesWrongIsAnError(t *testing.T) {
	t.Parallel()
	wrong := errors.New("wrong setting")
	s := supervise.New(supervise.Config{Name: "thing", Launch: func(context.Context, func()) (supervise.Child, error) { return nil, wrong }})
	if err := s.Start(t.Context()); !errors.Is(err, wrong) {
		t.Error(err)
	}
	if s.State() != supervise.Stopped {
		t.Error(s.State())
	}
}

func TestAProcessThatIgnoresItsSignalIsKilledInTheEnd(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", `trap "" INT QUIT; echo ready; while :; do sleep 60; done`)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	p, err := supervise.Exec(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Kill(-p.Pid(), syscall.SIGKILL) }) // its sleep
	if _, err := out.Read(make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	p.Signal(syscall.SIGINT)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.End(ctx, syscall.SIGQUIT); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if err := p.Err(); err == nil || err.Error() != "signal: killed" {
		t.Errorf("ended by %v", err)
	}
}

// One that waits for a disk that does not answer is ended by no signal. Here it is a
// descendant that keeps the output open, which looks the same to who waits.
func TestAProcessThatNothingEndsIsAnError(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("sh", "-c", "sleep 60 & echo ready; exec sleep 60")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	ready, said := io.Pipe()
	cmd.Stdout = said
	p, err := supervise.Exec(cmd)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(ready, make([]byte, len("ready\n"))); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := p.End(ctx, syscall.SIGKILL); err == nil || !strings.Contains(err.Error(), "does not end") {
		t.Error(err)
	}
	if err := syscall.Kill(-p.Pid(), syscall.SIGKILL); err != nil {
		t.Error(err)
	}
	<-p.Exited()
}

// The kernel sends Pdeathsig when the thread that started the child dies.
func TestAChildDoesNotDieWithSomeThread(t *testing.T) {
	t.Parallel()
	cmd := exec.Command("cat")
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	p, err := supervise.Exec(cmd)
	if err != nil {
		t.Fatal(err)
	}
	var threads sync.WaitGroup
	for range 50 { // a goroutine that ends locked takes its thread with it
		threads.Go(func() { runtime.LockOSThread() })
	}
	threads.Wait()
	if err := stdin.Close(); err != nil {
		t.Fatal(err)
	}
	if err := p.Err(); err != nil {
		t.Errorf("the child should have ended at the end of its input: %v", err)
	}
}

func TestAProgramThatIsNotThereIsAnError(t *testing.T) {
	t.Parallel()
	if _, err := supervise.Exec(exec.Command("/no/such/program")); err == nil {
		t.Error("started")
	}
}
