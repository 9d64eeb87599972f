package clickhouse

import (
	"runtime"
	"syscall"
	"testing"
)

// A hub that was started to yield more than its engine (nice -n 15) did not start,
// but for root: nobody else may take such a priority back.
func TestAPriorityThatIsLowerIsKept(t *testing.T) {
	t.Parallel()
	const lower = niceness + 5
	type outcome struct {
		nice int
		err  error
	}
	told := make(chan outcome)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		thread := syscall.Gettid()
		var o outcome
		if o.err = syscall.Setpriority(syscall.PRIO_PROCESS, thread, lower); o.err == nil {
			o.err = giveWay(thread)
		}
		if o.err == nil {
			o.nice, o.err = nicenessOf(thread)
		}
		told <- o
	}()
	if got := <-told; got.err != nil || got.nice != lower {
		t.Errorf("got %+v, want a niceness of %d", got, lower)
	}
}
