package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"time"
)

// killGrace is how long an ended context still lets a child act on the sharper
// signal before it is killed outright.
const killGrace = 2 * time.Second

// Process is one started child. It is safe for concurrent use.
type Process struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed by the goroutine that waits for the child
	err    error         // the child's exit error; read only after exited
}

// Exec starts cmd. The OS thread that starts it stays alive until the child has
// ended, because the kernel sends Pdeathsig when that thread dies, not when the
// process does: a thread that the Go scheduler retires would take a healthy child
// with it.
func Exec(cmd *exec.Cmd) (*Process, error) {
	p := &Process{cmd: cmd, exited: make(chan struct{})}
	started := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		p.err = cmd.Wait()
		close(p.exited)
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("starting %s: %w", cmd.Path, err)
	}
	return p, nil
}

// Pid is the child's process id.
func (p *Process) Pid() int { return p.cmd.Process.Pid }

// Exited is closed once the child has ended and was reaped.
func (p *Process) Exited() <-chan struct{} { return p.exited }

// Err is how the child ended. It blocks until it has.
func (p *Process) Err() error {
	<-p.exited
	return p.err
}

// Signal sends sig; a child that has already ended is no error.
func (p *Process) Signal(sig os.Signal) {
	_ = p.cmd.Process.Signal(sig)
}

// End waits for a child that was told to end. When ctx runs out first the child
// gets harder, and killGrace later SIGKILL, so End leaves none running but one that
// the kernel itself cannot end, because it waits for a disk: that is an error after
// another killGrace.
func (p *Process) End(ctx context.Context, harder os.Signal) error {
	select {
	case <-p.exited:
		return nil
	case <-ctx.Done():
	}
	p.Signal(harder)
	if p.endsIn(killGrace) {
		return fmt.Errorf("stopping %s: %w", p.cmd.Path, ctx.Err())
	}
	p.Signal(os.Kill)
	if p.endsIn(killGrace) {
		return fmt.Errorf("stopping %s: %w", p.cmd.Path, ctx.Err())
	}
	return fmt.Errorf("stopping %s: process %d does not end, not even by SIGKILL", p.cmd.Path, p.Pid())
}

// endsIn reports whether the child has ended, and waits so long for it.
func (p *Process) endsIn(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-p.exited:
		return true
	case <-t.C:
		return false
	}
}
